"""What the rest of the program may ask of an outbox, whatever database keeps it; split by who asks.

Every method may raise StorageError (OutboxBusy when another process holds the lock too long).  Methods that change
something return only once the change is durable.  Time is an argument, in Unix seconds.
"""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from prx_email_cli.errors import LockUnreadable, MessageUnreadable
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import (
    Advanced,
    Claimed,
    ClaimNext,
    ClaimOne,
    Finished,
    Moment,
    NewMessage,
    Submitted,
)

if TYPE_CHECKING:
    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.views import Filter, Health, Known, Row, Stats


class Outbox(Protocol):
    """For those who send: storing new messages."""

    def submit(self, messages: Sequence[NewMessage]) -> list[Submitted]:
        """Store *messages* in one transaction; what became of each, in order."""


class Run(Protocol):
    """A living run, from which other processes keep their hands off; a context manager, whose end lets go.

    run_id: its name in rows and attempts.
    """

    run_id: str

    def __enter__(self) -> "Run": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Why it is unknown whether certain other runs live; they count as alive.  Found by ``recover``."""

    def recover(self, policy: RetryPolicy, now: int) -> list[int]:
        """Move the ``sending`` rows of dead runs to ``failed``, due at once and uncertain; their ids.

        Raises RestoredBackup, having changed nothing.
        """

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*, which lets undelivered messages age."""

    def expire(self, now: int) -> list[int]:
        """Give up what has expired unsent; the ids."""

    def advance(self, finished: Sequence[Finished], wishes: Sequence[ClaimNext]) -> Advanced:
        """Record finished attempts and claim messages, all in one durable step.

        An attempt whose row is no longer this run's changes nothing, and is an item of the answer.  With *finished*, a
        restored backup only means that nothing is claimed; else raises RestoredBackup.
        """

    def claim_by_id(self, wish: ClaimOne) -> Claimed:
        """Claim this message for a person's retry.

        Raises, in this order, RestoredBackup, NotFound, NotAllowedForStatus (neither pending nor failed; or held),
        RetryNotDue (both never with force) and LimitUsedUp.
        """

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Undo claims of which no byte of content was written: each row is as it was before its claim.

        A row that is no longer this run's stays as it is.
        """

    def content(self, claimed: Claimed) -> Iterator[bytes]:
        """The pieces of the message's content after its head."""


class Runs(Protocol):
    """For those who deliver: starting runs."""

    def start_run(self, now: int) -> Run:
        """A new living run.

        Raises StorageError when its lock cannot be made, ChangeableByOthers when others could take it away.
        """

    def note_drain(self, now: float) -> None:
        """Note that a drain ended at *now*, so that a person can see whether cron does its work."""

    def last_drain_at(self) -> int | None:
        """When the last drain ended; None when none ever did, or others could have said so."""


class Queue(Protocol):
    """For those who deliver: what is due."""

    def accounts_due(self, now: int) -> list[str]:
        """Names of the accounts that have something a drain would take now."""

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        """How many messages of *account* a drain would take now, counting no further than *limit*."""

    def next_due_at(self) -> int | None:
        """When the next message is due for a drain, None when none ever is."""

    def claimable(self, wish: ClaimNext) -> bool:
        """Whether a claim would give something; changes nothing."""

    def check_claim(self, wish: ClaimOne) -> str:
        """The account of a message that ``claim_by_id`` would give; raises what that would, and changes nothing."""

    def take_unreported(self, now: int, only: int | None = None) -> list[int]:
        """Ids of given-up messages not reported yet (or *only* that one); marks them reported."""

    def unreadable_messages(self) -> list[MessageUnreadable]:
        """Why each message that damage lets this process neither send nor give up is passed by."""


class Operator(Protocol):
    """For a person's decisions.  Those on one message raise NotFound and NotAllowedForStatus."""

    def hold(self, outbox_id: int, now: int) -> None:
        """Keep drains from this message."""

    def release(self, outbox_id: int) -> None:
        """Let drains take this message again."""

    def cancel(self, outbox_id: int, now: int) -> None:
        """Give this message up on a person's word."""

    def resolve(self, outbox_id: int, now: int, *, sent: bool) -> None:
        """Settle an uncertain outcome on a person's word."""

    def hold_all(self, account: str | None, now: int) -> list[int]:
        """Keep drains from everything they might take (of *account*); the ids."""

    def release_all(self, account: str | None) -> list[int]:
        """Let drains take everything again that is held (of *account*); the ids."""

    def prune(self, before: int, now: int, *, records: bool = False) -> int:
        """Drop the content (with *records* everything) of messages that were over at *before*; how many."""

    def refuse_restored(self) -> None:
        """Raise RestoredBackup for a restored backup that nobody has accepted; nothing can be claimed from it."""

    def accept_restored(self) -> bool:
        """Let runs take messages from a restored backup, as ``hold_all`` of everything does; whether it was one."""


class Reports(Protocol):
    """For those who look."""

    def rows(self, wanted: "Filter") -> "list[Row]":
        """The rows that match, newest first."""

    def row(self, outbox_id: int) -> "Row":
        """One message with recipients and attempts.  Raises NotFound."""

    def stats(self, now: int) -> "Stats":
        """Counts and ages for monitoring."""

    def health(self, now: int) -> "Health":
        """Whether the database is intact, and what in it wants a person; may take a while."""


class ReceivedMail(Protocol):
    """For those who answer: messages that can be replied to."""

    def learn(self, account: str, messages: "Sequence[KnownMessage]", now: int) -> int:
        """Store the *messages* that *account* does not know, and count them."""

    def known(self, account: str, message_id: str) -> "Known | None":
        """The message that *account* has learned under this id, None when there is none."""

    def known_messages(self, account: str | None, limit: int) -> "list[Known]":
        """The messages learned last (of *account*), without their texts."""

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        """The beginning of the outbox message of *account* that an attempt gave this Message-ID."""


class Store(Outbox, Runs, Queue, Operator, Reports, ReceivedMail, Protocol):
    """A durable outbox."""

    def replaced(self) -> bool:
        """Whether another database, or none, is by now where this one was opened."""

    def check_usable(self) -> None:
        """Raise StorageError when what is written to it would reach nobody, although it was not replaced."""

    def close(self) -> None:
        """Release the database."""
