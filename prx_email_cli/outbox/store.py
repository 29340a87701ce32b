"""What the rest of the program may ask of an outbox, whatever database keeps it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from prx_email_cli.errors import MessageUnreadable
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Finished, Moment, NewMessage, Submitted

if TYPE_CHECKING:
    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.views import Filter, Health, Known, Row, Stats


class Store(Protocol):
    """A durable outbox.  Every method may raise StorageError (OutboxBusy when somebody else's lock lasts too long).

    Methods that change something return only once the change is durable.  ``run_id`` names the living run that acts.
    Time is an argument.
    """

    def submit(self, messages: Sequence[NewMessage]) -> list[Submitted]:
        """Store *messages* in one transaction; what became of each, in order."""

    def claim_next(self, run_id: str, wish: ClaimNext) -> Claimed | None:
        """Claim the longest-due message, None when nothing is due.  Raises RestoredBackup."""

    def claim(self, run_id: str, wish: ClaimOne) -> Claimed:
        """Claim this message for a person's retry.

        Raises, in this order, RestoredBackup, NotFound, NotAllowedForStatus (neither pending nor failed; or held),
        RetryNotDue (both never with force) and LimitUsedUp.
        """

    def claimable(self, wish: ClaimNext) -> bool:
        """Whether ``claim_next`` would give something; changes nothing."""

    def check_claim(self, wish: ClaimOne) -> str:
        """The account of a message that ``claim`` would give; raises what ``claim`` would, and changes nothing."""

    def finalize(self, run_id: str, finished: Finished, then: ClaimNext | None = None) -> Claimed | None:
        """Record a finished attempt and, in the same transaction, claim the next message.

        Raises ClaimLost, having changed nothing, when *run_id* no longer owns the row.
        """

    def recover(self, is_dead: Callable[[str], bool], policy: RetryPolicy, now: int) -> list[int]:
        """Move the ``sending`` rows of dead runs to ``failed``, due at once and uncertain; their ids."""

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*, which lets undelivered messages age."""

    def expire(self, now: int) -> list[int]:
        """Give up what has expired unsent; the ids."""

    def tell(self, now: int, only: int | None = None) -> list[int]:
        """Messages given up of which nobody was told yet, now noted as told: each id comes back once, to one caller."""

    def unreadable(self) -> list[MessageUnreadable]:
        """Why each message that damage lets this process neither send nor give up is passed by."""

    def rest_of_content(self, outbox_id: int) -> Iterator[bytes]:
        """The pieces of a message's content after its head."""

    def accounts_due(self, now: int) -> list[str]:
        """Names of the accounts that have something a drain would take now."""

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        """How many messages of *account* a drain would take now, counting no further than *limit*."""

    def next_due_at(self) -> int | None:
        """When the next message is due for a drain, None when none ever is."""

    def hold(self, outbox_id: int, now: int) -> None:
        """Keep drains from this message.  This and the next three raise NotFound and NotAllowedForStatus."""

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

    def learn(self, account: str, messages: "Sequence[KnownMessage]", now: int) -> int:
        """Store the *messages* that *account* does not know, and count them."""

    def known(self, account: str, message_id: str) -> "Known | None":
        """The message that *account* has learned under this id, None when there is none."""

    def known_messages(self, account: str | None, limit: int) -> "list[Known]":
        """The messages learned last (of *account*), without their texts."""

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        """The beginning of the outbox message of *account* that an attempt gave this Message-ID."""

    def rows(self, wanted: "Filter") -> "list[Row]":
        """The rows that match, newest first."""

    def row(self, outbox_id: int) -> "Row":
        """One message with recipients and attempts.  Raises NotFound."""

    def stats(self, now: int) -> "Stats":
        """Counts and ages for monitoring."""

    def health(self, now: int) -> "Health":
        """Whether the database is intact, and what in it wants a person; may take a while."""

    def refuse_restored(self) -> None:
        """Raise RestoredBackup for a restored backup that nobody has accepted; nothing can be claimed from it."""

    def accept_restored(self) -> bool:
        """Let runs take messages from a restored backup, as ``hold_all`` of everything does; whether it was one."""

    def replaced(self) -> bool:
        """Whether another database, or none, is by now where this one was opened."""

    def close(self) -> None:
        """Release the database."""
