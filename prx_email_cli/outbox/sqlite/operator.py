"""Hold, release, cancel, resolve and prune messages that no run has claimed, as a person decides."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from prx_email_cli.errors import NotAllowedForStatus, NotFound, PrxEmailError
from prx_email_cli.outbox.lifecycle import RecipientStatus
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.claims import Database
from prx_email_cli.outbox.sqlite.schema import PIECES_PER_MESSAGE

# A transaction of prune works so long and, with its commit, should hold the lock no longer than this; then the lock is
# free for at least as long as any pause of one who waits for it: SQLite looks again after 1, 2, 5, 10, 15, 20, 25, 25,
# 25, 50, 50 and then every 100 ms.
MOST_WORK_SECONDS, LEAST_WORK_SECONDS = 0.025, 0.001
LOCKED_SECONDS, FREE_SECONDS = 0.05, 0.03
LOOKED_UP_AT_ONCE = 5000  # messages


def hold(connection: sqlite3.Connection, outbox_id: int, now: int) -> None:
    """Keep drains from this message.  Raises NotFound, NotAllowedForStatus."""
    if not connection.execute(sql.HOLD, {"id": outbox_id, "now": now}).rowcount:
        raise _refusal(connection, outbox_id, "held")


def release(connection: sqlite3.Connection, outbox_id: int) -> None:
    """Let drains take this message again.  Raises NotFound, NotAllowedForStatus when it is not held."""
    if not connection.execute(sql.RELEASE, {"id": outbox_id}).rowcount:
        raise _refusal(connection, outbox_id, "released: it is not held")


def cancel(connection: sqlite3.Connection, outbox_id: int, now: int) -> None:
    """Give this message up.  Raises NotFound, NotAllowedForStatus."""
    if not connection.execute(sql.CANCEL, {"id": outbox_id, "now": now}).rowcount:
        raise _refusal(connection, outbox_id, "cancelled")


def resolve(connection: sqlite3.Connection, outbox_id: int, now: int, *, sent: bool) -> None:
    """Settle the uncertain recipients, and no others, as *sent* or not.  Raises NotFound, NotAllowedForStatus."""
    if not connection.execute(sql.RESOLVE, {"id": outbox_id}).rowcount:
        raise _refusal(connection, outbox_id, "resolved: its outcome is not uncertain")
    connection.execute(sql.RESOLVE_RECIPIENTS, {"id": outbox_id, "sent": sent})
    if not sent or connection.execute(sql.RESOLVE_SENT, {"id": outbox_id, "now": now}).rowcount:
        return
    left = {status for (status,) in connection.execute(sql.STATUSES_OF_RECIPIENTS, {"id": outbox_id})}
    refused = RecipientStatus.PENDING not in left
    connection.execute(sql.RESOLVE_PARTLY_SENT, {"id": outbox_id, "now": now, "refused": refused})


class Pruning(NamedTuple):
    """What is pruned: messages that ended by *before*; with *records* all of them, not only their content."""

    before: int
    now: int
    records: bool


class Pruned(NamedTuple):
    """What one transaction did: it is done with so many of the messages, and pruned so many of those."""

    done: int
    pruned: int


def prune(database: Database, pruning: Pruning) -> int:
    """Prune as *pruning* says, in transactions so short that nobody waits long for the lock; return how many.

    Raises what ``Database.change`` does.
    """
    count, last, work, pause = 0, 0, MOST_WORK_SECONDS, 0.0
    while True:
        with database.reading() as connection:  # which locks nobody out, among however many messages it looks
            values = {**pruning._asdict(), "after": last, "limit": LOOKED_UP_AT_ONCE}
            ids = [outbox_id for (outbox_id,) in connection.execute(sql.PRUNABLE, values)]
        if not ids:
            return count
        last = ids[-1]
        while ids:
            time.sleep(pause)
            started = time.monotonic()
            enough = partial(_is_over, started + work)
            done, pruned = database.change(partial(prune_some, ids=ids, pruning=pruning, enough=enough))
            del ids[:done]
            count += pruned
            took = time.monotonic() - started
            work = min(MOST_WORK_SECONDS, max(work * LOCKED_SECONDS / took, LEAST_WORK_SECONDS))
            pause = FREE_SECONDS


def _is_over(end: float) -> bool:
    return time.monotonic() >= end


def prune_some(
    connection: sqlite3.Connection, ids: Sequence[int], pruning: Pruning, enough: Callable[[], bool]
) -> Pruned:
    """Prune the first of the messages *ids*, at least a piece of one, until *enough* says so."""
    done = count = 0
    for outbox_id in ids:
        if done and enough():
            break
        values = {**pruning._asdict(), "id": outbox_id}
        if connection.execute(sql.STILL_PRUNABLE, values).fetchone() is not None:
            unfinished = not _drop_content(connection, outbox_id, enough)
            if pruning.records and not unfinished:
                connection.execute(sql.DROP_RECORD, values)
            else:
                connection.execute(sql.MARK_PRUNED, {**values, "unfinished": unfinished})
            if unfinished:
                break
            count += 1
        done += 1
    return Pruned(done, count)


def _drop_content(connection: sqlite3.Connection, outbox_id: int, enough: Callable[[], bool]) -> bool:
    """Delete pieces of a message, the last one first, until *enough* says so; tell whether none is left."""
    first = outbox_id * PIECES_PER_MESSAGE
    values = {"first": first, "beyond": first + PIECES_PER_MESSAGE}
    while connection.execute(sql.DROP_LAST_PIECE, values).rowcount:
        if enough() and connection.execute(sql.HAS_PIECE, (first,)).fetchone() is not None:
            return False
    return True


def _refusal(connection: sqlite3.Connection, outbox_id: int, what: str) -> PrxEmailError:
    found = connection.execute(sql.STATUS_OF, (outbox_id,)).fetchone()
    if found is None:
        return NotFound("outbox record not found", hint=f"there is no {outbox_id}: prx-email list shows the ids")
    return NotAllowedForStatus(
        f"outbox message {outbox_id} is {found[0]} and cannot be {what}",
        hint=f"prx-email show {outbox_id} tells what happened to it",
    )
