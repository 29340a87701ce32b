"""Change many rows in transactions so short that nobody waits long for the lock."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from prx_email_cli.outbox.relational.database import Connection, Database

T = TypeVar("T")
Enough = Callable[[], bool]

# A transaction works so long and, with its commit, should hold the lock no longer than this; then the lock is free for
# at least as long as any pause of one who waits for it: SQLite looks again after 1, 2, 5, 10, 15, 20, 25, 25, 25, 50,
# 50 and then every 100 ms.
MOST_WORK_SECONDS, LEAST_WORK_SECONDS = 0.025, 0.001
LOCKED_SECONDS, FREE_SECONDS = 0.05, 0.03


def change_in_slices(
    database: Database,
    batches: Iterable[Sequence[T]],
    step: Callable[[Connection, Sequence[T], Enough], int],
    most_seconds: float | None = None,
) -> bool:
    """Call *step* with the rest of each batch, in a transaction, until it has done all; tell whether it has.

    step: does at least a part of the first item, until ``Enough`` says so, and returns how many it is done with.
    most_seconds: begin no transaction after so long.  Raises what ``Database.change`` does.
    """
    work, pause, begun = MOST_WORK_SECONDS, 0.0, time.monotonic()
    for batch in batches:
        left = list(batch)
        while left:
            if most_seconds is not None and time.monotonic() - begun >= most_seconds:
                return False
            time.sleep(pause)
            started = time.monotonic()
            end = started + work
            done = database.change(lambda connection, left=left, end=end: step(connection, left, _after(end)))  # type: ignore[misc]
            del left[:done]
            took = time.monotonic() - started
            work = min(MOST_WORK_SECONDS, max(work * LOCKED_SECONDS / took, LEAST_WORK_SECONDS))
            pause = FREE_SECONDS
    return True


def _after(end: float) -> Enough:
    return lambda: time.monotonic() >= end
