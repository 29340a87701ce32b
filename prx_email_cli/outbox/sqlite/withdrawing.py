"""Let a person hold or cancel a message that a living run has claimed and not begun.

It is marked, and its run, which looks for marks a few times a second, gives it back with the mark.  One that is being
sent stays as it is.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from prx_email_cli.errors import NotAllowedForStatus
from prx_email_cli.outbox.sqlite import actions, marks, operator
from prx_email_cli.outbox.sqlite.actions import Deed
from prx_email_cli.outbox.sqlite.claims import Database

_LOOK_SECONDS = 0.02


class Decision(NamedTuple):
    """What a person decides of a message.

    what: the word in its records.  act: raises NotFound, NotAllowedForStatus.  mark, unmark: statements.
    """

    what: str
    act: Callable[[sqlite3.Connection, int, int], None]
    mark: str
    unmark: str


HOLD = Decision("held", operator.hold, marks.MARK_HELD, marks.UNMARK_HELD)
CANCEL = Decision("cancelled", operator.cancel, marks.MARK_CANCELLED, marks.UNMARK_CANCELLED)


def decide(database: Database, decision: Decision, outbox_id: int, deed: Deed, seconds: float) -> None:
    """Carry out and record a person's decision on a message.  Raises NotFound, NotAllowedForStatus.

    seconds: so long a run that has claimed it is given to give it back.
    """
    values = {"id": outbox_id, "now": deed.at}

    def mark(connection: sqlite3.Connection) -> bool:
        marked = connection.execute(decision.mark, values).rowcount == 1
        if marked:
            actions.record(connection, [outbox_id], deed)
        return marked

    def unmark(connection: sqlite3.Connection) -> bool:
        unmarked = connection.execute(decision.unmark, values).rowcount == 1
        if unmarked:
            actions.forget_latest(connection, outbox_id)
        return unmarked

    def act(connection: sqlite3.Connection) -> None:
        decision.act(connection, outbox_id, deed.at)
        actions.record(connection, [outbox_id], deed)

    def check(connection: sqlite3.Connection) -> None:
        """Decide once more what its run gave back with the mark."""
        decision.act(connection, outbox_id, deed.at)

    try:
        database.change(act)
    except NotAllowedForStatus:
        if not seconds or not database.change(mark):
            raise
        given_back = wait_until_given_back(database, [outbox_id], seconds)
        if not given_back and database.change(unmark):
            raise
        database.change(check)  # says why not if it was sent meanwhile


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
