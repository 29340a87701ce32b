"""What a server saw and kept, readable from the test while the server goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from typing import NamedTuple

from .faults import Fault


@dataclass(frozen=True)
class Received:
    """A message that the server took.

    content: octets as they were before dot-stuffing, the CRLF before the final dot included.
    acknowledged: the server answered with success (whether or not the client was still there to read it).
    bare_newlines: the wire carried a CR or LF outside a CRLF.  user: who had logged in.
    """

    mail_from: str
    recipients: list[str]
    content: bytes
    acknowledged: bool
    connection: int
    mail_params: list[str]
    bare_newlines: bool
    over_tls: bool
    user: str | None

    @property
    def message_id(self) -> str:
        """The Message-ID header unfolded, or "" without one."""
        header = BytesHeaderParser().parsebytes(self.content).get("Message-ID", "")
        return "".join(str(header).split())


class Command(NamedTuple):
    """One line from the client outside the content, lines that answer an AUTH challenge included."""

    connection: int
    line: str
    over_tls: bool


class Happened(NamedTuple):
    """A fault that was really performed: a test that relies on one asserts that it is here."""

    connection: int
    fault: Fault


class Record:
    """Thread-safe; every property is a copy.  Servers inherit it, so that a test asks the server itself."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: list[Received] = []
        self._commands: list[Command] = []
        self._happened: list[Happened] = []
        self._violations: list[str] = []
        self._connections = 0
        self._open_connections = 0
        self._peak_connections = 0

    @property
    def messages(self) -> list[Received]:
        with self._changed:
            return list(self._messages)

    @property
    def commands(self) -> list[Command]:
        with self._changed:
            return list(self._commands)

    @property
    def happened(self) -> list[Happened]:
        """The faults performed so far; entered just before each is performed."""
        with self._changed:
            return list(self._happened)

    @property
    def violations(self) -> list[str]:
        """What the client did against the protocol, as far as the server noticed."""
        with self._changed:
            return list(self._violations)

    @property
    def connections(self) -> int:
        """Accepted so far."""
        with self._changed:
            return self._connections

    @property
    def open_connections(self) -> int:
        with self._changed:
            return self._open_connections

    @property
    def peak_connections(self) -> int:
        """The most that were ever open at once."""
        with self._changed:
            return self._peak_connections

    def received_message_ids(self) -> list[str]:
        """The Message-ID of every message recorded, acknowledged or not, in order of arrival."""
        return [message.message_id for message in self.messages]

    def wait_for(self, predicate: Callable[[], object], timeout: float = 60.0) -> None:
        """Return once *predicate* holds; it is asked again at every change of the record.

        Raises AssertionError after *timeout* seconds, so that a forgotten `assert` cannot hide a failure.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: bool(predicate()), timeout):
                raise AssertionError(
                    f"not within {timeout} s; {len(self._messages)} messages, {self._open_connections} open "
                    f"connections, faults performed: {self._happened}, last commands: {self._commands[-5:]}"
                )

    def note_connection(self) -> int:
        """The number of a connection that was just accepted, from 1."""
        with self._changed:
            self._connections += 1
            self._open_connections += 1
            self._peak_connections = max(self._peak_connections, self._open_connections)
            self._changed.notify_all()
            return self._connections

    def note_disconnection(self) -> None:
        with self._changed:
            self._open_connections -= 1
            self._changed.notify_all()

    def note_message(self, message: Received) -> None:
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    def note_command(self, command: Command) -> None:
        with self._changed:
            self._commands.append(command)
            self._changed.notify_all()

    def note_fault(self, happened: Happened) -> None:
        with self._changed:
            self._happened.append(happened)
            self._changed.notify_all()

    def note_violation(self, text: str) -> None:
        with self._changed:
            self._violations.append(text)
            self._changed.notify_all()


def has_bare_newlines(raw: bytes) -> bool:
    """A CR or an LF that is not part of a CRLF: what SMTP smuggling is made of."""
    rest = raw.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest
