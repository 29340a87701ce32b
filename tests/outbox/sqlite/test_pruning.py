"""How ``prune`` shares the outbox with others: in short transactions, and it goes on where it was broken off."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from itertools import chain, repeat
from typing import TypeVar

import pytest

from prx_email_cli.errors import NotAllowedForStatus, NotFound
from prx_email_cli.outbox import PIECE_BYTES
from prx_email_cli.outbox.messages import ClaimOne
from prx_email_cli.outbox.relational import pruning, short_transactions
from prx_email_cli.outbox.relational.pruning import Step, prune_some, values_of
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.views import Drop, Pruned, Pruning

from ..messages import NOW, claim, ended, new_message, sent

T = TypeVar("T")
ALL = Pruning(NOW, NOW)
RECORDS = ALL._replace(drop=Drop.RECORD)
PIECES = 4


@pytest.fixture
def outbox(outbox: SqliteStore) -> SqliteStore:
    """With a message of several pieces and three small ones, all cancelled, and a small one that waits."""
    large = new_message(content=b"x" * (PIECES * PIECE_BYTES - 1))
    outbox.enqueue([large, *[new_message() for _ in range(4)]])
    for outbox_id in range(1, 5):
        outbox.cancel(outbox_id, NOW)
    return outbox


def prune(outbox: SqliteStore, ids: list[int], *enough: bool, wanted: Pruning = ALL) -> Step:
    """Prune in one transaction, which has enough as *enough* says, each time that it asks, and then always."""
    answers = chain(enough, repeat(True))
    return outbox.change(lambda connection: prune_some(connection, ids, values_of(wanted, None), lambda: next(answers)))


def pieces(outbox: SqliteStore) -> list[int]:
    """The pieces of content of each message that has any."""
    with closing(sqlite3.connect(outbox.path)) as connection:
        return [count for (count,) in connection.execute("SELECT count(*) FROM content GROUP BY id / 65536")]


def test_a_transaction_that_has_enough_ends_within_a_message_and_the_next_goes_on_there(outbox: SqliteStore) -> None:
    for left in (3, 2, 1):
        assert prune(outbox, [1, 2]) == Step(0, 0)
        assert pieces(outbox) == [left, 1, 1, 1, 1]
    assert prune(outbox, [1, 2]) == Step(1, 1)
    assert prune(outbox, [2, 3, 4], False, False) == Step(2, 2)
    assert pieces(outbox) == [1, 1]


@pytest.mark.parametrize("records", [False, True])
def test_what_was_broken_off_within_a_message_is_finished_by_the_next_prune(outbox: SqliteStore, records: bool) -> None:
    assert prune(outbox, [1], wanted=RECORDS if records else ALL) == Step(0, 0)
    with outbox.start_run(NOW) as run, pytest.raises(NotAllowedForStatus, match="pruned"):
        run.claim_by_id(ClaimOne(1, NOW, force=True))
    assert outbox.prune(ALL) == Pruned(4)
    assert pieces(outbox) == [1]
    assert outbox.prune(ALL) == Pruned(0)
    assert outbox.prune(RECORDS) == Pruned(4)
    with pytest.raises(NotFound):
        outbox.row(1)


def test_a_message_that_is_no_longer_over_or_there_when_its_turn_comes_is_left(outbox: SqliteStore) -> None:
    with outbox.start_run(NOW) as run:
        claimed = run.claim_by_id(ClaimOne(2, NOW, force=True))
        outbox.prune(RECORDS)
        assert prune(outbox, [1, 2, 3], False, False, False) == Step(3, 0)
        run.advance([ended(claimed)], [])
        run.advance([sent(claim(run))], [])
    assert pieces(outbox) == [1, 1]


class Between:
    """An outbox that calls *look* before each change."""

    def __init__(self, outbox: SqliteStore, look: Callable[[], object]) -> None:
        self._outbox, self._look = outbox, look

    def change(self, make: Callable[[sqlite3.Connection], T]) -> T:
        self._look()
        return self._outbox.change(make)

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._outbox.reading()


def test_others_get_the_lock_between_the_pieces_of_a_content(
    outbox: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MOST_WORK_SECONDS", "LEAST_WORK_SECONDS", "FREE_SECONDS"):
        monkeypatch.setattr(short_transactions, name, 0.0)
    left: list[int] = []
    with closing(sqlite3.connect(outbox.path, timeout=0)) as other:

        def write() -> None:
            with other:
                other.execute("UPDATE ledger SET recorded_at = 1")
            left.append(sum(pieces(outbox)))

        assert pruning.prune(Between(outbox, write), ALL) == Pruned(4)
    assert left == [PIECES + 4 - dropped for dropped in range(PIECES + 3)]


def test_nobody_is_locked_out_while_it_looks_for_messages(outbox: SqliteStore) -> None:
    with closing(sqlite3.connect(outbox.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert outbox.prune(Pruning(NOW - 1, NOW)) == Pruned(0)
