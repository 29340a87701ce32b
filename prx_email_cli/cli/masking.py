"""Moved to ``render``."""

from prx_email_cli.cli.render import masked as masked
