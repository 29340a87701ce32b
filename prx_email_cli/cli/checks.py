"""Moved to ``output`` and ``render``."""

from prx_email_cli.cli.output import put_check as put_check
from prx_email_cli.cli.render import check_object as check_object
