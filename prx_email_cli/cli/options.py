"""Options and arguments that several commands share."""

from typing import Annotated

import typer

from prx_email_cli.cli.context import invocation

MOST_ROWS = 1_000_000_000  # SQLite's LIMIT cannot be much larger


def _note_json(ctx: typer.Context, value: bool) -> bool:  # noqa: FBT001 - as typer calls it
    invocation(ctx).json = value
    return value


def _note_preview(ctx: typer.Context, value: bool) -> bool:  # noqa: FBT001 - as typer calls it
    invocation(ctx).preview = value
    return value


def _check_mode(value: str | None) -> str | None:
    if value not in (None, "network", "provider"):
        raise typer.BadParameter("must be network or provider")
    return value


def _check_priority(value: str | None) -> str | None:
    if value not in (None, "high", "normal", "bulk"):
        raise typer.BadParameter("must be high, normal or bulk")
    return value


def not_empty(value: str | None) -> str | None:
    """Return *value*.  Raises BadParameter for an empty one."""
    if value == "":
        raise typer.BadParameter("is empty: the script's variable may be unset")
    return value


def _at_most_all(value: int) -> int:
    return min(value, MOST_ROWS)


def refuse_two_times(at: str | None, within: str | None, *, now: bool) -> None:
    """Raise BadParameter if more than one of --at, --in and --now is given."""
    if sum((at is not None, within is not None, now)) > 1:
        raise typer.BadParameter("use only one of --at, --in and --now")


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout.", callback=_note_json, is_eager=True)
]
AccountName = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Account; by default the config's default_account.")
]
OnlyAccount = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Only this account; by default every account.")
]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Account; by default the config's default_account.")]
NowTs = Annotated[
    int | None, typer.Option("--now-ts", min=0, metavar="SECONDS", help="Rehearsal: use this Unix time as now.")
]
FailureMode = Annotated[
    str | None,
    typer.Option(
        "--failure-mode",
        metavar="network|provider",
        callback=_check_mode,
        help="Rehearsal: fail each attempt with this error, without the network.",
    ),
]
Limit = Annotated[
    int, typer.Option("--limit", min=1, metavar="N", callback=_at_most_all, help="Show at most N, the newest.")
]

# Options of the commands that compose a message.
To = Annotated[list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Recipient; repeatable, or with commas.")]
Cc = Annotated[
    list[str] | None, typer.Option("--cc", metavar="ADDRESS", help="Recipient of a visible copy; repeatable.")
]
Bcc = Annotated[
    list[str] | None, typer.Option("--bcc", metavar="ADDRESS", help="Recipient of a hidden copy; repeatable.")
]
Subject = Annotated[str | None, typer.Option("--subject", "-s", metavar="TEXT", help="Subject of the message.")]
Body = Annotated[
    str | None, typer.Option("--body", metavar="TEXT", help="Text of the message; by default stdin, if piped.")
]
BodyFile = Annotated[str | None, typer.Option("--body-file", metavar="FILE", help="File with the text; - for stdin.")]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="Send the message even if it has no text.")]
Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="File with the HTML version; images beside it are included."),
]
Attach = Annotated[
    list[str] | None,
    typer.Option("--attach", metavar="FILE[;type=MIME]", help="Attach this file, read now; repeatable."),
]
AttachStored = Annotated[
    list[str] | None,
    typer.Option("--attach-stored", metavar="PATH", help="Attach this file of the attachment store; repeatable."),
]
Header = Annotated[
    list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="Add this header; repeatable.")
]
Sender = Annotated[
    str | None, typer.Option("--from", metavar="ADDRESS", help="From of this message; by default the account's.")
]
ReplyTo = Annotated[
    list[str] | None, typer.Option("--reply-to", metavar="ADDRESS", help="Address for answers; by default From.")
]
At = Annotated[
    str | None, typer.Option("--at", metavar="ISO8601", help="Attempt no earlier than at this time; by default now.")
]
Within = Annotated[
    str | None, typer.Option("--in", metavar="DURATION", help="Attempt no earlier than in 2h, for example.")
]
ExpiresIn = Annotated[
    str | None, typer.Option("--expires-in", metavar="DURATION", help="Give up if not sent within 1d, for example.")
]
Importance = Annotated[
    str | None,
    typer.Option(
        "--priority",
        metavar="high|normal|bulk",
        callback=_check_priority,
        help="Class of the message; higher ones leave first. Default: normal.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option("--idempotency-key", metavar="KEY", callback=not_empty, help="Store only one message with this key."),
]
AttemptNow = Annotated[bool, typer.Option("--now", help="Attempt delivery at once, and report the result.")]
Preview = Annotated[
    bool,
    typer.Option("--preview", help="Print the message and store nothing.", callback=_note_preview, is_eager=True),
]
RequestFile = Annotated[
    str | None, typer.Option("--request", metavar="FILE", help="Send the JSON request in this file; - for stdin.")
]
CheckBatch = Annotated[bool, typer.Option("--check", help="With --batch or --merge: check all, store nothing.")]
Atomic = Annotated[bool, typer.Option("--atomic", help="With --batch or --merge: store none if one is refused.")]
KeyFrom = Annotated[
    str | None,
    typer.Option(
        "--key-from",
        metavar="TEMPLATE",
        callback=not_empty,
        help="With --batch or --merge: idempotency key of each message, 'campaign-7/{to}' for example.",
    ),
]
Rejected = Annotated[
    str | None,
    typer.Option(
        "--rejected",
        metavar="FILE",
        callback=not_empty,
        help="With --batch or --merge: write the refused lines or rows into this file.",
    ),
]
First = Annotated[
    int | None,
    typer.Option(
        "--first", min=1, metavar="N", help="With --preview of --batch or --merge: only N; --preview N does it."
    ),
]
Merge = Annotated[
    str | None,
    typer.Option(
        "--merge",
        metavar="FILE",
        help="Send a message for each row of this CSV file; - for stdin. The other options are templates then: "
        "--subject 'Invoice {{ number }}'. Recipient without --to: the column to or email.",
    ),
]
Batch = Annotated[
    str | None, typer.Option("--batch", metavar="FILE", help="Send the JSON request on each line; - for stdin.")
]
