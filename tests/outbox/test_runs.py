"""Who is alive, and what becomes of the messages of those who are not: real processes, really killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from prx_email_cli.errors import ClaimLost
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import ClaimOne
from prx_email_cli.outbox.sqlite.runs import Runs
from prx_email_cli.outbox.sqlite.store import SqliteStore

from .messages import NOW, POLICY, Start, claim, ended, new_message, sent, wish

CLAIM_AND_WAIT = """
now = int(sys.argv[2])
store = open_store(sys.argv[1])
run = Runs(store.path).start(now)
claimed = store.claims.claim_next(run.run_id, ClaimNext("work", now, now))
tell(run.run_id, claimed.outbox_id, claimed.message_id)
sys.stdin.read()
run.__exit__(None, None, None)
"""


def recover(outbox: SqliteStore, policy: RetryPolicy = POLICY, now: int = NOW) -> list[int]:
    return outbox.claims.recover(Runs(outbox.path).is_dead, policy, now)


def test_what_a_killed_process_was_sending_is_due_at_once_and_uncertain(outbox: SqliteStore, start: Start) -> None:
    outbox.enqueue([new_message(), new_message()])
    other = start(CLAIM_AND_WAIT, outbox.path, NOW)
    run_id, outbox_id, message_id = other.hear()
    assert (outbox_id, message_id) == ("1", "<outbox-1-0@prx-email.local>")
    assert recover(outbox) == [], "it is alive"
    other.kill()

    assert recover(outbox, now=NOW + 5) == [1]

    row, untouched = outbox.row(1), outbox.row(2)
    assert (row.status, row.retries, row.next_attempt_at) == ("failed", 1, NOW + 5)
    assert (row.uncertain, row.held, row.gave_up) == (True, False, None)
    assert [(attempt.outcome, attempt.run_id, attempt.message_id, attempt.uncertain) for attempt in row.attempts] == [
        ("died", run_id, message_id, True)
    ]
    assert (untouched.status, untouched.retries) == ("pending", 0)
    again = outbox.claims.claim("run", ClaimOne(1, NOW + 5))
    assert (again.message_id, again.retries) == (message_id, 1)
    outbox.claims.finalize("run", sent(again))
    assert outbox.row(1).status == "sent"


def test_what_was_recovered_is_recovered_once(outbox: SqliteStore, start: Start) -> None:
    outbox.enqueue([new_message()])
    other = start(CLAIM_AND_WAIT, outbox.path, NOW)
    other.hear()
    other.kill()
    assert [recover(outbox), recover(outbox), recover(outbox)] == [[1], [], []]
    assert outbox.row(1).retries == 1


def test_a_message_whose_run_died_waits_for_a_person_when_the_policy_says_hold(
    outbox: SqliteStore, start: Start
) -> None:
    outbox.enqueue([new_message()])
    other = start(CLAIM_AND_WAIT, outbox.path, NOW)
    other.hear()
    other.kill()
    assert recover(outbox, RetryPolicy(hold_uncertain=True)) == [1]
    assert (outbox.row(1).held, outbox.row(1).uncertain) == (True, True)
    assert outbox.claims.claim_next("run", wish(NOW + 10**6)) is None


def test_a_stopped_process_is_alive(outbox: SqliteStore, start: Start) -> None:
    outbox.enqueue([new_message()])
    other = start(CLAIM_AND_WAIT, outbox.path, NOW)
    run_id, *_ = other.hear()
    os.kill(other.process.pid, signal.SIGSTOP)
    try:
        assert not Runs(outbox.path).is_dead(run_id)
        assert recover(outbox, now=NOW + 10**6) == []
        assert outbox.row(1).status == "sending"
    finally:
        other.kill()
    assert Runs(outbox.path).is_dead(run_id)


def test_a_run_is_alive_until_it_ends_whatever_the_clock_says(outbox: SqliteStore) -> None:
    runs = Runs(outbox.path)
    outbox.enqueue([new_message()])
    with runs.start(NOW) as run:
        claim(outbox, run.run_id)
        assert not runs.is_dead(run.run_id)
        assert recover(outbox, now=NOW + 10**9) == []
    assert runs.is_dead(run.run_id)
    assert recover(outbox) == [1]


def test_a_run_that_ended_leaves_no_file(outbox: SqliteStore) -> None:
    runs = Runs(outbox.path)
    with runs.start(NOW), runs.start(NOW):
        assert len(list(runs.directory.iterdir())) == 2
    assert list(runs.directory.iterdir()) == []


def test_clearing_away_takes_the_files_of_the_dead_and_leaves_those_of_the_living(
    outbox: SqliteStore, start: Start
) -> None:
    runs = Runs(outbox.path)
    outbox.enqueue([new_message()])
    other = start(CLAIM_AND_WAIT, outbox.path, NOW)
    dead, *_ = other.hear()
    other.kill()
    with runs.start(NOW) as run:
        runs.clear_dead()
        assert [file.name for file in runs.directory.glob("*-*-*")] == [run.run_id]
        assert (runs.is_dead(dead), runs.is_dead(run.run_id)) == (True, False)


def test_two_runs_of_one_process_at_one_time_are_told_apart(outbox: SqliteStore) -> None:
    runs = Runs(outbox.path)
    with runs.start(NOW) as first, runs.start(NOW) as second:
        assert first.run_id != second.run_id
        assert not runs.is_dead(first.run_id)
    assert not list(runs.directory.iterdir())


@pytest.mark.parametrize("run_id", ["1-2-3", "../outbox.db", "nobody"])
def test_a_run_that_nobody_ever_saw_is_dead(outbox: SqliteStore, run_id: str) -> None:
    assert Runs(outbox.path).is_dead(run_id)
    assert outbox.path.exists()


def test_recovery_takes_the_rows_of_dead_runs_only(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message() for _ in range(4)])
    claimed = [claim(outbox, run_id) for run_id in ("dead", "alive", "dead", "alive")]
    assert outbox.claims.recover(lambda run_id: run_id == "dead", POLICY, NOW) == [1, 3]
    assert [outbox.row(outbox_id).status for outbox_id in (1, 2, 3, 4)] == ["failed", "sending"] * 2
    outbox.claims.finalize("alive", sent(claimed[1]))
    with pytest.raises(ClaimLost):
        outbox.claims.finalize("dead", sent(claimed[0]))


def test_a_recovered_message_counts_its_dead_attempt_in_the_backoff(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    claim(outbox, "dead")
    outbox.claims.recover(lambda run_id: True, POLICY, NOW)
    outbox.claims.finalize("run", ended(claim(outbox), now=NOW))
    row = outbox.row(1)
    assert (row.retries, row.next_attempt_at) == (2, NOW + 20)
    assert [attempt.outcome for attempt in row.attempts] == ["died", "deferred"]


def test_the_outbox_may_lie_in_a_directory_with_any_name(tmp_path: Path) -> None:
    directory = tmp_path / "mail [1] *"
    directory.mkdir()
    runs = Runs(directory / "outbox.db")
    with runs.start(NOW) as run:
        runs.clear_dead()
        assert not runs.is_dead(run.run_id)
