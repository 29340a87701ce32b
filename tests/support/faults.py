"""What goes wrong where: the script of a `ScriptedServer`."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Place = Literal[
    "connect",  # accepted, not a byte sent, TLS not begun
    "handshake",  # where the TLS handshake is due (implicit, or after the 220 to STARTTLS)
    "greeting",
    "ehlo",  # EHLO and HELO alike, or a client could dodge the fault by falling back
    "starttls",
    "auth",  # the verdict: the credentials have been read
    "mail",
    "rcpt",
    "data",  # the reply to DATA
    "during_data",  # some content has been read
    "after_dot",  # the reply to the final dot
    "idle",  # a message was acknowledged, and nobody has asked for anything since
    "rset",
    "quit",
]
NamedManner = Literal[
    "close",  # FIN
    "reset",  # RST
    "timeout",  # silence until the client goes or the server stops
    "garbage",  # a binary line and a line without a code
    "endless",  # a multiline reply that does not end
    "megabyte_line",  # a good reply in one line of 1 MB
    "slow",  # one byte at a time, without end
    "fragments",  # a good reply in tiny segments
    "pause",  # a good reply, but only after ScriptedServer.release()
]
Addresses = tuple[str, ...]
PLACES: tuple[Place, ...] = get_args(Place)
MANNERS: tuple[NamedManner, ...] = get_args(NamedManner)
_WITH_ADDRESS: tuple[Place, ...] = ("mail", "rcpt", "data", "during_data", "after_dot", "idle")

GARBAGE = b"\x00\xff\xfe\x80\x1b[31mnot SMTP\x07\r\nno code here\r\n"
UNBUFFERABLE = 8 * 1024 * 1024
"""Bytes that do not fit into the kernel's buffers between client and server.  Of a smaller message the client
may have written everything, the final dot included, before it can notice a fault at `during_data`."""


@dataclass(frozen=True)
class Fault:
    """One misbehaviour.

    manner: a `NamedManner`, or a literal reply ("451 4.3.0 try later").  One that starts with 2 or 3 is the
    server's consent, 421 also ends the connection, and inner CRLFs make it several lines.
    times: how often it happens, None for always.  skip: how many matching visits pass unharmed before that.
    address: only in a transaction with this recipient (`rcpt`: for this recipient; `mail`: for this sender).
    nth: `rcpt` only, the nth RCPT of its transaction, from 1.
    after_bytes: `during_data` only, octets of content to read first (in a message that is shorter the server
    waits for more).  delivered: `after_dot` only, the message is recorded before the server misbehaves.
    raw: what `garbage` sends.  interval: seconds between the bytes of `slow`.  cap: octets after which
    `endless` ends all the same.
    """

    place: Place
    manner: str
    times: int | None = None
    skip: int = 0
    address: str | None = None
    nth: int | None = None
    after_bytes: int = 1
    delivered: bool = False
    raw: bytes = GARBAGE
    interval: float = 0.02
    cap: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse a misspelt script, which would otherwise test nothing and pass."""
        if self.place not in PLACES:
            raise ValueError(f"unknown place {self.place!r}")
        if self.manner not in MANNERS and not re.match(r"[2-5]\d\d[ -]", self.manner):
            raise ValueError(f"neither a named manner nor a reply: {self.manner!r}")
        if (self.nth is not None and self.place != "rcpt") or (self.delivered and self.place != "after_dot"):
            raise ValueError(f"nth is for rcpt and delivered for after_dot, not for {self.place}")
        if self.address is not None and self.place not in _WITH_ADDRESS:
            raise ValueError(f"there is no address at {self.place}")

    @property
    def consents(self) -> bool:
        """The client gets a reply that it must take for success."""
        return self.manner in ("fragments", "pause") or self.manner[:1] in ("2", "3")


@dataclass(frozen=True)
class Visit:
    """The dialogue has come to a place.  addresses: those that `Fault.address` is compared with."""

    place: Place
    addresses: Addresses = ()
    position: int = 0


class FaultPlan:
    """Which fault is due at a visit.  One plan serves all connections, so `times` counts across them."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = tuple(faults)
        self._visits: Counter[int] = Counter()
        self._lock = threading.Lock()

    def take(self, visit: Visit) -> Fault | None:
        """The first fault of the list that applies.  Those behind it do not count the visit."""
        with self._lock:
            due = (fault for index, fault in enumerate(self._faults) if self._due(index, fault, visit))
            return next(due, None)

    def _due(self, index: int, fault: Fault, visit: Visit) -> bool:
        if not _matches(fault, visit):
            return False
        self._visits[index] += 1
        turn = self._visits[index] - fault.skip
        return turn >= 1 and (fault.times is None or turn <= fault.times)


def _matches(fault: Fault, visit: Visit) -> bool:
    return (
        fault.place == visit.place and fault.address in (None, *visit.addresses) and fault.nth in (None, visit.position)
    )
