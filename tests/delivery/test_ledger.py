"""The clerk: whatever waits shares a step, and each result is told once it is durable, or why it is not."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from prx_email_cli.delivery.account import AccountRun, DueMessages
from prx_email_cli.delivery.ledger import Came, Failed, Ledger, News, Recorded
from prx_email_cli.delivery.schedule import Schedule
from prx_email_cli.errors import ClaimLost, NotFound, OutboxBusy, OutboxDamaged, ResultNotRecorded, StorageError
from prx_email_cli.outbox.lifecycle import RecipientStatus
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished

from ..outbox.messages import NOW, ended, new_message, sent, wish
from ..support.memory_store import MemoryRun, MemoryStore

ACCEPTED, REFUSED = RecipientStatus.ACCEPTED, RecipientStatus.REFUSED
ACCOUNT = AccountRun("work", DueMessages("work", NOW), Schedule(), lambda text: None, 32)


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
        """So many new messages, claimed; recording *spoilt* is going to fail with *error*."""
        self.store.submit([new_message() for _ in range(many)])
        (claims,) = self.run.advance([], [wish()._replace(most=many)]).claims
        self.run.steps, self.run.spoilt = 0, spoilt
        self.run.error = error or self.run.error
        return claims

    def settle(self, *claimed: Claimed) -> list[News]:
        """What is told after a step that records these as sent."""
        for one in claimed:
            self.ledger.settle(ACCOUNT, sent(one))
        return self.step()

    def step(self) -> list[News]:
        """What is told after a step."""
        self.ledger.step()
        return list(iter(self.ledger.news, None))

    def statuses(self) -> list[str]:
        return [str(self.store.row(outbox_id).status) for outbox_id in sorted(self.store.messages)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_results_claims_and_what_is_given_back_share_one_step_and_are_told_in_order(desk: Desk) -> None:
    claimed = desk.claimed(6)
    desk.store.submit([new_message() for _ in range(3)])
    desk.ledger.ask(ACCOUNT, wish()._replace(most=2))
    desk.ledger.give_back(claimed[4:])
    news = desk.settle(*claimed[:4])
    assert desk.run.steps == 1
    assert [one.finished.claimed.outbox_id for one in news if isinstance(one, Recorded)] == [1, 2, 3, 4]
    (came,) = (one for one in news if isinstance(one, Came))
    assert [one.outbox_id for one in came.claims] == [5, 6], "what is given back can be claimed in the same step"
    assert desk.statuses() == ["sent"] * 4 + ["sending"] * 2 + ["pending"] * 3


def test_nothing_is_written_when_nothing_waits(desk: Desk) -> None:
    assert not desk.ledger.step()
    assert (desk.run.steps, desk.ledger.idle) == (0, True)


def test_it_is_not_idle_until_what_was_written_is_told(desk: Desk) -> None:
    (claimed,) = desk.claimed(1)
    desk.ledger.settle(ACCOUNT, sent(claimed))
    assert not desk.ledger.idle
    assert desk.ledger.step()
    assert not desk.ledger.idle
    assert isinstance(desk.ledger.news(), Recorded)
    assert desk.ledger.idle


def test_a_lost_claim_is_the_loser_s_alone(desk: Desk) -> None:
    claimed = desk.claimed(3)
    desk.run.advance([], [], claimed[1:2])
    lost = [type(one.lost) for one in desk.settle(*claimed) if isinstance(one, Recorded)]
    assert lost == [type(None), ClaimLost, type(None)]
    assert desk.statuses() == ["sent", "pending", "sent"]


def test_damage_of_one_message_keeps_no_other_result_from_being_recorded(desk: Desk) -> None:
    damage = OutboxDamaged("a page is not what was written", hint="restore a backup")
    first, second, third = desk.settle(*desk.claimed(3, spoilt=2, error=damage))
    assert isinstance(first, Recorded)
    assert isinstance(third, Recorded)
    assert isinstance(second, Failed)
    assert isinstance(second.error, ResultNotRecorded)
    assert "outbox message 2 was delivered (2.0.0 queued)" in second.error.message
    assert desk.statuses() == ["sent", "sending", "sent"]


def test_an_error_of_the_program_is_told_and_nobody_takes_it_for_a_record(desk: Desk) -> None:
    told = desk.settle(*desk.claimed(3, spoilt=2))
    assert [type(one.error) for one in told if isinstance(one, Failed)] == [ZeroDivisionError] * 3
    assert desk.statuses() == ["sending"] * 3


def test_a_locked_outbox_is_told_with_what_is_known_and_later_results_are_tried_again(desk: Desk) -> None:
    claimed = desk.claimed(2, spoilt=2, error=OutboxBusy("locked by another process", hint="wait"))
    desk.ledger.ask(ACCOUNT, wish())
    *results, came = desk.settle(*claimed)
    errors = [one.error for one in results if isinstance(one, Failed)]
    assert [type(error) for error in errors] == [ResultNotRecorded] * 2
    assert all("was delivered (2.0.0 queued)" in str(error) for error in errors)
    assert came == Came(ACCOUNT, wish(), []), "a worker that waits for a message is told that there is none"
    desk.run.spoilt = 0
    assert [type(one) for one in desk.settle(*claimed)] == [Recorded] * 2
    assert desk.statuses() == ["sent"] * 2


def test_a_chosen_message_is_claimed_after_the_result_before_it_or_its_refusal_is_told(desk: Desk) -> None:
    (claimed,) = desk.claimed(1)
    desk.store.submit([new_message()])
    for outbox_id in (1, 2, 99):
        desk.ledger.ask(ACCOUNT, ClaimOne(outbox_id, 0, force=True))
    _, first, second, third = desk.settle(claimed)
    assert isinstance(first, Came)
    assert isinstance(second, Came)
    assert isinstance(third, Came)
    assert (first.claims, str(first.refused)) == ([], "outbox message 1 is sent, held: False")
    assert [one.outbox_id for one in second.claims] == [2]
    assert isinstance(third.refused, NotFound)


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
    ((claimed,),) = desk.run.advance([], [wish()]).claims
    desk.run.spoilt, desk.run.error = claimed.outbox_id, StorageError("the disk is full", hint="make room")
    desk.ledger.settle(ACCOUNT, ended(claimed, *statuses, uncertain=uncertain))
    (told,) = desk.step()
    assert isinstance(told, Failed)
    assert f"outbox message 1 {known}, but that could not be recorded: the disk is full" in str(told.error)


def test_a_clerk_of_its_own_thread_records_everything_once(desk: Desk) -> None:
    """Results come while it writes, so that a step takes many."""
    claimed = desk.claimed(200)
    over = threading.Event()

    def be_clerk() -> None:
        while not (over.is_set() and desk.ledger.idle):
            desk.ledger.step()
            told.extend(iter(desk.ledger.news, None))

    told: list[News] = []
    with ThreadPoolExecutor(5) as pool:
        clerk = pool.submit(be_clerk)
        list(pool.map(lambda one: desk.ledger.settle(ACCOUNT, sent(one)), claimed))
        over.set()
        clerk.result()
    assert sorted(one.finished.claimed.outbox_id for one in told if isinstance(one, Recorded)) == list(range(1, 201))
    assert set(desk.statuses()) == {"sent"}
