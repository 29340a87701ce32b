"""Options of ``prx-email run``."""

from typing import Annotated

import typer

from prx_email_cli.cli.job_lock import check_lock_name
from prx_email_cli.cli.options import not_empty

MOST_LINES = 10_000

Command = Annotated[
    list[str], typer.Argument(metavar="COMMAND...", help="The job and its arguments; no shell reads them.")
]
To = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="ADDRESS", help="Recipient, repeatable; by default $MAILTO, as cron has it."),
]
Subject = Annotated[
    str | None,
    typer.Option("--subject", "-s", metavar="TEXT", help="Subject; by default host, command and exit status."),
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        callback=not_empty,
        help="Store only the first mail with this key: backup-$(date +%F) for one a day.",
    ),
]
OnOutput = Annotated[
    bool, typer.Option("--on-output", help="Mail the output of a job that succeeds, too, if there is any.")
]
LastLines = Annotated[
    int, typer.Option("--tail", min=0, max=MOST_LINES, metavar="N", help="Mail the last N lines of output.")
]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="After 30m, for example, end the job: exit status 124."),
]
KillAfter = Annotated[
    str, typer.Option("--kill-after", metavar="DURATION", help="So long after the timeout's SIGTERM, SIGKILL.")
]
Lock = Annotated[
    str | None,
    typer.Option(
        "--lock",
        metavar="NAME",
        callback=check_lock_name,
        help="Run nothing, with status 75, while a job with this lock runs.",
    ),
]
PassThrough = Annotated[
    bool, typer.Option("--pass-through", help="Print the output as well: stdout and stderr as the job does.")
]
