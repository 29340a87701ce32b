"""``python -m prx_email_cli.sendmail``."""

from prx_email_cli.sendmail.main import main

main()
