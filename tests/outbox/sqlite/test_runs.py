"""Who is alive, and what becomes of the messages of those who are not: real processes, really killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from prx_email_cli.outbox.sqlite.runs import Runs
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, POLICY, new_message
from .conftest import Start

CLAIM_AND_WAIT = """
now = int(sys.argv[2])
store = open_store(sys.argv[1])
run = Runs(store.path).start(now)
claimed = store.claims.claim_next(run.run_id, ClaimNext("work", now, now))
tell(run.run_id, claimed.outbox_id, claimed.message_id)
sys.stdin.read()
run.__exit__(None, None, None)
"""


def test_a_process_is_alive_while_it_is_stopped_and_what_it_was_sending_is_due_at_once_when_it_is_killed(
    outbox: SqliteStore, start: Start
) -> None:
    runs = Runs(outbox.path)
    outbox.enqueue([new_message(), new_message()])
    other = start(CLAIM_AND_WAIT, outbox.path, NOW)
    run_id, outbox_id, message_id = other.hear()
    assert (outbox_id, message_id) == ("1", "<outbox-1-0@prx-email.local>")
    os.kill(other.process.pid, signal.SIGSTOP)
    with runs.start(NOW) as mine:
        assert not runs.is_dead(run_id)
        assert outbox.claims.recover(runs.is_dead, POLICY, NOW + 10**6) == []
        assert outbox.row(1).status == "sending"
        other.kill()

        assert runs.is_dead(run_id)
        assert outbox.claims.recover(runs.is_dead, POLICY, NOW + 5) == [1]

        row = outbox.row(1)
        assert (row.status, row.retries, row.next_attempt_at, row.uncertain) == ("failed", 1, NOW + 5, True)
        assert [(one.outcome, one.run_id, one.message_id) for one in row.attempts] == [("died", run_id, message_id)]
        assert outbox.row(2).status == "pending"
        runs.clear_dead()
        assert [file.name for file in runs.directory.glob("*-*-*")] == [mine.run_id], "only the dead's file is gone"


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
