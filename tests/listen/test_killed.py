"""After SIGKILL in the middle of everything, what was answered with 250 is in the outbox, whole."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest

from ..conftest import Program
from ..support.raw_client import RawClient
from ..support.small_disk import NoDisk, SmallDisk
from .conftest import Listener

CLIENTS, ROUNDS, BEFORE_THE_KILL = 8, 4, 60


class Sender(threading.Thread):
    """Sends numbered messages until the connection ends, and notes which were acknowledged."""

    def __init__(self, port: int, name: str, enough: threading.Event, acknowledged: list[tuple[int, str]]) -> None:
        super().__init__()
        self._port, self._label, self._enough, self._acknowledged = port, name, enough, acknowledged

    def run(self) -> None:
        with suppress(OSError, ValueError):
            client = RawClient(self._port, timeout=30)
            try:
                client.reply()
                client.ask("EHLO x")
                number = 0
                while True:
                    number += 1
                    subject = f"{self._label}-{number}"
                    client.say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA")
                    for _ in range(3):
                        client.reply()
                    client.send(f"Subject: {subject}\r\n\r\n{'body ' * 50}{subject}\r\n.\r\n".encode())
                    reply = client.reply()
                    if not reply.startswith("250 "):
                        return
                    self._acknowledged.append((int(reply.rpartition(" ")[2]), subject))
                    if len(self._acknowledged) >= BEFORE_THE_KILL:
                        self._enough.set()
            finally:
                client.sock.close()


def test_nothing_acknowledged_is_lost_and_nothing_is_half(program: Program) -> None:
    acknowledged: list[tuple[int, str]] = []
    for round_ in range(ROUNDS):
        with Listener(program, "--listen", "127.0.0.1:0") as listener:
            mine: list[tuple[int, str]] = []
            enough = threading.Event()
            senders = [Sender(listener.port, f"{round_}-{one}", enough, mine) for one in range(CLIENTS)]
            for sender in senders:
                sender.start()
            assert enough.wait(timeout=60)
            listener.process.kill()
            for sender in senders:
                sender.join()
            acknowledged += mine
    if program.url is None:
        assert program.execute("PRAGMA integrity_check") == [("ok",)]
    stored = dict(program.execute("SELECT id, subject FROM outbox"))
    assert len(acknowledged) >= ROUNDS * BEFORE_THE_KILL
    assert {outbox_id: stored.get(outbox_id) for outbox_id, _ in acknowledged} == dict(acknowledged)
    if program.url is None:
        assert program.run("outbox", "verify").status == 0


@pytest.mark.of_files
def test_a_full_disk_defers_and_the_next_message_is_taken(program: Program) -> None:
    """The file may not grow beyond a size, as if the disk were full."""
    program.wrapper = ["prlimit", "--fsize=1500000", "--"]
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        client = listener.raw()
        replies = []
        for size in (10, 2_000_000, 10):
            client.say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA")
            for _ in range(3):
                client.reply()
            client.send(b"Subject: s\r\n\r\n" + (b"x" * 70 + b"\r\n") * (size // 72 + 1) + b".\r\n")
            replies.append(client.reply())
        client.sock.close()
        assert replies[0].startswith("250 ")
        assert replies[1].startswith(("451 ", "452 "))
        assert replies[2].startswith("250 ")


@pytest.mark.of_files
def test_on_a_full_disk_nothing_is_acknowledged_until_there_is_room(program: Program, tmp_path: Path) -> None:
    try:
        disk = SmallDisk(tmp_path / "disk")
    except NoDisk as error:
        pytest.skip(f"a full disk needs a file system that can be mounted here: {error}")
    try:
        program.outbox = disk.outbox
        program.config.write_text(program.config.read_text().replace("outbox.db", str(disk.outbox)))
        with Listener(program, "--listen", "127.0.0.1:0") as listener:
            client = listener.raw()
            assert send(client).endswith("queued as 1")
            disk.fill()
            full = [send(client, (b"x" * 70 + b"\r\n") * 100) for _ in range(3)]
            assert {reply[:9] for reply in full} == {"452 4.3.1"}
            disk.free()
            assert send(client).endswith("queued as 2")
            assert "disk is full" in listener.stop()[1]
        assert [row["outbox_id"] for row in program.call("list", "--json").data] == [2, 1]
        assert program.run("outbox", "verify").status == 0
    finally:
        disk.unmount()


@pytest.mark.on_both
def test_an_outbox_that_another_process_locks_is_busy_and_the_client_may_try_again(program: Program) -> None:
    program.configure(outbox="busy_timeout_seconds = 1")
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        client = listener.raw()
        with program.locked():
            assert send(client).startswith("451 4.3.0")
        assert send(client).startswith("250 ")


def send(client: RawClient, body: bytes = b"x\r\n") -> str:
    client.say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA")
    for _ in range(3):
        client.reply()
    client.send(b"Subject: s\r\n\r\n" + body + b".\r\n")
    return client.reply()
