"""Let a person hold or cancel a message that a living run has claimed and not begun.

It is marked, and its run, which looks for marks a few times a second, gives it back with the mark.  One that is being
sent stays as it is.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from prx_email_cli.errors import NotAllowedForStatus
from prx_email_cli.outbox.sqlite import marks, operator
from prx_email_cli.outbox.sqlite.claims import Database

_LOOK_SECONDS = 0.02


class Decision(NamedTuple):
    """What a person decides of a message.  act: raises NotFound, NotAllowedForStatus.  mark, unmark: statements."""

    act: Callable[[sqlite3.Connection, int, int], None]
    mark: str
    unmark: str


HOLD = Decision(operator.hold, marks.MARK_HELD, marks.UNMARK_HELD)
CANCEL = Decision(operator.cancel, marks.MARK_CANCELLED, marks.UNMARK_CANCELLED)


def decide(database: Database, decision: Decision, outbox_id: int, now: int, seconds: float) -> None:
    """Carry out a person's decision on a message.  Raises NotFound, NotAllowedForStatus.

    seconds: so long a run that has claimed it is given to give it back.
    """
    values = {"id": outbox_id, "now": now}

    def change(statement: str) -> bool:
        return database.change(lambda connection: connection.execute(statement, values).rowcount == 1)

    def act() -> None:
        database.change(lambda connection: decision.act(connection, outbox_id, now))

    try:
        act()
    except NotAllowedForStatus:
        if not seconds or not change(decision.mark):
            raise
        given_back = wait_until_given_back(database, [outbox_id], seconds)
        if not given_back and change(decision.unmark):
            raise
        act()  # says why not if it was sent meanwhile


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
