"""What is kept of accounts beside their messages."""

from __future__ import annotations

from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState, Event
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, Scope
from prx_email_cli.outbox.messages import Claimed, ClaimNext, Moment
from prx_email_cli.outbox.store import Run, Store

from ..messages import NOW, POLICY, new_message
from .asking import ACCEPTED, attempt, claim, claim_next, forced, record, submit

PAUSE = AccountState("work", paused_at=NOW, paused_by="ann@host", reason="moving")
REFUSED = Outcome({}, error="auth", detail="535 no", code=535, scope=Scope.ACCOUNT)


def fail(run: Run, claimed: Claimed, now: int = NOW, outcome: Outcome = REFUSED) -> None:
    record(run, finish(claimed, outcome, POLICY, Moment(now)))


def send(run: Run, claimed: Claimed, now: int) -> None:
    sent = Outcome({0: RecipientResult(ACCEPTED, 250)}, acceptance="ok")
    record(run, finish(claimed, sent, POLICY, Moment(now)))


def test_of_an_account_that_works_nothing_is_kept(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, ACCEPTED)
    assert store.account_states() == {}
    assert store.take_untold(NOW) == []
    store.wake("work")
    store.note_config("work", "abc")
    assert not store.resume("work", NOW)
    assert store.account_states() == {}


def test_nothing_is_claimed_of_a_paused_account_and_other_accounts_go_on(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message(account="home"))
    store.pause(PAUSE)
    assert claim_next(run) is None
    assert claim_next(run, account="home") is not None
    assert store.account_states() == {"work": PAUSE}
    assert store.resume("work", NOW)
    assert store.account_states() == {}
    assert claim_next(run) is not None


def test_a_pause_of_all_keeps_every_account_and_is_lifted_for_all(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message(account="home"))
    store.pause(PAUSE)
    store.pause(PAUSE._replace(account=EVERY_ACCOUNT))
    assert [claim_next(run, account=name) for name in ("work", "home")] == [None, None]
    assert store.resume(EVERY_ACCOUNT, NOW)
    assert store.account_states() == {}


def test_a_pause_ends_at_its_time(store: Store, run: Run) -> None:
    submit(store)
    store.pause(PAUSE._replace(paused_until=NOW + 10))
    assert claim_next(run, NOW + 9) is None
    assert claim_next(run, NOW + 10) is not None


def test_a_person_may_claim_a_message_of_a_paused_account(store: Store, run: Run) -> None:
    submit(store)
    store.pause(PAUSE)
    assert run.claim_by_id(forced(1)).outbox_id == 1


def test_a_failure_of_the_account_is_noted_beside_a_pause(store: Store, run: Run) -> None:
    submit(store)
    claimed = claim(run)
    store.pause(PAUSE)
    fail(run, claimed)
    state = store.account_states()["work"]
    assert (state.reason, state.refusals, state.rests_until, state.detail) == ("moving", 1, NOW + 60, "535 no")


def test_waking_ends_the_rest_and_forgets_no_failure(store: Store, run: Run) -> None:
    submit(store)
    fail(run, claim(run))
    store.note_config("work", "abc")
    assert store.account_states()["work"].config == "abc"
    store.wake("work")
    state = store.account_states()["work"]
    assert (state.rests(NOW), state.failing_since, state.refusals, state.config) == (False, NOW, 0, None)


def test_what_a_person_is_to_be_told_goes_to_one_caller(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    fail(run, claim(run))
    assert [(event, state.account) for event, state in store.take_untold(NOW)] == [(Event.DOWN, "work")]
    assert store.take_untold(NOW) == []
    send(run, claim(run, NOW + 60), NOW + 60)
    assert [event for event, _ in store.take_untold(NOW + 60)] == [Event.UP]
    assert store.account_states() == {}


def test_what_failed_by_the_account_is_due_at_once_when_it_works_again(store: Store, run: Run) -> None:
    """Not what failed by itself, nor what a person holds, nor what is another account's."""
    submit(store, *[new_message()] * 5, new_message(account="home"))
    for _ in range(3):
        fail(run, claim(run))
    store.hold(3, NOW)
    fail(run, claim(run), outcome=Outcome({}, error="provider", detail="451 busy", code=451))
    (home,) = run.advance([], [ClaimNext("home", NOW, NOW)]).claims[0]
    fail(run, home)
    before = {outbox_id: store.row(outbox_id).next_attempt_at for outbox_id in (1, 2, 3, 4, 6)}
    send(run, claim(run, NOW + 1), NOW + 1)
    after = {outbox_id: store.row(outbox_id).next_attempt_at for outbox_id in (1, 2, 3, 4, 6)}
    assert after == {**before, 1: NOW, 2: NOW}
    assert [store.row(outbox_id).retries for outbox_id in (1, 2)] == [1, 1]
    assert claim(run, NOW + 1).outbox_id == 1


def test_of_a_forgotten_account_nothing_is_left(store: Store) -> None:
    store.pause(PAUSE)
    store.forget_account("work")
    store.forget_account("nobody")
    assert store.account_states() == {}


def test_the_pause_of_all_can_be_lifted_alone(store: Store) -> None:
    store.pause(PAUSE)
    store.pause(PAUSE._replace(account=EVERY_ACCOUNT))
    assert store.resume(EVERY_ACCOUNT, NOW, alone=True)
    assert store.account_states() == {"work": PAUSE}
    assert not store.resume(EVERY_ACCOUNT, NOW, alone=True)
    assert store.resume(EVERY_ACCOUNT, NOW)
    assert store.account_states() == {}
