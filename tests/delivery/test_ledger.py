"""What several workers have to record shares a transaction: each result is durable when its worker goes on."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prx_email_cli.delivery.ledger import Entry, Ledger
from prx_email_cli.errors import ClaimLost, OutboxDamaged, ResultNotRecorded
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, Finished
from prx_email_cli.outbox.sqlite import recording
from prx_email_cli.outbox.sqlite.run import SqliteRun
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.store import Run

from ..outbox.messages import NOW, new_message, open_store, sent, wish


class Desk:
    """An outbox, a run on it, and the run's ledger."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = open_store(path, busy_timeout_seconds=0.01)
        self.run: Run = self.store.start_run(NOW)
        self.ledger = Ledger(self.run, lambda: NOW)
        self.transactions = 0

    def claimed(self, many: int) -> list[Claimed]:
        """So many messages, claimed one by one."""
        self.store.enqueue([new_message() for _ in range(many)])
        claims = [self.ledger.claim(wish()) for _ in range(many)]
        return [claim for claim in claims if claim is not None]

    def together(self, asks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Results or errors of *asks*, all of which wait before the first one is written."""
        results: list[Any] = [None] * len(asks)

        def run(number: int) -> None:
            try:
                results[number] = asks[number]()
            except Exception as error:
                results[number] = error

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(asks))]
        with self.ledger._lock:
            for waiting, thread in enumerate(threads, 1):
                thread.start()
                while len(self.ledger._waiting) < waiting:
                    thread.join(0.001)
        self.store._connection.set_trace_callback(self._count)
        for thread in threads:
            thread.join()
        self.store._connection.set_trace_callback(None)
        return results

    def settle(self, claimed: Claimed, then: ClaimNext | None = None) -> Callable[[], Entry]:
        return lambda: self.ledger.settle(sent(claimed), then)

    def statuses(self) -> list[str]:
        """What another connection sees."""
        with closing(sqlite3.connect(self.path)) as connection:
            return [status for (status,) in connection.execute("SELECT status FROM outbox ORDER BY id")]

    def _count(self, statement: str) -> None:
        self.transactions += statement.startswith("BEGIN")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "outbox.db")
    yield desk
    desk.run.__exit__(None, None, None)
    desk.store.close()


class Spoiled(SqliteRun):
    """A run for which the outbox fails when it records the message *spoils*."""

    spoils = 0
    error: Exception

    @classmethod
    def of(cls, desk: Desk, spoils: int, error: Exception) -> Ledger:
        run = desk.run
        assert isinstance(run, SqliteRun)
        spoiled = cls.__new__(cls)
        spoiled.__dict__.update(run.__dict__)
        spoiled.spoils, spoiled.error = spoils, error
        return Ledger(spoiled, lambda: NOW)

    def advance(self, finished: Sequence[Finished], wishes: Sequence[ClaimNext]) -> Advanced:
        if any(one.claimed.outbox_id == self.spoils for one in finished):
            raise self.error
        return super().advance(finished, wishes)


def test_results_and_claims_that_wait_together_share_one_transaction(desk: Desk) -> None:
    claimed = desk.claimed(6)
    desk.store.enqueue([new_message() for _ in range(3)])
    entries = desk.together([desk.settle(one, wish() if number % 2 else None) for number, one in enumerate(claimed)])
    assert desk.transactions == 1
    assert desk.statuses() == ["sent"] * 6 + ["sending"] * 3
    following = [entry.claimed.outbox_id if entry.claimed is not None else None for entry in entries]
    assert [one for number, one in enumerate(following) if not number % 2] == [None] * 3
    assert sorted(one for number, one in enumerate(following) if number % 2 and one is not None) == [7, 8, 9]


def test_a_lost_claim_is_the_loser_s_alone(desk: Desk) -> None:
    first, second, third = desk.claimed(3)
    desk.run.give_back([second])
    entries = desk.together([desk.settle(one) for one in (first, second, third)])
    assert [type(entry.lost) for entry in entries] == [type(None), ClaimLost, type(None)]
    assert desk.statuses() == ["sent", "pending", "sent"]


def test_damage_of_one_message_keeps_no_other_result_from_being_recorded(desk: Desk) -> None:
    claimed = desk.claimed(3)
    desk.ledger = Spoiled.of(desk, 2, OutboxDamaged("a page is not what was written", hint="restore a backup"))
    first, second, third = desk.together([desk.settle(one) for one in claimed])
    assert (first, third) == (Entry(), Entry())
    assert isinstance(second, ResultNotRecorded)
    assert "outbox message 2 was delivered (2.0.0 queued)" in second.message
    assert desk.statuses() == ["sent", "sending", "sent"]


def test_an_error_of_the_program_is_told_to_everyone_and_nobody_takes_it_for_a_record(desk: Desk) -> None:
    claimed = desk.claimed(3)
    desk.ledger = Spoiled.of(desk, 2, ZeroDivisionError())
    results = desk.together([desk.settle(one) for one in claimed])
    assert [type(result) for result in results] == [ZeroDivisionError] * 3
    assert desk.statuses() == ["sending"] * 3


def test_a_locked_outbox_is_told_to_everyone_with_what_is_known_and_nothing_is_half_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PATIENCE", 2)
    claimed = desk.claimed(2)
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        results = desk.together([desk.settle(one) for one in claimed])
    assert [type(result) for result in results] == [ResultNotRecorded] * 2
    assert all("was delivered (2.0.0 queued)" in result.message for result in results)
    assert desk.statuses() == ["sending"] * 2
    assert desk.together([desk.settle(one) for one in claimed]) == [Entry()] * 2
    assert desk.statuses() == ["sent"] * 2


def test_many_workers_deliver_everything_once(desk: Desk) -> None:
    desk.store.enqueue([new_message() for _ in range(80)])

    def work(_: int) -> list[int]:
        done: list[int] = []
        claimed = desk.ledger.claim(wish())
        while claimed is not None:
            done.append(claimed.outbox_id)
            claimed = desk.ledger.settle(sent(claimed), wish()).claimed
        return done

    with ThreadPoolExecutor(8) as pool:
        done = [outbox_id for ids in pool.map(work, range(8)) for outbox_id in ids]
    assert sorted(done) == list(range(1, 81))
    assert set(desk.statuses()) == {"sent"}


def test_an_error_leaves_the_store_without_an_open_transaction(desk: Desk) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE ledger SET generation = generation + 1")
        raise KeyError("x")

    store: SqliteStore = desk.store
    with pytest.raises(KeyError):
        store.change(fail)
    assert not store._connection.in_transaction
    assert store.change(lambda connection: connection.execute("SELECT generation FROM ledger").fetchone()) == (0,)
