"""Runs that live, runs that died, and what becomes of what those had in hand."""

from __future__ import annotations

from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.store import Run, Store

from ..messages import DOMAIN, NOW, ended, new_message, sent
from .asking import (
    ACCEPTED,
    FOR_EVER,
    PENDING,
    REFUSED,
    Dying,
    attempt,
    claim,
    claim_next,
    die_with,
    forced,
    record,
    recover,
    refuse,
    statuses,
    submit,
    write_whole,
)


def test_what_a_dead_run_had_in_hand_is_due_at_once_and_uncertain(store: Store, run: Run, dying: Dying) -> None:
    submit(store, new_message(due_at=NOW - 5), new_message())
    dead, die = dying()
    claimed = write_whole(dead)
    die()
    assert recover(run, NOW + 5) == [1]
    row, untouched = store.row(1), store.row(2)
    assert (row.status, row.retries, row.next_attempt_at) == ("failed", 1, NOW + 5)
    assert (row.uncertain, row.held, row.gave_up, row.error_code) == (True, False, None, "network")
    (died,) = row.attempts
    assert (died.outcome, died.run_id, died.message_id) == ("died", dead.run_id, claimed.message_id)
    assert (died.started_at, died.finished_at, died.uncertain) == (NOW, NOW + 5, True)
    assert row.last_error == died.response
    assert (untouched.status, untouched.retries) == ("pending", 0)
    again = run.claim_by_id(forced(1))
    assert (again.message_id, again.retries, again.uncertain) == (claimed.message_id, 1, True)
    record(run, sent(again))
    assert store.row(1).status == "sent"


def test_the_rows_of_living_runs_are_left_whatever_the_clock_says(store: Store, run: Run, dying: Dying) -> None:
    submit(store, *[new_message() for _ in range(4)])
    (dead, die), (living, _) = dying(), dying()
    claimed = [write_whole(one) for one in (dead, living, dead, run)]
    assert recover(run, FOR_EVER) == []
    die()
    assert recover(run, FOR_EVER) == [1, 3]
    assert [store.row(outbox_id).status for outbox_id in (1, 2, 3, 4)] == ["failed", "sending", "failed", "sending"]
    record(living, sent(claimed[1]))
    record(run, sent(claimed[3]))
    assert run.unreadable == []


def test_what_a_run_had_in_hand_when_it_ended_is_recovered_once(store: Store, run: Run) -> None:
    submit(store)
    with store.start_run(NOW) as other:
        write_whole(other)
    with store.start_run(NOW) as other:
        assert [recover(each) for each in (run, other, run)] == [[1], [], []]
    assert store.row(1).retries == 1


def test_runs_of_one_moment_are_told_apart(store: Store, run: Run) -> None:
    with store.start_run(NOW) as other, store.start_run(NOW) as third:
        assert len({run.run_id, other.run_id, third.run_id}) == 3


def test_a_message_whose_run_died_waits_for_a_person_when_the_policy_says_hold(
    store: Store, run: Run, dying: Dying
) -> None:
    submit(store)
    die_with(dying)
    assert recover(run, policy=RetryPolicy(hold_uncertain=True)) == [1]
    assert (store.row(1).held, store.row(1).uncertain) == (True, True)
    assert claim_next(run, FOR_EVER) is None
    store.release(1, NOW)
    assert claim(run).outbox_id == 1


def test_a_dead_attempt_counts_in_the_backoff(store: Store, run: Run, dying: Dying) -> None:
    submit(store)
    die_with(dying)
    recover(run)
    record(run, ended(claim(run)))
    row = store.row(1)
    assert (row.retries, row.next_attempt_at) == (2, NOW + 20)
    assert [one.outcome for one in row.attempts] == ["died", "deferred"]


def test_only_whom_the_dead_run_addressed_may_have_it(store: Store, run: Run, dying: Dying) -> None:
    submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
    attempt(run, ACCEPTED, PENDING, REFUSED)
    die_with(dying, lambda dead: claim(dead, NOW + 10))
    recover(run, NOW + 10)
    assert statuses(store) == ["accepted", "pending?", "refused"]


def test_a_dead_retry_by_hand_may_have_reached_the_refused_too_and_is_still_given_up(
    store: Store, run: Run, dying: Dying
) -> None:
    submit(store, new_message("a@x.org", "b@x.org"))
    attempt(run, ACCEPTED, PENDING)
    refuse(run, NOW + 10)
    die_with(dying, lambda dead: dead.claim_by_id(forced(1)))
    recover(run, NOW + 20)
    assert statuses(store) == ["accepted", "refused?"]
    assert (store.row(1).gave_up, store.row(1).retries, store.row(1).uncertain) == ("refused", 3, True)
    assert store.row(1).recipients[1].response == "said so"
    assert claim_next(run, FOR_EVER) is None


def test_a_message_held_in_hand_stays_held(store: Store, run: Run, dying: Dying) -> None:
    submit(store)
    store.hold(1, NOW)
    die_with(dying, lambda dead: dead.claim_by_id(forced(1)))
    recover(run)
    assert (store.row(1).held, store.row(1).message_id) == (True, f"<outbox-1-0@{DOMAIN}>")


def test_when_the_last_drain_ended_is_remembered(store: Store) -> None:
    with store.start_run(NOW):
        assert (store.last_drain_at(), store.last_drain_by()) == (None, "")
        store.note_drain(NOW + 0.9, "systemd")
        assert (store.last_drain_at(), store.last_drain_by()) == (NOW, "systemd")
        store.note_drain(NOW + 59, "cron")
        assert store.last_drain_by() == "cron"
        store.note_drain(NOW + 60)
    assert store.last_drain_at() == NOW + 60
