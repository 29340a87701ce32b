"""Who is alive, and what becomes of the messages of those who are not: real processes, really killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prx_email_cli.outbox.messages import Recovered
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, POLICY, new_message

CLAIM_AND_WAIT = """
import sys
from pathlib import Path
from prx_email_cli.outbox.lifecycle import RecipientResult, RecipientStatus
from prx_email_cli.outbox.messages import ClaimNext
from prx_email_cli.outbox.sqlite.store import SqliteStore

now = int(sys.argv[2])
with SqliteStore(Path(sys.argv[1]), message_id_domain="prx-email.local").start_run(now) as run:
    ((claimed, _),) = run.advance([], [ClaimNext("work", now, now, most=2)]).claims
    run.about_to_end(claimed, {0: RecipientResult(RecipientStatus.PENDING, uncertain=True)})
    print(run.run_id, claimed.outbox_id, claimed.message_id, flush=True)
    sys.stdin.read()
"""


def test_a_process_is_alive_while_it_is_stopped_and_what_it_was_sending_is_due_at_once_when_it_is_killed(
    outbox: SqliteStore,
) -> None:
    runs = Runs(outbox.path)
    outbox.enqueue([new_message(), new_message()])
    untouched = outbox.row(2)
    command = [sys.executable, "-c", CLAIM_AND_WAIT, str(outbox.path), str(NOW)]
    other = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with outbox.start_run(NOW) as mine, other:
        assert other.stdout is not None
        run_id, outbox_id, message_id = other.stdout.readline().split()
        other.send_signal(signal.SIGSTOP)
        assert (outbox_id, message_id) == ("1", "<outbox-1-0@prx-email.local>")
        assert not runs.is_dead(run_id)
        assert mine.recover(POLICY, NOW + 10**6) == Recovered([], [], [])
        assert [outbox.row(1).status, outbox.row(2).status] == ["sending", "sending"]
        other.kill()
        other.wait(timeout=60)

        assert runs.is_dead(run_id)
        assert mine.recover(POLICY, NOW + 5) == Recovered([1], [], [2])
        row = outbox.row(1)
        assert (row.status, row.retries, row.next_attempt_at, row.uncertain) == ("failed", 1, NOW + 5, True)
        assert [(one.outcome, one.run_id, one.message_id) for one in row.attempts] == [("died", run_id, message_id)]
        assert outbox.row(2) == untouched
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
        runs.clear_dead([])
        assert not runs.is_dead(run.run_id)
