"""``python -m prx_email_cli`` is ``prx-email``."""

from prx_email_cli.cli.main import main

main()
