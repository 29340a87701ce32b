"""How messages age, expire, and are reported once they are given up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from prx_email_cli.outbox.messages import Moment
from prx_email_cli.outbox.store import Run, Store

from ..messages import NOW, ended, new_message
from .asking import FOR_EVER, PENDING, attempt, claim, claim_next, forced, record, refuse, submit

HOUR, DAY = 3600, 86_400


def drained(run: Run, *moments: int) -> int:
    """How old drains that begin at *moments* make a message that was first attempted in the first of them."""
    for number, moment in enumerate(moments):
        run.begin_drain(moment)
        if number == 0:
            attempt(run, PENDING, now=moment)
    return run.claim_by_id(forced(1, moments[-1])).drained_seconds


@pytest.mark.parametrize(
    ("moments", "age"),
    [
        ([NOW], 0),
        ([NOW, NOW + HOUR], HOUR),
        ([NOW, NOW + HOUR, NOW + 2 * HOUR], 2 * HOUR),
        ([NOW, NOW + 30 * DAY], 25 * HOUR),  # the machine was off, or the clock jumped
        ([NOW, NOW - DAY, NOW - DAY + HOUR], HOUR),  # a clock that goes back adds nothing
        ([NOW, NOW + HOUR, NOW + HOUR], HOUR),
    ],
)
def test_a_message_ages_while_drains_are_at_work(store: Store, run: Run, moments: list[int], age: int) -> None:
    submit(store)
    assert drained(run, *moments) == age


def test_neither_time_before_its_first_attempt_nor_one_that_was_forced_before_its_time_ages_a_message(
    store: Store, run: Run
) -> None:
    submit(store, new_message(due_at=NOW + HOUR), new_message())
    run.begin_drain(NOW)
    early = run.claim_by_id(forced(1))
    record(run, ended(early, PENDING))
    run.begin_drain(NOW + HOUR)
    claims = [early, claim(run, NOW + HOUR), claim(run, NOW + HOUR)]
    assert [(one.outbox_id, one.drained_seconds) for one in claims] == [(1, 0), (2, 0), (1, 0)]


def test_time_in_which_nothing_waits_does_not_count(store: Store, run: Run) -> None:
    submit(store)
    run.begin_drain(NOW)
    attempt(run, PENDING)
    store.hold(1, NOW)
    assert run.begin_drain(NOW + HOUR) == Moment(NOW + HOUR)
    store.release(1, NOW)
    run.begin_drain(NOW + 2 * HOUR)
    assert claim(run, NOW + 2 * HOUR).drained_seconds == 2 * HOUR, "as one pause"


def test_a_leap_of_more_than_a_day_puts_the_clock_in_doubt_once_while_something_waits(store: Store, run: Run) -> None:
    assert run.begin_drain(NOW) == Moment(NOW), "nothing to deliver"
    submit(store)
    day = NOW + DAY + 1
    assert run.begin_drain(day) == Moment(day, clock_in_doubt=True), "as seen from the oldest message"
    assert run.begin_drain(day + DAY) == Moment(day + DAY)
    assert run.begin_drain(day + 2 * DAY + 1) == Moment(day + 2 * DAY + 1, clock_in_doubt=True)
    assert run.begin_drain(day + 2 * DAY + 61) == Moment(day + 2 * DAY + 61)
    assert run.begin_drain(NOW) == Moment(NOW), "back again"
    store.hold(1, NOW)
    assert run.begin_drain(NOW + 9 * DAY) == Moment(NOW + 9 * DAY)


def test_what_has_expired_is_given_up_and_nothing_else(store: Store, run: Run) -> None:
    submit(
        store,
        new_message(expires_at=NOW + 10),
        new_message(expires_at=NOW + 11),
        new_message(),
        new_message(due_at=NOW + 99, expires_at=NOW + 10),
        new_message(expires_at=NOW + 10, account="home"),
        new_message(expires_at=NOW + 10, account="held"),
        new_message(expires_at=NOW + 10, account="cancelled"),
        new_message(expires_at=NOW + 10, account="in hand"),
    )
    store.hold(6, NOW)
    store.cancel(7, NOW)
    assert claim_next(run, account="in hand")
    assert sorted(run.expire(NOW + 10)) == [1, 4, 5]
    assert run.expire(NOW + 10) == []
    assert [store.row(outbox_id).gave_up for outbox_id in range(1, 9)] == [
        "expired", None, None, "expired", "expired", None, "cancelled", None,
    ]  # fmt: skip
    assert store.row(1).last_error == "expired before it was attempted"
    assert (store.row(1).status, store.row(1).next_attempt_at) == ("pending", None)


def test_what_expires_after_an_attempt_keeps_the_reason_of_that(store: Store, run: Run) -> None:
    submit(store, new_message(expires_at=NOW + 5))
    attempt(run, PENDING)
    assert run.expire(NOW + 5) == [1]
    assert (store.row(1).last_error, store.row(1).status, store.row(1).retries) == ("why", "failed", 1)


def test_what_was_given_up_is_reported_once(store: Store, run: Run) -> None:
    submit(store, *[new_message(expires_at=NOW + 1) for _ in range(3)], new_message(), new_message())
    assert store.take_unreported(NOW) == []
    assert len(run.expire(NOW + 1)) == 3
    store.cancel(5, NOW)
    assert store.take_unreported(NOW, only=2) == [2]
    assert store.take_unreported(NOW, only=2) == []
    assert store.take_unreported(NOW, only=4) == [], "it is not given up"
    assert store.take_unreported(NOW, only=5) == [], "a person knows of what they cancelled"
    assert store.take_unreported(NOW) == [1, 3]
    assert store.take_unreported(NOW) == []


def test_each_given_up_message_is_reported_to_one_of_those_who_ask_at_once(store: Store, run: Run) -> None:
    ids = submit(store, *[new_message() for _ in range(20)])
    for _ in ids:
        refuse(run)
    with ThreadPoolExecutor(4) as pool:
        taken = [
            outbox_id for one in pool.map(lambda _: store.take_unreported(FOR_EVER), range(4)) for outbox_id in one
        ]
    assert sorted(taken) == ids
