"""Change many messages in transactions so short that nobody waits long for the lock."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from prx_email_cli.errors import OutboxDamaged, PrxEmailError, StorageError
from prx_email_cli.outbox.decisions import Decided
from prx_email_cli.outbox.relational import actions
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import Connection, Database
from prx_email_cli.outbox.relational.short_transactions import (
    FREE_SECONDS,
    LEAST_WORK_SECONDS,
    LOCKED_SECONDS,
    MOST_WORK_SECONDS,
)

Act = Callable[[Connection, int], None]


def in_slices(database: Database, ids: Sequence[int], act: Act, deed: Deed | None) -> Iterator[list[Decided]]:
    """Change each of these messages and record the *deed*, if any; yield what became of a slice once that is durable.

    act: changes one message, or raises before it has changed anything.  Raises what ``Database.change`` does.
    """
    at, work, pause = 0, MOST_WORK_SECONDS, 0.0
    while at < len(ids):
        time.sleep(pause)
        started = time.monotonic()
        decided = database.change(partial(_slice, ids=islice(ids, at, None), act=act, deed=deed, end=started + work))
        at += len(decided)
        took = time.monotonic() - started
        work = min(MOST_WORK_SECONDS, max(work * LOCKED_SECONDS / took, LEAST_WORK_SECONDS))
        pause = FREE_SECONDS
        yield decided


def _slice(connection: Connection, ids: Iterator[int], act: Act, deed: Deed | None, end: float) -> list[Decided]:
    """Change the first of these messages, at least one, until *end*."""
    decided: list[Decided] = []
    for outbox_id in ids:
        error = None
        connection.lock(outbox_id)
        try:
            act(connection, outbox_id)
        except PrxEmailError as refused:
            if isinstance(refused, StorageError) and not isinstance(refused, OutboxDamaged):
                raise
            error = refused
        decided.append(Decided(outbox_id, error))
        if time.monotonic() >= end:
            break
    if deed is not None:
        actions.record(connection, [one.outbox_id for one in decided if one.error is None], deed)
    return decided
