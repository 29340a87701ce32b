"""Define what may be asked of what happened: to which message, when, and what is happening.  Times are Unix seconds."""

import os
import re
from typing import NamedTuple, Protocol


def host_name() -> str:
    """Return this machine's name, as far as a file's name may have it: a flight record is named by its run."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", os.uname().nodename)[:64]


def host_of(run_id: str) -> str:
    """Return the machine that a run's name tells; "" in an outbox that only one machine uses."""
    return run_id.partition("@")[2]


class LivingRun(NamedTuple):
    """A run that is alive, and since when."""

    run_id: str
    started_at: int


class Span(NamedTuple):
    """Which entries of the log are wanted: of this span, the latest *most* of them.

    since, until: when they happened, in Unix seconds, both included.  begun_from: only attempts that began then or
    later, which spares looking at all before.  account: only its own, and what was done to all.
    """

    since: int = 0
    until: int = 2**62
    begun_from: int = 0
    account: str | None = None
    most: int = 50


class Entry(NamedTuple):
    """An attempt that ended, or what a person did.

    number: tells it from others of its kind and message.  what: the outcome, or the action.  outbox_id: None for what
    was done to an account, "" being all.  The other fields are those of the attempt, or of the action.
    """

    at: int
    kind: str
    outbox_id: int | None
    number: int
    account: str
    what: str
    who: str | None = None
    detail: str | None = None
    code: int | None = None
    response: str | None = None
    uncertain: bool = False
    message_id: str | None = None
    run_id: str | None = None
    began_at: int | None = None


class Log(NamedTuple):
    """Entries of the log, the oldest first; unended_from: no attempt that had not ended by then began earlier."""

    entries: list[Entry]
    unended_from: int


class InHand(NamedTuple):
    """A message that a run has in hand, and since when."""

    outbox_id: int
    account: str
    run_id: str
    claimed_at: int
    subject: str
    to: str
    size_bytes: int


class History(Protocol):
    """Finding messages by what else names them, and what happened; see ``Store``."""

    def with_message_id(self, message_id: str, account: str | None) -> int | None:
        """Return the message (of *account*) that was attempted under this Message-ID, or is to be next; else None."""

    def with_key(self, key: str, account: str | None) -> list[int]:
        """Return the messages (of *account*) with this idempotency key: one at most for each account."""

    def living_runs(self) -> list[LivingRun]:
        """Return the runs that are alive, the oldest first; none where that cannot be told."""

    def log(self, span: Span, now: int) -> Log:
        """Return the attempts that ended and what people did in a span of time, the oldest first."""

    def in_hand(self, most: int) -> list[InHand]:
        """Return the messages that runs have in hand, *most* at most, those first that they have had for longest."""
