"""Content is read before the outbox is touched: nobody waits for a source, and nothing of it is left behind."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..cli.outside import rows
from ..conftest import Program

MEMORY_BYTES = 1 << 20
READ_BYTES = 128 * 1024
SEND = ("send", "--to", "a@example.org", "--subject", "slow", "--body", "text")
LINE = {"to": "a@example.org", "subject": "quick", "body_text": "text\n"}
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which files are open")


class Held:
    """A ``prx-email`` in the middle of reading an attachment."""

    def __init__(self, process: "subprocess.Popen[str]", writer: int) -> None:
        self.process = process
        self._writer = writer

    def let_go(self) -> tuple[int, str, str]:
        """Let it read on, to its end: status, stdout and stderr."""
        os.close(self._writer)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def end(self, number: signal.Signals) -> int:
        """End it by a signal; the status."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        self.let_go()
        return status


@contextmanager
def held(program: Program, *arguments: str, nth: int = 1) -> Iterator[Held]:
    """``prx-email ARGUMENTS``, held before its *nth* read of an attachment."""
    reader, writer = os.pipe()
    command = [sys.executable, "-W", "error", "-m", "tests.submission.slow_file", str(reader), str(nth), *arguments]
    environment = {**program.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, env=environment, cwd=program.home, text=True, pass_fds=[reader], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        os.close(reader)
        assert process.stderr is not None
        try:
            assert process.stderr.readline() == "held\n"
            yield Held(process, writer)
        finally:
            process.kill()


@pytest.fixture
def slow(program: Program) -> Program:
    """A program that waits a second for locks, with a store, and a temporary directory of its own."""
    program.configure(
        outbox=f'busy_timeout_seconds = 1\n[attachments.store]\nenabled = true\ndir = "{program.home}"\n'
        f"[attachments.policy]\nmax_size_bytes = {4 * MEMORY_BYTES}\n"
    )
    (program.home / "slow.txt").write_bytes(b"x" * 3 * MEMORY_BYTES)
    (program.home / "page.html").write_text('<p>hello <img src="slow.png"></p>')
    (program.home / "slow.png").write_bytes(b"\x89PNG" * READ_BYTES)
    attached = json.dumps(LINE | {"subject": "slow", "attachment": {"path": "slow.txt"}})
    (program.home / "batch").write_text(f"{json.dumps(LINE)}\n{attached}\n{json.dumps(LINE)}\n")
    (program.home / "request").write_text(attached)
    (program.home / "tmp").mkdir()
    program.environment["TMPDIR"] = str(program.home / "tmp")
    return program


WAYS = {
    "a file": (*SEND, "--attach", "slow.txt"),
    "a file with a key": (*SEND, "--attach", "slow.txt", "--idempotency-key", "k"),
    "a file of the store": (*SEND, "--attach-stored", "slow.txt"),
    "an image": (*SEND, "--html", "page.html"),
    "a request": ("send", "--request", "request"),
    "a batch": ("send", "--batch", "batch"),
}


@pytest.mark.parametrize("way", WAYS)
def test_while_a_source_takes_its_time_another_process_sends_and_drains(way: str, slow: Program) -> None:
    with held(slow, *WAYS[way], nth=2) as sending:
        other = slow.call(
            "send", "--to", "b@example.org", "--subject", "other", "--body", "b", "--idempotency-key", "o"
        )
        assert (other.status, other.err) == (0, "")
        drained = slow.call("drain", "--failure-mode", "network", "--quiet")
        assert drained.status == 75, drained
        assert [row["subject"] for row in rows(slow)] == ["other"]
        status, out, err = sending.let_go()
    assert (status, err) == (0, "3 queued\n" if way == "a batch" else "")
    assert len(rows(slow)) == 1 + len(out.split())


@needs_proc
def test_what_is_held_on_disk_is_private_and_has_no_name(slow: Program) -> None:
    with held(slow, *SEND, "--attach", "slow.txt", nth=3 * MEMORY_BYTES // READ_BYTES) as sending:
        assert list((slow.home / "tmp").iterdir()) == []
        descriptors = Path(f"/proc/{sending.process.pid}/fd")
        (file,) = (one for one in descriptors.iterdir() if os.readlink(one).startswith(str(slow.home / "tmp")))
        status = file.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_nlink) == (0o600, 0)
        assert status.st_size > MEMORY_BYTES
        assert sending.let_go()[0] == 0
    assert list((slow.home / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_nothing_is_left_of_a_message_that_was_interrupted(slow: Program, number: signal.Signals, status: int) -> None:
    with held(slow, *SEND, "--attach", "slow.txt", nth=20) as sending:
        assert sending.end(number) == status
    assert list((slow.home / "tmp").iterdir()) == []
    assert rows(slow) == []


def test_a_file_that_grows_too_large_meanwhile_is_refused_alone_and_nothing_is_left_of_it(slow: Program) -> None:
    with held(slow, "send", "--batch", "batch", "--json", nth=20) as sending:
        os.truncate(slow.home / "slow.txt", 5 * MEMORY_BYTES)
        status, out, err = sending.let_go()
    assert (status, err) == (65, "")
    data = json.loads(out)["data"]
    assert [(told["line"], told["outbox_id"]) for told in data["messages"]] == [(1, 1), (3, 2)]
    assert [(error["line"], error["message"]) for error in data["errors"]] == [(2, "attachment exceeds size limit")]
    assert list((slow.home / "tmp").iterdir()) == []


def test_two_that_read_at_the_same_time_with_one_key_store_one_message(slow: Program) -> None:
    with held(slow, *WAYS["a file with a key"], nth=2) as first, held(slow, *WAYS["a file with a key"]) as second:
        status, out, _ = second.let_go()
        assert first.let_go()[:2] == (status, out) == (0, "1\n")
    assert len(rows(slow)) == 1
