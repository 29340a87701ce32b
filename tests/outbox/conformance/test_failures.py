"""Why unsent messages have failed, those of the same words as one."""

from __future__ import annotations

from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, Reason, RecipientResult, Scope
from prx_email_cli.outbox.messages import ClaimNext, Moment
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Failure

from ..messages import NOW, POLICY, new_message
from .asking import ACCEPTED, REFUSED, attempt, submit

BUSY = Outcome({}, error="provider", detail="451 busy", code=451)
LOGIN = Outcome({}, error="auth", detail="535 no", code=535, scope=Scope.ACCOUNT)


def fail(run: Run, outcome: Outcome, many: int = 1, account: str = "work") -> None:
    (claimed,) = run.advance([], [ClaimNext(account, NOW, NOW, most=many)]).claims
    run.advance([finish(one, outcome, POLICY, Moment(NOW)) for one in claimed], [])


def test_nothing_has_failed_while_nothing_was_tried_or_all_was_sent(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    attempt(run, ACCEPTED)
    assert store.failures() == []


def test_the_same_words_are_counted_together_by_account(store: Store, run: Run) -> None:
    submit(store, *[new_message(due_at=NOW - number) for number in range(3)], new_message(account="home"))
    fail(run, BUSY, 3)
    fail(run, BUSY, account="home")
    assert store.failures() == [
        Failure("work", False, "provider", "451 busy", None, 3, NOW - 2, 3),
        Failure("home", False, "provider", "451 busy", None, 1, NOW, 4),
    ]


def test_a_failure_of_the_account_is_told_from_one_of_the_message(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    fail(run, LOGIN)
    fail(run, BUSY)
    assert [one.by_account for one in store.failures()] == [True, False]


def test_what_was_given_up_is_told_with_its_reason_and_what_was_cancelled_is_not(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    attempt(run, REFUSED)
    attempt(run, REFUSED)
    store.cancel(2, NOW)
    assert [(one.gave_up, one.many) for one in store.failures()] == [(Reason.REFUSED, 1)]


def test_what_may_have_been_accepted_and_is_held_is_told_from_what_is_tried_again(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    attempt(run, uncertain=True)
    attempt(run, uncertain=True)
    store.hold(1, NOW)
    assert sorted((one.outbox_id, one.uncertain) for one in store.failures()) == [(1, True), (2, False)]


def test_what_expired_unattempted_is_told(store: Store, run: Run) -> None:
    submit(store, new_message(expires_at=NOW + 5))
    assert run.expire(NOW + 5) == [1]
    (failure,) = store.failures()
    assert (failure.gave_up, failure.outbox_id) == (Reason.EXPIRED, 1)


def test_a_result_that_comes_after_all_ends_the_failure(store: Store, run: Run) -> None:
    submit(store)
    fail(run, BUSY)
    (claimed,) = run.advance([], [ClaimNext("work", NOW + 100, NOW + 100)]).claims
    sent = Outcome({0: RecipientResult(ACCEPTED, 250)}, acceptance="ok")
    run.advance([finish(one, sent, POLICY, Moment(NOW + 100)) for one in claimed], [])
    assert store.failures() == []
