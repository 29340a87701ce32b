"""Options that several commands share."""

from typing import Annotated

import typer

from prx_email_cli.cli.context import invocation

MOST_ROWS = 1_000_000_000  # SQLite counts no further than a little beyond


def _note_json(ctx: typer.Context, value: bool) -> bool:
    invocation(ctx).json = value
    return value


def _check_mode(value: str | None) -> str | None:
    if value not in (None, "network", "provider"):
        raise typer.BadParameter("must be network or provider")
    return value


def _not_empty(value: str | None) -> str | None:
    if value == "":
        raise typer.BadParameter("is empty: the script's variable may be unset")
    return value


def _at_most_all(value: int) -> int:
    return min(value, MOST_ROWS)


Json = Annotated[
    bool, typer.Option("--json", help="Answer with one JSON object on stdout.", callback=_note_json, is_eager=True)
]
AccountName = Annotated[str | None, typer.Option("--account", metavar="NAME", help="An account of the config.")]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="An account; by default the default one.")]
NowTs = Annotated[
    int | None, typer.Option("--now-ts", min=0, metavar="SECONDS", help="Rehearsal: take this Unix time for now.")
]
FailureMode = Annotated[
    str | None,
    typer.Option(
        "--failure-mode",
        metavar="network|provider",
        callback=_check_mode,
        help="Rehearsal: let attempts fail without touching the network.",
    ),
]
Limit = Annotated[
    int, typer.Option("--limit", min=1, metavar="N", callback=_at_most_all, help="At most N, the newest.")
]

# of the commands that compose a message
Cc = Annotated[list[str] | None, typer.Option("--cc", metavar="ADDRESS", help="Copies that everybody sees.")]
Bcc = Annotated[list[str] | None, typer.Option("--bcc", metavar="ADDRESS", help="Copies that nobody sees.")]
Body = Annotated[str | None, typer.Option("--body", metavar="TEXT", help="The text itself.")]
BodyFile = Annotated[
    str | None, typer.Option("--body-file", metavar="FILE", help="Take the text from FILE, - for stdin.")
]
Html = Annotated[
    str | None, typer.Option("--html", metavar="FILE", help="Send this HTML too; images beside it go along.")
]
Attach = Annotated[
    list[str] | None, typer.Option("--attach", metavar="FILE[;type=MIME]", help="Attach a file, read now.")
]
AttachStored = Annotated[
    list[str] | None, typer.Option("--attach-stored", metavar="PATH", help="Attach a file of the attachment store.")
]
Sender = Annotated[str | None, typer.Option("--from", metavar="ADDRESS", help="Instead of the account's.")]
At = Annotated[str | None, typer.Option("--at", metavar="ISO8601", help="Not before this time.")]
Within = Annotated[str | None, typer.Option("--in", metavar="2h", help="Not before this long from now.")]
ExpiresIn = Annotated[
    str | None, typer.Option("--expires-in", metavar="1d", help="Give up when it is not sent by then.")
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option("--idempotency-key", metavar="KEY", callback=_not_empty, help="The same key enqueues only once."),
]
AttemptNow = Annotated[bool, typer.Option("--now", help="Attempt delivery at once, and tell how it went.")]
