"""What people are told, and what accounts may do, is one for all machines."""

from __future__ import annotations

from prx_email_cli.outbox.accounts import AccountState, Event
from prx_email_cli.outbox.lifecycle import RecipientStatus, Scope

from ..messages import NOW, claim, ended, new_message, wish
from .conftest import Machine
from .test_many_machines import MACHINES, at_once


def test_an_account_that_fails_rests_on_all_machines_and_one_of_them_tells_of_it(machine: Machine) -> None:
    stores = [machine(str(number)) for number in range(MACHINES)]
    stores[0].submit([new_message()])
    with stores[0].start_run(NOW) as run:
        failed = ended(claim(run), scope=Scope.ACCOUNT)
        refused = failed._replace(outcome=failed.outcome._replace(error="auth", code=535))
        assert run.advance([refused], []).lost == [None]
    assert all(store.account_states()["work"].rests(NOW + 1) for store in stores)
    told: list[object] = []
    at_once(lambda number: told.extend(event for event, _ in stores[number].take_untold(NOW + 1)))
    assert told == [Event.DOWN]
    stores[1].wake("work")
    assert not any(store.account_states()["work"].rests(NOW + 1) for store in stores)


def test_a_given_up_message_and_a_cause_are_told_of_by_one_machine(machine: Machine) -> None:
    stores = [machine(str(number)) for number in range(MACHINES)]
    stores[0].submit([new_message() for _ in range(5)])
    with stores[0].start_run(NOW) as run:
        for _ in range(5):
            run.advance([ended(claim(run), RecipientStatus.REFUSED)], [])
    reported: list[int] = []
    may: list[bool] = []

    def tell(number: int) -> None:
        reported.extend(stores[number].take_unreported(NOW))
        may.append(stores[number].may_tell("the disk is full", NOW))

    at_once(tell)
    assert sorted(reported) == [1, 2, 3, 4, 5]
    assert sorted(may) == [False] * (MACHINES - 1) + [True]


def test_a_pause_is_seen_at_once_by_the_runs_of_all_machines(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    one.submit([new_message(), new_message()])
    with other.start_run(NOW) as run:
        claimed = claim(run)
        one.pause(AccountState("work", paused_at=NOW, paused_by="ops@one", reason="moves"))
        assert run.advance([], [wish()]).claims == [[]]
        assert run.wanted_back(NOW) == [claimed.outbox_id]
        assert other.account_states()["work"].is_paused(NOW)
        one.resume("work", NOW)
        assert other.account_states() == {}
        assert [one.outbox_id for one in run.advance([], [wish()]).claims[0]] == [2]
