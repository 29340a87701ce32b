"""``prx-email list``: one line for each message."""

from dataclasses import replace
from typing import Annotated

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.listing import Look, put_list
from prx_email_cli.cli.options import MOST_ROWS, Json, NowTs
from prx_email_cli.cli.output import put_json, say
from prx_email_cli.cli.render import row_object
from prx_email_cli.cli.selection import Selection, takes_selection, tell_bounds

app = typer.Typer(add_completion=False)


def _check_form(value: str | None) -> str | None:
    if value not in (None, "table", "tsv", "csv", "jsonl"):
        raise typer.BadParameter("must be table, tsv, csv or jsonl")
    return value


_Limit = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Show at most N, the newest; 50 by default.")
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
@takes_selection(ids=False, but=("limit", "everything"))
def list_messages(
    ctx: typer.Context,
    selection: Selection,
    repeated: Annotated[bool, typer.Option("--repeated", help="Only messages that may have arrived twice.")] = False,
    limit: _Limit = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Search all messages, and show all without --limit.")
    ] = False,
    utc: Annotated[bool, typer.Option("--utc", help="Show times in UTC instead of ages and local times.")] = False,
    whole: Annotated[bool, typer.Option("--long", help="Show every column, and no text shortened.")] = False,
    jsonl: _Jsonl = False,
    form: _Form = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """List the messages of the outbox, the newest first.

    Example: prx-email list --status failed --to '*@example.org'
    """
    if sum((as_json, jsonl, form is not None)) > 1:
        raise typer.BadParameter("use only one of --json, --jsonl and --format")
    this = invocation(ctx)
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    most = min(limit or (MOST_ROWS if everything else 50), MOST_ROWS)
    with this.store(settings) as store:
        wanted = selection._replace(everything=everything).filter(store, now)
        found = store.rows(replace(wanted, limit=most + 1, repeated=repeated))
        total = store.count(replace(wanted, repeated=repeated)) if len(found) > most else len(found)
        bounded = tell_bounds(store, wanted) and len(found) <= most
        states = store.account_states()
    if selection.account is not None and not found:
        settings.account(selection.account)  # a name that neither the config nor the outbox knows is a mistake
    rows = found[:most]
    if this.json:
        put_json([row_object(row) for row in rows], cut=len(found) > most or bounded, total=None if bounded else total)
        return
    put_list(rows, "jsonl" if jsonl else form, Look(now, utc=utc, whole=whole, states=states))
    if not rows:
        say("no messages")
    if len(found) > most:
        of = "" if total is None else f" of {max(total, len(found))}"
        say(f"the newest {most}{of} are shown; --limit N shows more")


apps = {"list": app}
