"""Moved to ``render``."""

from prx_email_cli.cli.render import exit_status as exit_status
from prx_email_cli.cli.render import row_object as row_object
from prx_email_cli.cli.render import send_result as send_result
