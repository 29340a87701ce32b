"""``prx-email list``, ``show`` and ``stats``: look, and change nothing."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import clock, invocation
from prx_email_cli.cli.options import AccountName, Json, NowTs
from prx_email_cli.cli.output import put, put_json, safe, say
from prx_email_cli.cli.results import row_object

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Attempt, Row

list_app, show_app, stats_app = (typer.Typer(add_completion=False) for _ in range(3))


MOST_ROWS = 1_000_000_000  # whoever asks for more asks for all


def _check_status(values: list[str] | None) -> list[str] | None:
    if not {*(values or ())} <= {"pending", "sending", "sent", "failed"}:
        raise typer.BadParameter("must be pending, sending, sent or failed")
    return values


@list_app.command("list")
def list_messages(
    ctx: typer.Context,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status", metavar="STATUS", callback=_check_status, help="pending, sending, sent, failed; repeatable."
        ),
    ] = None,
    account: AccountName = None,
    due: Annotated[bool, typer.Option("--due", help="Only what a drain would take now.")] = False,
    gave_up: Annotated[bool, typer.Option("--gave-up", help="Only what no drain takes any more.")] = False,
    held: Annotated[bool, typer.Option("--held", help="Only what waits for a person.")] = False,
    uncertain: Annotated[bool, typer.Option("--uncertain", help="Only what may have been accepted.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most N, the newest.")] = 50,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """List messages, the newest first.

    Example: prx-email list --status failed
    """
    from prx_email_cli.outbox.lifecycle import Status
    from prx_email_cli.outbox.views import Filter

    this = invocation(ctx)
    settings = this.settings()
    limit = min(limit, MOST_ROWS)
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


@show_app.command()
def show(ctx: typer.Context, outbox_id: Annotated[int, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Tell everything about one message: its recipients, every attempt, and what was said in each.

    Example: prx-email show 42
    """
    this = invocation(ctx)
    settings = this.settings()
    with this.store(settings) as store:
        row = store.row(outbox_id)
    if this.json:
        put_json(row_object(row, whole=True))
        return
    for name, value in _facts(row):
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


@stats_app.command()
def stats(ctx: typer.Context, now_ts: NowTs = None, as_json: Json = False) -> None:
    """Count what is there, and tell how old the oldest due message is: for monitoring.

    Example: prx-email stats --json
    """
    from prx_email_cli.outbox.sqlite.runs import Runs

    this = invocation(ctx)
    settings = this.settings()
    with this.store(settings) as store:
        figures = store.stats(clock(now_ts)())
        figures["last_drain_at"] = Runs(store.path).last_drain()
    if this.json:
        put_json(figures)
        return
    for name, value in figures.items():
        if name == "accounts":
            continue
        shown = "-" if value is None else moment(value) if name.endswith("_at") else value
        put(f"{name:<24}{shown}")


def moment(unix: Any) -> str:
    """A Unix time as this machine's local time with its offset; a dash for none."""
    return "-" if unix is None else time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(unix))


def _line(row: "Row") -> dict[str, str]:
    state = " ".join(_state(row))
    due = moment(row.next_attempt_at) if row.status in ("pending", "failed") and not row.gave_up else "-"
    to = row.to[0] + (f" +{len(row.to) - 1}" if len(row.to) > 1 else "") if row.to else ""
    return {"id": str(row.outbox_id), "account": row.account, "state": state, "retries": str(row.retries), "due": due,
            "to": to, "subject": row.subject, "last error": row.last_error or ""}  # fmt: skip


def _state(row: "Row") -> list[str]:
    """The status, or what a message that was given up unattempted or by a person is instead, and the facts beside."""
    facts = ["held"] * row.held + ["uncertain"] * row.uncertain
    if row.gave_up is None:
        return [row.status, *facts]
    if row.status != "sending" and (row.gave_up == "cancelled" or row.status == "pending"):
        return [row.gave_up, *facts]
    return [row.status, f"gave up: {row.gave_up}", *facts]


def put_table(lines: list[dict[str, str]]) -> None:
    """A table for a person; tab-separated columns under one header line for a pipe."""
    from prx_email_cli.cli.context import on_terminal

    if not on_terminal(sys.stdout):
        put("\t".join(lines[0]))
        for line in lines:
            put("\t".join(safe(value) for value in line.values()))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in lines[0]:
        table.add_column(name, justify="right" if name in ("id", "retries") else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(safe(value)) for value in line.values()))
    Console().print(table)


def _facts(row: "Row") -> list[tuple[str, str]]:
    facts = [
        ("outbox id", str(row.outbox_id)),
        ("account", row.account),
        ("state", " ".join(_state(row))),
        ("subject", row.subject),
        ("size", f"{row.size_bytes} bytes"),
        ("created", moment(row.created_at)),
        ("retries", str(row.retries)),
        ("next attempt", "none: given up" if row.gave_up and row.status != "sending" else moment(row.next_attempt_at)),
        ("sent", moment(row.sent_at)),
        ("message id", row.message_id or "-"),
        ("accepted with", row.provider_message_id or "-"),
        ("last error", row.last_error or "-"),
    ]
    return [(name, value) for name, value in facts if value != "-"]


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


apps = {"list": list_app, "show": show_app, "stats": stats_app}
