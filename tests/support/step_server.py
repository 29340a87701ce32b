"""A server whose every word is written down by the test: one function speaks on each connection."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 60
"""After which a test that hangs fails; nothing is to depend on it."""

_FIN_WAIT1 = 4  # linux/include/net/tcp_states.h


class Talk:
    """One connection, seen from the server.  heard: every line so far, and what came after 354 in one piece."""

    def __init__(self, sock: socket.socket, heard: list[bytes]) -> None:
        self.sock = sock
        self.heard = heard
        self._unread = b""

    def say(self, *replies: str) -> None:
        """All of them in one piece."""
        self.sock.sendall("".join(f"{reply}\r\n" for reply in replies).encode())

    def hang_up(self) -> None:
        """Say that nothing more will come."""
        self.sock.shutdown(socket.SHUT_WR)

    def wait_until_arrived(self) -> None:
        """Return when the client's system has acknowledged all that was sent, the end included."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._unacknowledged() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _unacknowledged(self) -> bool:
        (octets,) = struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0\0\0\0"))  # tcp(7): SIOCOUTQ
        state = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return bool(octets) or state == _FIN_WAIT1

    def line(self) -> str:
        """The next command.  Raises ConnectionError when there is none."""
        return self._until(b"\r\n").decode().rstrip("\r\n")

    def content(self) -> bytes:
        """Everything up to the final dot."""
        return self._until(b"\r\n.\r\n")

    def open(self, *after_ehlo: str) -> None:
        """Greet, and answer EHLO."""
        self.say("220 step.test ESMTP")
        self.line()
        self.say("250 step.test", *after_ehlo)

    def take(self, *replies: str) -> None:
        """Answer MAIL, one RCPT and DATA with yes, take the content, and answer that with *replies*."""
        for reply in ("250 sender ok", "250 recipient ok", "354 go ahead"):
            self.line()
            self.say(reply)
        self.content()
        self.say(*replies)

    def _until(self, end: bytes) -> bytes:
        while end not in self._unread:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the client has gone")
            self._unread += data
        found, _, self._unread = self._unread.partition(end)
        self.heard.append(found + end)
        return found + end


Speaker = Callable[[Talk], None]


class StepServer:
    """The first connection is the first speaker's, and so on; the last one has all the rest.  Use it in a `with` block.

    heard: what came, one list for each connection.
    """

    def __init__(self, *speakers: Speaker) -> None:
        self.heard: list[list[bytes]] = []
        self._speakers = speakers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._stopping = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        self._listener.close()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._stopping:
                sock.close()
                return
            heard: list[bytes] = []
            self.heard.append(heard)
            speaker = self._speakers[min(len(self.heard), len(self._speakers)) - 1]
            self._start(partial(_speak, Talk(sock, heard), speaker))


def _speak(talk: Talk, speaker: Speaker) -> None:
    talk.sock.settimeout(PATIENCE_SECONDS)
    with talk.sock, contextlib.suppress(OSError):
        speaker(talk)
        talk.sock.shutdown(socket.SHUT_WR)
        while talk.sock.recv(65536):  # so that what was said is read before the connection ends
            pass
