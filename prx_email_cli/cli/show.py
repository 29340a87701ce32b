"""``prx-email show``: everything about one message."""

from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json
from prx_email_cli.cli.render import moment, row_object, safe, shown_status
from prx_email_cli.outbox.lifecycle import Status

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Attempt, Row

app = typer.Typer(add_completion=False)


@app.command()
def show(
    ctx: typer.Context,
    outbox_id: Annotated[int, typer.Argument(metavar="ID", help="Outbox id.")],
    as_json: Json = False,
) -> None:
    """Show one message: its recipients, and every attempt with its dialogue.

    Example: prx-email show 42
    """
    this = invocation(ctx)
    settings = this.settings()
    with this.store(settings) as store:
        row = store.row(outbox_id)
    if this.json:
        put_json(row_object(row, whole=True))
        return
    for name, value in _summary(row):
        put(f"{name:<16}{safe(value)}")
    put("recipients")
    for recipient in row.recipients:
        put(
            f"  {recipient.kind:<4}{safe(recipient.address)}  {recipient.status}"
            + ("  uncertain" if recipient.uncertain else "")
            + (f"  {safe(recipient.response)}" if recipient.response else "")
        )
    for number, attempt in enumerate(row.attempts, 1):
        _put_attempt(number, attempt)


def _summary(row: "Row") -> list[tuple[str, str]]:
    over = row.gave_up and row.status != Status.SENDING
    lines = [
        ("outbox id", str(row.outbox_id)),
        ("account", row.account),
        ("status", shown_status(row)),
        ("priority", row.priority),
        ("subject", row.subject),
        ("size", f"{row.size_bytes} bytes"),
        ("created", moment(row.created_at)),
        ("retries", str(row.retries)),
        (
            "next attempt",
            "none: given up" if over else moment(row.next_attempt_at),
        ),
        ("sent", moment(row.sent_at)),
        ("message id", row.message_id or "-"),
        ("accepted with", row.provider_message_id or "-"),
        ("last error", row.last_error or "-"),
    ]
    return [(name, value) for name, value in lines if value != "-"]


def _put_attempt(number: int, attempt: "Attempt") -> None:
    outcome = attempt.outcome or "under way"
    if attempt.uncertain:
        outcome += ", uncertain: the provider may have accepted it"
    put(f"attempt {number}  {moment(attempt.started_at)}  {outcome}")
    put(f"  message id  {safe(attempt.message_id)}")
    put(f"  run         {safe(attempt.run_id)}")
    if attempt.response:
        put(f"  answer      {safe(attempt.response)}")
    for line in (attempt.dialogue or "").split("\n"):
        if line:
            put(f"    {safe(line)}")


apps = {"show": app}
