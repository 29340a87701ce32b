"""That messages are due and nothing drains is noticed, and told once a day."""

from __future__ import annotations

from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, Scope
from prx_email_cli.outbox.messages import Moment
from prx_email_cli.outbox.store import Run, Store

from ..messages import NOW, POLICY, new_message
from .asking import Dying, claim, record, submit

HALF_AN_HOUR, A_DAY = 1800, 86_400
LATE = NOW + HALF_AN_HOUR
PAUSE = AccountState("work", paused_at=NOW, paused_by="ann@host")


def test_a_message_due_for_half_an_hour_is_told_once_a_day(store: Store) -> None:
    submit(store, new_message(due_at=NOW + 5), new_message(account="home", due_at=NOW))
    assert store.take_undrained(LATE - 1) is None
    assert store.take_undrained(LATE) == NOW
    assert store.take_undrained(LATE) is None
    assert store.take_undrained(LATE + A_DAY - 1) is None
    assert store.take_undrained(LATE + A_DAY) == NOW


def test_what_is_due_later_or_held_or_over_is_no_matter(store: Store) -> None:
    submit(store, new_message(due_at=LATE), new_message(), new_message())
    store.hold(2, NOW)
    store.cancel(3, NOW)
    assert store.take_undrained(LATE) is None


def test_nothing_is_told_while_drains_end(store: Store) -> None:
    submit(store)
    with store.start_run(NOW):
        store.note_drain(LATE - HALF_AN_HOUR + 1)
    assert store.take_undrained(LATE) is None
    assert store.take_undrained(LATE + 1) == NOW


def test_nothing_is_told_while_a_run_lives(store: Store, dying: Dying) -> None:
    submit(store)
    _, die = dying()
    assert store.take_undrained(LATE) is None
    die()
    assert store.take_undrained(LATE) == NOW


def test_accounts_that_are_paused_or_rest_are_no_matter(store: Store) -> None:
    submit(store, new_message(), new_message(account="home"))
    store.pause(PAUSE)
    store.pause(PAUSE._replace(account="home"))
    assert store.take_undrained(LATE) is None
    store.resume("home", NOW)
    store.pause(PAUSE._replace(account=EVERY_ACCOUNT, paused_until=LATE + 1))
    assert store.take_undrained(LATE) is None
    assert store.take_undrained(LATE + 1) == NOW


def test_an_account_that_rests_is_no_matter(store: Store) -> None:
    submit(store, new_message(), new_message())
    with store.start_run(NOW) as run:
        refuse_login(run)
    assert store.take_undrained(LATE) is None
    assert store.take_undrained(LATE + 60) == NOW


def refuse_login(run: Run) -> None:
    refused = Outcome({}, error="auth", detail="535 no", code=535, scope=Scope.ACCOUNT)
    record(run, finish(claim(run), refused, POLICY, Moment(LATE)))


def test_after_a_clock_that_was_ahead_it_is_told_all_the_same(store: Store) -> None:
    submit(store)
    assert store.take_undrained(NOW + 10 * A_DAY) == NOW
    assert store.take_undrained(LATE) == NOW
