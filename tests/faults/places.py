"""Where and in what manner the server of the matrix misbehaves, and how each combination is played."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ..support.faults import UNBUFFERABLE, Fault
from ..support.faults import Place as ScriptedPlace

FIRST, SECOND = "first@example.org", "second@example.org"
"""The two recipients of the message that meets the fault."""


class Place(StrEnum):
    """A place of the dialogue; the value is its title in the documentation."""

    CONNECT = "On connecting"
    GREETING = "At the greeting"
    EHLO = "At EHLO"
    STARTTLS = "At STARTTLS"
    TLS_AFTER_STARTTLS = "In the TLS handshake after STARTTLS"
    TLS_ON_CONNECTING = "In the TLS handshake on connecting"
    AUTH = "At the login (AUTH)"
    MAIL = "At the sender (MAIL)"
    RCPT_1 = "At the first of two recipients (RCPT)"
    RCPT_2 = "At the second of two recipients (RCPT)"
    DATA = "At DATA"
    CONTENT = "While the content is sent, a small message"
    LARGE_CONTENT = f"While the content is sent, a message of {UNBUFFERABLE // 1024**2} MiB"
    DOT = "After the final dot, the message not stored"
    DOT_STORED = "After the final dot, the message stored all the same"
    RSET = "At RSET, after both recipients were deferred"
    IDLE = "Between two messages"
    QUIT = "At QUIT"


class Manner(StrEnum):
    """A manner of misbehaving; the value is its name in the documentation, its name in small letters the server's."""

    LATER = "answers 4xx"
    NEVER = "answers 5xx"
    CLOSING = "answers 421 and closes"
    QUOTA = "answers 550 5.4.5 (quota)"
    CLOSE = "closes the connection"
    RESET = "resets the connection"
    TIMEOUT = "says nothing more"
    SLOW = "answers a byte at a time, without end"
    GARBAGE = "answers with binary garbage"
    ENDLESS = "answers without end"
    MEGABYTE_LINE = "answers with one line of a megabyte"
    FRAGMENTS = "answers well, in tiny fragments"


class Scene(NamedTuple):
    """How a place is reached.

    fault: options of the Fault.  tls, login: what the server asks for.  large: the message is too large for the
    kernel's buffers.  forerunner: another message goes before.  before: faults on the way.
    """

    place: ScriptedPlace
    fault: dict[str, Any]
    tls: str = ""
    login: bool = False
    large: bool = False
    forerunner: bool = False
    before: tuple[Fault, ...] = ()


SCENES = {
    Place.CONNECT: Scene("connect", {}),
    Place.GREETING: Scene("greeting", {}),
    Place.EHLO: Scene("ehlo", {"times": 2}),  # HELO, to which a client falls back after 5xx, meets the same
    Place.STARTTLS: Scene("starttls", {}, tls="starttls"),
    Place.TLS_AFTER_STARTTLS: Scene("handshake", {}, tls="starttls"),
    Place.TLS_ON_CONNECTING: Scene("handshake", {}, tls="implicit"),
    Place.AUTH: Scene("auth", {}, login=True),
    Place.MAIL: Scene("mail", {}),
    Place.RCPT_1: Scene("rcpt", {"nth": 1}),
    Place.RCPT_2: Scene("rcpt", {"nth": 2}),
    Place.DATA: Scene("data", {}),
    Place.CONTENT: Scene("during_data", {}),
    Place.LARGE_CONTENT: Scene("during_data", {"after_bytes": 50_000}, large=True),
    Place.DOT: Scene("after_dot", {}),
    Place.DOT_STORED: Scene("after_dot", {"delivered": True}),
    Place.RSET: Scene("rset", {}, before=(Fault("rcpt", "451 4.2.1 mailbox busy", times=2),)),
    Place.IDLE: Scene("idle", {}, forerunner=True),
    Place.QUIT: Scene("quit", {}),
}
REPLIES = {
    Manner.LATER: "451 4.3.0 not now",
    Manner.NEVER: "554 5.7.1 never",
    Manner.CLOSING: "421 4.3.2 too busy",
    Manner.QUOTA: "550 5.4.5 daily quota exceeded",
}
LOGIN_REPLIES = {Manner.LATER: "454 4.7.0 login later", Manner.NEVER: "535 5.7.8 wrong password"}
OF_A_MESSAGE = (Place.MAIL, Place.RCPT_1, Place.RCPT_2, Place.DATA, Place.CONTENT, Place.LARGE_CONTENT, Place.DOT)
"""Where quota is spoken of."""


def happens(place: Place, manner: Manner) -> bool:
    """Whether the combination makes sense: quota concerns messages, and what was stored was not refused as well."""
    if place is Place.DOT_STORED:
        return manner not in (Manner.LATER, Manner.NEVER, Manner.CLOSING, Manner.QUOTA, Manner.FRAGMENTS)
    return manner is not Manner.QUOTA or place in OF_A_MESSAGE


@dataclass(frozen=True)
class Row:
    """One combination, with or without PIPELINING."""

    place: Place
    manner: Manner
    pipelining: bool

    @property
    def scene(self) -> Scene:
        """How it is reached."""
        return SCENES[self.place]

    @property
    def reply(self) -> str:
        """The reply that is the fault, "" where it is no reply."""
        replies = REPLIES | LOGIN_REPLIES if self.place is Place.AUTH else REPLIES
        return replies.get(self.manner, "")

    @property
    def fault(self) -> Fault:
        """The fault itself: it happens once, and then the server has recovered."""
        options: dict[str, Any] = {"times": 1, **self.scene.fault}
        if self.place is Place.EHLO and self.manner is not Manner.NEVER:
            options["times"] = 1
        return Fault(self.scene.place, self.reply or self.manner.name.lower(), **options)

    @property
    def patience(self) -> int | None:
        """Seconds that the client is to wait before it gives up, None where it must not come to that.

        Long enough for all the other replies on a busy machine.
        """
        return 3 if self.manner in (Manner.TIMEOUT, Manner.SLOW) else None

    def __str__(self) -> str:
        return f"{self.place.name}-{self.manner.name}-{'pipelining' if self.pipelining else 'one-by-one'}"


def all_rows() -> Iterator[Row]:
    """Every combination."""
    for pipelining in (True, False):
        for place in Place:
            for manner in Manner:
                if happens(place, manner):
                    yield Row(place, manner, pipelining)
