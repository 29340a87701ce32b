"""``prx-email show``: everything about a message, the answer first."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.naming import named
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import is_read, put, put_bytes, put_json
from prx_email_cli.cli.shown import Event, Shown, look, message_object, put_answer, put_message, timeline
from prx_email_cli.errors import Exit
from prx_email_cli.outbox.lifecycle import Status, is_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Row

app = typer.Typer(add_completion=False)

_Account = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Account of a Message-ID or key that several have.")
]


@app.command()
def show(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="ID...", help="Outbox id, Message-ID or idempotency key.")],
    account: _Account = None,
    follow: Annotated[bool, typer.Option("--follow", help="Tell what happens, until it is over.")] = False,
    body: Annotated[bool, typer.Option("--body", help="Print the text of one message, as a reader sees it.")] = False,
    headers: Annotated[
        bool, typer.Option("--headers", help="Print the headers of one message, as its next attempt would send them.")
    ] = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Show what became of a message, what happens next, and what changes it; then all that is known of it.

    --follow ends with 0 when all are sent, with 69 when one was given up.
    Example: prx-email show 42
    """
    if (body or headers) and (follow or (len(names) > 1 and not as_json)):
        raise typer.BadParameter("--body and --headers are for one message, without --follow")
    this = invocation(ctx)
    settings = this.settings()
    tick = this.clock(settings, now_ts)
    with this.store(settings) as store:
        ids = named(store, names, account)
        if follow:
            _follow(this, store, settings, ids, tick)
        elif this.json:
            _put_json(this, [
                message_object(this, look(store, settings, outbox_id, tick()))
                | _parts(store, outbox_id, body=body, headers=headers)
                for outbox_id in ids
            ])  # fmt: skip
        elif body or headers:
            _put_parts(_parts(store, ids[0], body=body, headers=headers))
        else:
            _put_all(this, store, settings, ids, tick())


def _put_json(this: Invocation, objects: list[dict[str, Any]]) -> None:
    put_json(objects[0] if len(objects) == 1 else objects)


def _put_all(this: Invocation, store: "Store", settings: "Settings", ids: list[int], now: int) -> list[Shown]:
    everything = []
    for number, outbox_id in enumerate(ids):
        if number:
            put("")
        everything.append(look(store, settings, outbox_id, now))
        put_message(this, everything[-1], now)
    return everything


def _parts(store: "Store", outbox_id: int, *, body: bool, headers: bool) -> dict[str, str]:
    """Read the headers and the text of a message, as asked.  Raises NotFound if the content is gone, OutboxDamaged."""
    if not body and not headers:
        return {}
    from prx_email_cli.mail.received import head_and_body, whole_text  # on use

    data = b"".join(store.exported(outbox_id).pieces())
    parts = {}
    if headers:
        head = head_and_body(data)[0].decode("utf-8", "backslashreplace")
        parts["headers"] = head.replace("\r\n", "\n")
    if body:
        parts["text"] = whole_text(data)
    return parts


def _put_parts(parts: dict[str, str]) -> None:
    text = "\n".join(part.rstrip("\n") + "\n" for part in parts.values())
    put_bytes([text.expandtabs().encode("utf-8", "backslashreplace")])


def _follow(this: Invocation, store: "Store", settings: "Settings", ids: list[int], tick: "Callable[[], int]") -> None:
    """Print what happens to these messages until it is over with all of them; raises Exit if one was given up."""
    from prx_email_cli.cli.watching import changes  # on use

    told: dict[int, int] = {}  # how many events of each
    if not this.json:
        told = {one.row.outbox_id: len(_ended(one.row)) for one in _put_all(this, store, settings, ids, tick())}
    for _ in changes(store):
        rows = [store.row(outbox_id) for outbox_id in ids]
        for row in rows if not this.json else ():
            events = _ended(row)
            for event in events[told[row.outbox_id] :]:
                event.put(f"{row.outbox_id}  " if len(ids) > 1 else "")
            told[row.outbox_id] = len(events)
        if all(is_over(row.status, row.gave_up) for row in rows) or not (this.json or is_read()):
            break
    found = [look(store, settings, outbox_id, tick()) for outbox_id in ids]
    if this.json:
        _put_json(this, [message_object(this, one) for one in found])
    else:
        for one in found:
            put_answer(this, one)
    if any(one.row.status != Status.SENT for one in found):
        raise typer.Exit(Exit.GAVE_UP)


def _ended(row: "Row") -> list[Event]:
    return [event for event in timeline(row) if event.ended]


apps = {"show": app}
