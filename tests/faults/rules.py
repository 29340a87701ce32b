"""What must come of every fault: the rules of the design as tables, without a look at the program's own code.

A manner means something to the client (`MEANINGS`); a place has a table from meaning to fate (`PLACE_RULES`); a fate
says where the message and its recipients stand afterwards (`after`) and once the server has recovered (`at_last`).
"""

from dataclasses import dataclass
from enum import StrEnum

from .places import FIRST, SECOND, Manner, Place, Row


class Meaning(StrEnum):
    """What a manner amounts to for a client."""

    NOT_NOW = "a temporary refusal"
    NEVER = "a permanent refusal"
    THROTTLED = "the server sends everybody away, or the account is over its quota"
    LOST = "the connection is lost, or times out"
    NONSENSE = "what comes is no SMTP"
    FINE = "nothing is wrong"


class Fate(StrEnum):
    """What becomes of the message."""

    SENT = "sent"
    DEFERRED = "failed for now; what the server said or did is known to have ended this attempt"
    GIVEN_UP = "refused for good"
    ONE_DEFERRED = "one recipient deferred, the other one accepted"
    ONE_REFUSED = "one recipient refused for good, the other one accepted"
    UNCERTAIN = "failed for now, and it may have been accepted"
    ACCOUNT = "the account failed: this message is deferred, every other one untouched, the account rests"


Verdict = tuple[Fate, str | None]
"""Fate and error code."""
Rules = dict[Meaning, Verdict]

MEANINGS = {
    Manner.LATER: Meaning.NOT_NOW,
    Manner.NEVER: Meaning.NEVER,
    Manner.CLOSING: Meaning.THROTTLED,
    Manner.QUOTA: Meaning.THROTTLED,
    Manner.CLOSE: Meaning.LOST,
    Manner.RESET: Meaning.LOST,
    Manner.TIMEOUT: Meaning.LOST,
    Manner.SLOW: Meaning.LOST,
    Manner.GARBAGE: Meaning.NONSENSE,
    Manner.ENDLESS: Meaning.NONSENSE,
    Manner.MEGABYTE_LINE: Meaning.NONSENSE,
    Manner.FRAGMENTS: Meaning.FINE,
}

# "Account failures are: cannot connect, TLS or certificate, authentication (any 535, though 5xx), throttling."
OPENING: Rules = dict.fromkeys(Meaning, (Fate.ACCOUNT, "provider"))
OPENING |= {Meaning.LOST: (Fate.ACCOUNT, "network"), Meaning.FINE: (Fate.SENT, None)}
LOGIN: Rules = OPENING | {Meaning.NEVER: (Fate.ACCOUNT, "auth")}
# Inside a handshake every answer in clear is only broken TLS.
_BROKEN_TLS: Verdict = (Fate.ACCOUNT, "network")
HANDSHAKE: Rules = dict.fromkeys(Meaning, _BROKEN_TLS) | {Meaning.FINE: (Fate.SENT, None)}
# "4xx, timeouts and network errors defer; 5xx on a recipient or message gives that one up."  "Connection lost before
# the final dot was sent: failed, deferred, not uncertain."
ENVELOPE: Rules = {
    Meaning.NOT_NOW: (Fate.DEFERRED, "provider"),
    Meaning.NEVER: (Fate.GIVEN_UP, "provider"),
    Meaning.THROTTLED: (Fate.ACCOUNT, "provider"),
    Meaning.LOST: (Fate.DEFERRED, "network"),
    Meaning.NONSENSE: (Fate.DEFERRED, "provider"),
    Meaning.FINE: (Fate.SENT, None),
}
# "Recipients are tracked one by one."
ONE_RECIPIENT: Rules = ENVELOPE | {
    Meaning.NOT_NOW: (Fate.ONE_DEFERRED, "provider"),
    Meaning.NEVER: (Fate.ONE_REFUSED, "provider"),
}
# "Connection lost, timed out or garbage after the final dot: failed, deferred, uncertain."  A small message leaves in
# one write together with its final dot, so the dot was on the wire whenever the server can have misbehaved.
DOT_ON_THE_WIRE: Rules = ENVELOPE | {
    Meaning.LOST: (Fate.UNCERTAIN, "network"),
    Meaning.NONSENSE: (Fate.UNCERTAIN, "provider"),
}
# A large one is still being written when the server speaks or goes, and then the dot never leaves.
HALFWAY: Rules = ENVELOPE
# The recipients' 4xx stand; 421 is throttling wherever it is said.
_BY_ITS_RECIPIENTS: Verdict = (Fate.DEFERRED, "provider")
RESETTING: Rules = dict.fromkeys(Meaning, _BY_ITS_RECIPIENTS) | {Meaning.THROTTLED: (Fate.ACCOUNT, "provider")}
# "After the provider's 250 nothing may turn the result into an error: a failing QUIT only warns."
LEAVING: Rules = dict.fromkeys(Meaning, (Fate.SENT, None))

