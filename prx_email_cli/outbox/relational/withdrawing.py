"""Let a person hold or cancel a message that a living run has claimed and not begun.

It is marked, and its run, which looks for marks a few times a second, gives it back with the mark.  One that is being
sent stays as it is.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from prx_email_cli.errors import NotAllowedForStatus, PrxEmailError
from prx_email_cli.outbox.decisions import Decided
from prx_email_cli.outbox.relational import actions, marks, operator
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import Connection, Database
from prx_email_cli.outbox.relational.slices import in_slices

_LOOK_SECONDS = 0.02


class Withdrawal(NamedTuple):
    """How a message is withdrawn from drains.

    what: the word in its records.  act: raises NotFound, NotAllowedForStatus.  mark, unmark: statements.
    """

    what: str
    act: Callable[[Connection, int, int], None]
    mark: str
    unmark: str


HOLD = Withdrawal("held", operator.hold, marks.MARK_HELD, marks.UNMARK_HELD)
CANCEL = Withdrawal("cancelled", operator.cancel, marks.MARK_CANCELLED, marks.UNMARK_CANCELLED)


def withdraw(
    database: Database, how: Withdrawal, ids: Sequence[int], deed: Deed, seconds: float
) -> Iterator[list[Decided]]:
    """Withdraw these messages and record it; yield what became of some of them once that is durable.

    seconds: so long the runs that have claimed some are given to give them back.
    """
    refused: list[Decided] = []
    for decided in in_slices(database, ids, lambda connection, it: how.act(connection, it, deed.at), deed):
        late = [one for one in decided if seconds and isinstance(one.error, NotAllowedForStatus)]
        refused += late
        yield [one for one in decided if one not in late]
    if refused:
        yield _take_back(database, how, refused, deed, seconds)


def _take_back(
    database: Database, how: Withdrawal, refused: Sequence[Decided], deed: Deed, seconds: float
) -> list[Decided]:
    """Mark those that a drain has claimed, and wait for it to give them back; return what became of all."""

    def mark(connection: Connection) -> set[int]:
        marked = {one.outbox_id for one in refused
                  if connection.execute(how.mark, {"id": one.outbox_id, "now": deed.at}).rowcount}  # fmt: skip
        actions.record(connection, sorted(marked), deed)
        return marked

    def unmark(connection: Connection) -> list[Decided]:
        return [one._replace(error=_after_all(connection, how, one, deed.at)) if one.outbox_id in marked else one
                for one in refused]  # fmt: skip

    marked = database.change(mark)
    if not marked:
        return list(refused)
    wait_until_given_back(database, sorted(marked), seconds)
    return database.change(unmark)


def _after_all(connection: Connection, how: Withdrawal, one: Decided, now: int) -> PrxEmailError | None:
    """Unmark a message that is being sent, or decide once more what its run gave back; return why not."""
    if connection.execute(how.unmark, {"id": one.outbox_id, "now": now}).rowcount:
        actions.forget_latest(connection, one.outbox_id)
        return one.error
    try:
        how.act(connection, one.outbox_id, now)
    except PrxEmailError as error:  # it was sent meanwhile
        return error
    return None


def wait_until_given_back(database: Database, ids: Sequence[int], seconds: float) -> bool:
    """Wait, so many seconds at most, until none of these messages is ``sending``; tell whether that is so."""
    deadline = time.monotonic() + seconds
    values: dict[str, Any] = {"ids": str(list(ids))}
    while True:
        with database.reading() as connection:
            if connection.execute(marks.SENDING_AMONG, values).fetchone() is None:
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
