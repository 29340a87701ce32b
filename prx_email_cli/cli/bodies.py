"""Moved to ``inputs``."""

from prx_email_cli.cli.inputs import Bodies as Bodies
