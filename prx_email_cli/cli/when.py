"""Moved to ``times``."""

from prx_email_cli.cli.times import due_time as due_time
from prx_email_cli.cli.times import duration_seconds as duration_seconds
from prx_email_cli.cli.times import expiry as expiry
