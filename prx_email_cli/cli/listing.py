"""Show the messages of a list: a line each for a person, tabs or CSV or JSON for a program."""

import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from prx_email_cli.cli.colour import tone_of
from prx_email_cli.cli.columns import Cell, put_columns, terminal_width
from prx_email_cli.cli.output import on_terminal, put, put_tabbed
from prx_email_cli.cli.render import SHOWN_ALONE, moment, row_object, safe, shown_status, span
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT
from prx_email_cli.outbox.lifecycle import Priority, Reason, Status, counted_as

if TYPE_CHECKING:
    from prx_email_cli.outbox.accounts import AccountState
    from prx_email_cli.outbox.views import Row

_RIGHT = ("id", "age", "retries")
_ROOM_FOR_ACCOUNTS = 100  # columns of a terminal from which on the account is shown, if there are several


class Look(NamedTuple):
    """How rows are shown.

    now: in Unix seconds.  utc: times in UTC.  whole: every column, and no text shortened.  states: of accounts.
    """

    now: int
    utc: bool = False
    whole: bool = False
    states: "Mapping[str, AccountState] | None" = None


def put_list(rows: "list[Row]", form: str | None, look: Look) -> None:
    """Print rows in a *form*: table, tsv, csv or jsonl; by default a table on a terminal, else tsv."""
    if form == "jsonl":
        put_objects(map(row_object, rows))
    elif form == "csv":
        put_csv(rows)
    elif (rows and form == "tsv") or (rows and form is None and not on_terminal(sys.stdout)):
        put_tabbed([tabbed(row, look) for row in rows])
    elif rows:
        put_rows(rows, look)


def put_rows(rows: "list[Row]", look: Look) -> None:
    """Print a table for a person, in one line a message."""
    if look.whole:
        put_columns([{name: Cell(text) for name, text in tabbed(row, look).items()} for row in rows], (), _RIGHT)
        return
    accounts = len({row.account for row in rows}) > 1 and terminal_width() >= _ROOM_FOR_ACCOUNTS
    put_columns([_line(row, look, account=accounts) for row in rows], ("to", "subject", "why"), _RIGHT)


def _line(row: "Row", look: Look, *, account: bool) -> dict[str, Cell]:
    more = len(row.to) - 1
    created = {"created": _minute(row.created_at)} if look.utc else {"age": span(look.now - row.created_at)}
    texts = {"id": str(row.outbox_id), **({"account": row.account} if account else {}), **created}
    return {
        **{name: Cell(text) for name, text in texts.items()},
        "status": Cell(_word(row), tone=tone_of(row)),
        "next": Cell(_next(row, look)),
        "to": Cell(row.to[0] if row.to else "", f" +{more}" if more > 0 else ""),
        "subject": Cell(row.subject),
        "why": Cell(_why(row)),
    }


def _word(row: "Row") -> str:
    """Say in a word or two how a message stands."""
    if row.run_died:
        return "run died"
    if row.gave_up is not None and row.status != Status.SENDING:
        if row.dismissed_at is not None and row.gave_up != Reason.CANCELLED:
            return "dismissed"
        return row.gave_up if counted_as(row.status, row.gave_up) == row.gave_up else "gave up"
    return "uncertain" if row.uncertain and row.status == Status.FAILED else row.status


def _next(row: "Row", look: Look) -> str:
    """Say when the message is attempted next."""
    if row.run_died:
        return "now"
    if not _waits(row) or row.next_attempt_at is None:
        return "-"
    if row.held:
        return "held"
    known = look.states or {}
    states = [known[name] for name in (row.account, EVERY_ACCOUNT) if name in known]
    if any(state.is_paused(look.now) for state in states):
        return "paused"
    due = max([row.next_attempt_at, *(state.rests_until or 0 for state in states if state.rests(look.now))])
    if due <= look.now:
        return "now"
    return _minute(due) if look.utc else f"in {span(due - look.now)}"


def _why(row: "Row") -> str:
    """Say why a message is not sent, and what else a person should know of it."""
    word = _word(row)
    said = ["its run died: the next drain settles it"] * row.run_died
    if row.gave_up not in (None, Reason.REFUSED, word) and word != Status.SENDING:
        said.append(str(row.gave_up))
    said += ["may have arrived twice"] * row.repeated
    said += ["uncertain"] * (row.uncertain and word != "uncertain")
    said += [f"{row.priority} priority"] * (_waits(row) and row.priority != Priority.NORMAL)
    error = row.last_error or ""
    if len(row.to) == 1:  # whose address is in a column of its own
        error = error.removeprefix(f"{row.to[0]}: ")
    said += [error] if error else []
    return "; ".join(said)


def _waits(row: "Row") -> bool:
    return row.status in (Status.PENDING, Status.FAILED) and not row.gave_up


def _minute(unix: int) -> str:
    return time.strftime("%m-%d %H:%MZ", time.gmtime(unix))


def tabbed(row: "Row", look: Look) -> dict[str, str]:
    """Make the columns for a program that reads tabs, and for ``--long``."""
    waits = _waits(row)
    more = "" if len(row.to) < 2 else ", ".join(["", *row.to[1:]]) if look.whole else f" +{len(row.to) - 1}"
    return {
        "id": str(row.outbox_id),
        "account": row.account,
        "status": shown_status(row) + (f" {row.priority}" if waits and row.priority != Priority.NORMAL else ""),
        "retries": str(row.retries),
        "next attempt": moment(row.next_attempt_at, utc=look.utc) if waits else "-",
        "to": (row.to[0] if row.to else "") + more,
        "subject": row.subject,
        "last error": row.last_error or "",
    }


def put_objects(objects: Iterable[dict[str, Any]]) -> None:
    """Print each of *objects* as JSON on a line of its own."""
    import json  # on use

    for one in objects:
        put(json.dumps(one, ensure_ascii=True))


def put_csv(rows: "list[Row]") -> None:
    """Print comma-separated values under a header with the keys of the JSON; times are Unix seconds, too."""
    import csv  # on use
    from dataclasses import fields  # on use
    from io import StringIO  # on use

    from prx_email_cli.outbox.views import Row  # on use

    names = [field.name for field in fields(Row) if field.name not in SHOWN_ALONE]
    text = StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_value(value) for name, value in row_object(row).items()})
    put(text.getvalue().rstrip("\n"))


def _csv_value(value: Any) -> str:
    """Write a value of the JSON: lists with commas, yes and no as there, nothing for null; on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return safe(", ".join(value) if isinstance(value, list) else "" if value is None else value)
