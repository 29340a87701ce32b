"""Moved to ``render``."""

from prx_email_cli.cli.render import moment as moment
