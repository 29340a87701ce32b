"""Who is alive, and what becomes of the messages of those who are not: real processes, really killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.sqlite.runs import Runs
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, POLICY, new_message
from .processes import Start

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

    row = outbox.row(1)
    assert (row.status, row.retries, row.next_attempt_at, row.uncertain) == ("failed", 1, NOW + 5, True)
    assert [(attempt.outcome, attempt.run_id, attempt.message_id) for attempt in row.attempts] == [
        ("died", run_id, message_id)
    ]
    assert outbox.row(2).status == "pending"


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


def test_the_outbox_may_lie_in_a_directory_with_any_name(tmp_path: Path) -> None:
    directory = tmp_path / "mail [1] *"
    directory.mkdir()
    runs = Runs(directory / "outbox.db")
    with runs.start(NOW) as run:
        runs.clear_dead()
        assert not runs.is_dead(run.run_id)
