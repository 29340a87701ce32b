"""``prx-email list``: one line for each message."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.listing import Look, put_csv, put_objects, put_rows, tabbed
from prx_email_cli.cli.options import Json, Limit, NowTs, OnlyAccount
from prx_email_cli.cli.output import on_terminal, put_json, put_tabbed, say
from prx_email_cli.cli.render import row_object
from prx_email_cli.cli.times import clock
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.views import Filter

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Row

app = typer.Typer(add_completion=False)


def _check_status(values: list[str] | None) -> list[str] | None:
    if not {*(values or ())} <= {"pending", "sending", "sent", "failed"}:
        raise typer.BadParameter("must be pending, sending, sent or failed")
    return values


def _check_form(value: str | None) -> str | None:
    if value not in (None, "table", "tsv", "csv", "jsonl"):
        raise typer.BadParameter("must be table, tsv, csv or jsonl")
    return value


_Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status", metavar="STATUS", callback=_check_status, help="Only pending, sending, sent or failed; repeatable."
    ),
]
_Jsonl = Annotated[bool, typer.Option("--jsonl", help="Print each message as a JSON object on a line.")]
_Form = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        callback=_check_form,
        help="Print a table, tsv, csv or jsonl; by default a table on a terminal, else tsv.",
    ),
]


@app.command("list")
def list_messages(
    ctx: typer.Context,
    status: _Statuses = None,
    account: OnlyAccount = None,
    due: Annotated[bool, typer.Option("--due", help="Only messages that a drain would take now.")] = False,
    gave_up: Annotated[bool, typer.Option("--gave-up", help="Only messages that were given up.")] = False,
    held: Annotated[bool, typer.Option("--held", help="Only messages that are held.")] = False,
    uncertain: Annotated[bool, typer.Option("--uncertain", help="Only messages that may have been accepted.")] = False,
    repeated: Annotated[bool, typer.Option("--repeated", help="Only messages that may have arrived twice.")] = False,
    limit: Limit = 50,
    utc: Annotated[bool, typer.Option("--utc", help="Show times in UTC instead of ages and local times.")] = False,
    whole: Annotated[bool, typer.Option("--long", help="Show every column, and no text shortened.")] = False,
    jsonl: _Jsonl = False,
    form: _Form = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """List the messages of the outbox, the newest first.

    Example: prx-email list --status failed
    """
    if sum((as_json, jsonl, form is not None)) > 1:
        raise typer.BadParameter("use only one of --json, --jsonl and --format")
    this = invocation(ctx)
    settings = this.settings()
    now = clock(now_ts)()
    wanted = Filter(tuple(map(Status, status or ())), account, now if due else None, gave_up, held,
                    uncertain, limit + 1, repeated)  # fmt: skip
    with this.store(settings) as store:
        found = store.rows(wanted)
        total = store.count(wanted) if len(found) > limit else len(found)
        states = store.account_states()
    if account is not None and not found:
        settings.account(account)  # a name that neither the config nor the outbox knows is a mistake
    rows = found[:limit]
    if this.json:
        put_json([row_object(row) for row in rows], cut=len(found) > limit, total=total)
        return
    _put(rows, "jsonl" if jsonl else form, Look(now, utc=utc, whole=whole, states=states))
    if not rows:
        say("no messages")
    if len(found) > limit:
        of = "" if total is None else f" of {max(total, len(found))}"
        say(f"the newest {limit}{of} are shown; --limit N shows more")


def _put(rows: "list[Row]", form: str | None, look: Look) -> None:
    if form == "jsonl":
        put_objects(map(row_object, rows))
    elif form == "csv":
        put_csv(rows)
    elif (rows and form == "tsv") or (rows and form is None and not on_terminal(sys.stdout)):
        put_tabbed([tabbed(row, look) for row in rows])
    elif rows:
        put_rows(rows, look)


apps = {"list": app}
