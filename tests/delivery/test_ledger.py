"""What several workers have to record shares a step: each result is recorded when its worker goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from prx_email_cli.delivery.ledger import Entry, Ledger
from prx_email_cli.errors import ClaimLost, OutboxBusy, OutboxDamaged, ResultNotRecorded, StorageError
from prx_email_cli.outbox.lifecycle import RecipientStatus
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, Finished

from ..outbox.messages import NOW, ended, new_message, sent, wish
from ..support.memory_store import MemoryRun, MemoryStore

ACCEPTED, REFUSED = RecipientStatus.ACCEPTED, RecipientStatus.REFUSED


class CountingRun(MemoryRun):
    """A run that counts its steps, and for which the outbox fails when it records the message *spoilt*."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, store.start_run(NOW).run_id)
        self.steps, self.spoilt = 0, 0
        self.error: Exception = ZeroDivisionError()

    def advance(
        self, finished: Sequence[Finished], wishes: Sequence[ClaimNext], returned: Sequence[Claimed] = ()
    ) -> Advanced:
        self.steps += 1
        if any(one.claimed.outbox_id == self.spoilt for one in finished):
            raise self.error
        return super().advance(finished, wishes, returned)


class Desk:
    """An outbox, a run on it, and the run's ledger."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.run = CountingRun(self.store)
        self.ledger = Ledger(self.run, lambda: NOW)

    def claimed(self, many: int, *, spoilt: int = 0, error: Exception | None = None) -> list[Claimed]:
        """So many messages, claimed one by one; recording *spoilt* is going to fail with *error*."""
        self.store.submit([new_message() for _ in range(many)])
        claims = [self.ledger.claim(wish()) for _ in range(many)]
        self.run.steps, self.run.spoilt = 0, spoilt
        self.run.error = error or self.run.error
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
        for thread in threads:
            thread.join()
        return results

    def settled(self, claimed: Sequence[Claimed]) -> list[Any]:
        """What becomes of the workers that report these as sent, together."""
        return self.together([self.settle(one) for one in claimed])

    def settle(self, claimed: Claimed, then: ClaimNext | None = None) -> Callable[[], Entry]:
        return lambda: self.ledger.settle(sent(claimed), then)

    def statuses(self) -> list[str]:
        return [str(self.store.row(outbox_id).status) for outbox_id in sorted(self.store.messages)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_results_and_claims_that_wait_together_share_one_step(desk: Desk) -> None:
    claimed = desk.claimed(6)
    desk.store.submit([new_message() for _ in range(3)])
    entries = desk.together([desk.settle(one, wish() if number % 2 else None) for number, one in enumerate(claimed)])
    assert desk.run.steps == 1
    assert desk.statuses() == ["sent"] * 6 + ["sending"] * 3
    following = [entry.claimed.outbox_id if entry.claimed is not None else None for entry in entries]
    assert [one for number, one in enumerate(following) if not number % 2] == [None] * 3
    assert sorted(one for number, one in enumerate(following) if number % 2 and one is not None) == [7, 8, 9]


def test_a_lost_claim_is_the_loser_s_alone(desk: Desk) -> None:
    claimed = desk.claimed(3)
    desk.run.give_back(claimed[1])
    assert [type(entry.lost) for entry in desk.settled(claimed)] == [type(None), ClaimLost, type(None)]
    assert desk.statuses() == ["sent", "pending", "sent"]


def test_damage_of_one_message_keeps_no_other_result_from_being_recorded(desk: Desk) -> None:
    damage = OutboxDamaged("a page is not what was written", hint="restore a backup")
    first, second, third = desk.settled(desk.claimed(3, spoilt=2, error=damage))
    assert (first, third) == (Entry(), Entry())
    assert isinstance(second, ResultNotRecorded)
    assert "outbox message 2 was delivered (2.0.0 queued)" in second.message
    assert desk.statuses() == ["sent", "sending", "sent"]


def test_an_error_of_the_program_is_told_to_everyone_and_nobody_takes_it_for_a_record(desk: Desk) -> None:
    results = desk.settled(desk.claimed(3, spoilt=2))
    assert [type(result) for result in results] == [ZeroDivisionError] * 3
    assert desk.statuses() == ["sending"] * 3


def test_a_locked_outbox_is_told_to_everyone_with_what_is_known_and_each_can_try_again(desk: Desk) -> None:
    claimed = desk.claimed(2, spoilt=2, error=OutboxBusy("locked by another process", hint="wait"))
    results = desk.settled(claimed)
    assert [type(result) for result in results] == [ResultNotRecorded] * 2
    assert all("was delivered (2.0.0 queued)" in result.message for result in results)
    desk.run.spoilt = 0
    assert desk.settled(claimed) == [Entry()] * 2
    assert desk.statuses() == ["sent"] * 2


@pytest.mark.parametrize(
    ("statuses", "uncertain", "known"),
    [
        ([ACCEPTED, REFUSED], False, "was delivered for some of its recipients (2.0.0 queued)"),
        ([], True, "may have been delivered (why)"),
        ([REFUSED, REFUSED], False, "was not delivered (why)"),
    ],
    ids=["partly delivered", "uncertain", "refused"],
)
def test_what_is_known_of_a_result_that_was_not_recorded_is_told(
    desk: Desk, statuses: list[RecipientStatus], uncertain: bool, known: str
) -> None:
    desk.store.submit([new_message("a@example.org", "b@example.org")])
    claimed = desk.ledger.claim(wish())
    assert claimed is not None
    desk.run.spoilt, desk.run.error = claimed.outbox_id, StorageError("the disk is full", hint="make room")
    with pytest.raises(ResultNotRecorded) as told:
        desk.ledger.settle(ended(claimed, *statuses, uncertain=uncertain), None)
    assert f"outbox message 1 {known}, but that could not be recorded: the disk is full" in told.value.message


def test_many_workers_deliver_everything_once(desk: Desk) -> None:
    desk.store.submit([new_message() for _ in range(200)])

    def work(_: int) -> list[int]:
        done: list[int] = []
        claimed = desk.ledger.claim(wish())
        while claimed is not None:
            done.append(claimed.outbox_id)
            claimed = desk.ledger.settle(sent(claimed), wish()).claimed
        return done

    with ThreadPoolExecutor(8) as pool:
        done = [outbox_id for ids in pool.map(work, range(8)) for outbox_id in ids]
    assert sorted(done) == list(range(1, 201))
    assert set(desk.statuses()) == {"sent"}