PLACE_RULES = {
    Place.CONNECT: OPENING,
    Place.GREETING: OPENING,
    Place.EHLO: OPENING,
    Place.STARTTLS: OPENING,
    Place.TLS_AFTER_STARTTLS: HANDSHAKE,
    Place.TLS_ON_CONNECTING: HANDSHAKE,
    Place.AUTH: LOGIN,
    Place.MAIL: ENVELOPE,
    Place.RCPT_1: ONE_RECIPIENT,
    Place.RCPT_2: ONE_RECIPIENT,
    Place.DATA: ENVELOPE,
    Place.CONTENT: DOT_ON_THE_WIRE,
    Place.LARGE_CONTENT: HALFWAY,
    Place.DOT: DOT_ON_THE_WIRE,
    Place.DOT_STORED: DOT_ON_THE_WIRE,
    Place.RSET: RESETTING,
    Place.IDLE: ENVELOPE,  # the next message's MAIL is the first to meet it
    Place.QUIT: LEAVING,
}
# "A reply ahead of its command is not its answer": a second reply on the heels of 250 makes that 250 doubtful as well,
# but for 421, which may come at any time.
DOUBTFUL_FORERUNNER = {Meaning.NOT_NOW, Meaning.NEVER, Meaning.NONSENSE}
# What is said or done just before the client speaks may reach it in time or too late; both are right.
ALTERNATIVES: dict[Place, Verdict] = {
    Place.IDLE: (Fate.SENT, None),  # noticed before MAIL: over another connection
    Place.TLS_AFTER_STARTTLS: (Fate.ACCOUNT, "provider"),  # noticed before the handshake: CVE-2011-0411
}


def verdict(place: Place, manner: Manner) -> Verdict:
    """Fate and error code of one combination; PIPELINING makes no difference."""
    return PLACE_RULES[place][MEANINGS[manner]]


def verdict_on(row: Row, error: str | None) -> Verdict:
    """The verdict on *row*; where two are right, the one that has this error code."""
    alternative = ALTERNATIVES.get(row.place)
    return alternative if alternative is not None and alternative[1] == error else verdict(row.place, row.manner)


@dataclass(frozen=True)
class After:
    """Where everything stands after the drain that met the fault.

    others: what became of the other due message of the account.  copies: how many the server stored.
    """

    status: str
    recipients: tuple[str, str]
    uncertain: bool
    gave_up: bool
    error: str | None
    retries: int
    due_in: int | None  # None where no drain takes it again
    others: str
    copies: int


@dataclass(frozen=True)
class AtLast:
    """Where everything stands after the next drain, the server having recovered.

    addressed: whom that drain named to the server.  message_ids: the `retries` part of the Message-ID of each copy that
    the server stored in all, in order.
    """

    status: str
    recipients: tuple[str, str]
    others: str
    addressed: tuple[str, ...]
    message_ids: tuple[int, ...]


FIRST_DELAY_SECONDS = 10  # base * 2^1, base 5 s

_RECIPIENTS = {
    Fate.SENT: ("accepted", "accepted"),
    Fate.DEFERRED: ("pending", "pending"),
    Fate.GIVEN_UP: ("refused", "refused"),
    Fate.UNCERTAIN: ("pending", "pending"),
    Fate.ACCOUNT: ("pending", "pending"),
}
_OF_THE_ONE = {Fate.ONE_DEFERRED: "pending", Fate.ONE_REFUSED: "refused"}


def after(row: Row, verdict: Verdict) -> After:
    """What must be true after the first drain."""
    fate, error = verdict
    given_up = fate in (Fate.GIVEN_UP, Fate.ONE_REFUSED)
    return After(
        status="sent" if fate is Fate.SENT else "failed",
        recipients=_recipients(row.place, fate),
        uncertain=fate is Fate.UNCERTAIN,
        gave_up=given_up,
        error=error,
        retries=0 if fate is Fate.SENT else 1,
        due_in=None if fate is Fate.SENT or given_up else FIRST_DELAY_SECONDS,
        others="untouched" if fate is Fate.ACCOUNT else "sent",
        copies=len(_stored_at_first(row.place, fate)),
    )


def at_last(row: Row, fate: Fate) -> AtLast:
    """What must be true after the second one: delivered, once, to whoever was not served yet."""
    again = {
        Fate.DEFERRED: (FIRST, SECOND),
        Fate.ACCOUNT: (FIRST, SECOND),
        Fate.UNCERTAIN: (FIRST, SECOND),
        Fate.ONE_DEFERRED: (FIRST,) if row.place is Place.RCPT_1 else (SECOND,),
    }.get(fate, ())
    of_retry = (0,) if fate is Fate.UNCERTAIN else (1,)  # an uncertain attempt's Message-ID is repeated
    refused = fate in (Fate.GIVEN_UP, Fate.ONE_REFUSED)
    return AtLast(
        status="failed" if refused else "sent",
        recipients=_recipients(row.place, fate) if refused else ("accepted", "accepted"),
        others="sent",
        addressed=again,
        message_ids=_stored_at_first(row.place, fate) + (of_retry if again else ()),
    )


def _recipients(place: Place, fate: Fate) -> tuple[str, str]:
    if fate in _OF_THE_ONE:
        one = _OF_THE_ONE[fate]
        return (one, "accepted") if place is Place.RCPT_1 else ("accepted", one)
    return _RECIPIENTS[fate]


def _stored_at_first(place: Place, fate: Fate) -> tuple[int, ...]:
    accepted = fate in (Fate.SENT, Fate.ONE_DEFERRED, Fate.ONE_REFUSED)
    return (0,) if accepted or place is Place.DOT_STORED else ()
