"""A running ``prx-email listen`` and clients of it."""

from __future__ import annotations

import signal
import smtplib
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ..conftest import Program
from ..support.raw_client import RawClient

MESSAGE = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: hello\r\n\r\ntext\r\n"
PATIENCE = 30.0


class Listener:
    """The command, with clients that connect to it."""

    def __init__(self, program: Program, *arguments: str, **options: Any) -> None:
        self.program = program
        self._given = arguments
        self._options = options
        self._clients: list[RawClient] = []

    def __enter__(self) -> Listener:
        self.process: subprocess.Popen[str] = self.program.start("listen", *self._given, **self._options)
        assert self.process.stderr is not None
        self.said = [self.process.stderr.readline()]
        if not self.said[0].startswith("listening on "):
            self.__exit__()  # or the process would be found by a later test
            raise AssertionError(self.said)
        self.address = self.said[0].removeprefix("listening on ").strip()
        return self

    def __exit__(self, *details: object) -> None:
        for client in self._clients:
            client.sock.close()
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def stop(self) -> tuple[int, str]:
        """End it as systemd does; its status and what it said after it was ready."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err

    def connect(self) -> RawClient:
        """A client that has said and read nothing yet."""
        self._clients.append(RawClient(self.port, timeout=PATIENCE))
        return self._clients[-1]

    def raw(self) -> RawClient:
        """A client that has greeted."""
        client = self.connect()
        assert client.reply().startswith("220 ")
        client.ask("EHLO client.example")
        return client

    def client(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE)

    def unix(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(PATIENCE)
        connected.connect(self.address)
        return connected


@pytest.fixture
def listener(program: Program) -> Iterator[Listener]:
    """One on a loopback port that the kernel chooses."""
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        yield listener


def stored_id(reply: str | bytes) -> int:
    """The outbox id that a reply names."""
    text = reply if isinstance(reply, str) else reply.decode()
    assert "queued as " in text, text
    return int(text.rpartition(" ")[2])


def content(program: Program, outbox_id: int) -> bytes:
    """What is stored, as it would leave."""
    store = program.store()
    try:
        return b"".join(store.exported(outbox_id).pieces())
    finally:
        store.close()
