"""Options of the commands that compose a message."""

from typing import Annotated

import typer


def _not_empty(value: str | None) -> str | None:
    if value == "":
        raise typer.BadParameter("is empty: the script's variable may be unset")
    return value


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
