"""``prx-email list``: one line for each message."""

from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, Limit, NowTs, OnlyAccount
from prx_email_cli.cli.output import put_json, put_table, say
from prx_email_cli.cli.render import moment, row_object, shown_status
from prx_email_cli.cli.times import clock
from prx_email_cli.outbox.lifecycle import Priority, Status
from prx_email_cli.outbox.views import Filter

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Row

app = typer.Typer(add_completion=False)


def _check_status(values: list[str] | None) -> list[str] | None:
    if not {*(values or ())} <= {"pending", "sending", "sent", "failed"}:
        raise typer.BadParameter("must be pending, sending, sent or failed")
    return values


@app.command("list")
def list_messages(
    ctx: typer.Context,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            callback=_check_status,
            help="Only pending, sending, sent or failed; repeatable.",
        ),
    ] = None,
    account: OnlyAccount = None,
    due: Annotated[bool, typer.Option("--due", help="Only messages that a drain would take now.")] = False,
    gave_up: Annotated[bool, typer.Option("--gave-up", help="Only messages that were given up.")] = False,
    held: Annotated[bool, typer.Option("--held", help="Only messages that are held.")] = False,
    uncertain: Annotated[bool, typer.Option("--uncertain", help="Only messages that may have been accepted.")] = False,
    limit: Limit = 50,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """List the messages of the outbox, the newest first.

    Example: prx-email list --status failed
    """
    this = invocation(ctx)
    settings = this.settings()
    wanted = Filter(tuple(map(Status, status or ())), account, clock(now_ts)() if due else None, gave_up, held,
                    uncertain, limit + 1)  # fmt: skip
    with this.store(settings) as store:
        found = store.rows(wanted)
    if account is not None and not found:
        settings.account(account)  # a name that neither the config nor the outbox knows is a mistake
    rows = found[:limit]
    if this.json:
        put_json([row_object(row) for row in rows])
        return
    if rows:
        put_table([_line(row) for row in rows])
    if len(found) > limit:
        say(f"the newest {limit} are shown; --limit N shows more")


def _line(row: "Row") -> dict[str, str]:
    waits = row.status in (Status.PENDING, Status.FAILED) and not row.gave_up
    to = row.to[0] + (f" +{len(row.to) - 1}" if len(row.to) > 1 else "") if row.to else ""
    return {
        "id": str(row.outbox_id),
        "account": row.account,
        "status": shown_status(row) + (f" {row.priority}" if waits and row.priority != Priority.NORMAL else ""),
        "retries": str(row.retries),
        "next attempt": moment(row.next_attempt_at) if waits else "-",
        "to": to,
        "subject": row.subject,
        "last error": row.last_error or "",
    }


apps = {"list": app}
