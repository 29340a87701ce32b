"""Define what the rest of the program may ask of an outbox, whatever database keeps it.

Every method may raise StorageError (OutboxBusy when another process holds the lock too long).  A method that changes
something returns once the change is durable.  Time is an argument, in Unix seconds.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from prx_email_cli.errors import LockUnreadable, MessageUnreadable
from prx_email_cli.outbox.history import History
from prx_email_cli.outbox.keeping import Keeper
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RetryPolicy
from prx_email_cli.outbox.messages import (
    Advanced,
    Claimed,
    ClaimNext,
    ClaimOne,
    Exported,
    Finished,
    Moment,
    NewMessage,
    Recovered,
    Submitted,
)

if TYPE_CHECKING:
    from prx_email_cli.config.shelf import Shelf
    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.accounts import AccountState, Event
    from prx_email_cli.outbox.decisions import Decided, Decision, Spread
    from prx_email_cli.outbox.editing import Edit
    from prx_email_cli.outbox.messages import Limit
    from prx_email_cli.outbox.skew import Skew
    from prx_email_cli.outbox.slots import Slots
    from prx_email_cli.outbox.views import Failure, Figures, Filter, Health, Known, Row, Stats, Usage


class Outbox(Protocol):
    """Storing new messages, for ``send`` and its like."""

    def submit(self, messages: Sequence[NewMessage]) -> list[Submitted]:
        """Store *messages* in one transaction; return an answer to each, in order."""

    def submit_together(self, messages: Sequence[NewMessage], *, rehearsal: bool = False) -> list[Submitted]:
        """Store all of *messages* in one transaction, or none if one is refused; return an answer to each, in order.

        rehearsal: only answer and store nothing; the ids of messages that would be new mean nothing.
        """


class Run(Protocol):
    """A living run, whose claimed messages no other run takes; a context manager, whose end ends the run.

    run_id: its name in rows and attempts.
    """

    run_id: str

    def __enter__(self) -> "Run": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Return an error for each run of which ``recover`` could not tell whether it lives; it counts as alive."""

    def recover(self, policy: RetryPolicy, now: int) -> Recovered:
        """Settle the messages that dead runs had claimed, by those runs' flight records.

        An answered attempt is recorded with its answer.  A claim whose content was not completed is given back.  Any
        other message becomes ``failed``, due at once and uncertain.  Raises RestoredBackup, having changed nothing.
        """

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*, which lets undelivered messages age."""

    def expire(self, now: int) -> list[int]:
        """Give up the messages that expired unsent; return their ids."""

    def advance(
        self, finished: Sequence[Finished], wishes: Sequence[ClaimNext], returned: Sequence[Claimed] = ()
    ) -> Advanced:
        """Record finished attempts, give back the claims *returned* and claim messages, all in one durable step.

        returned: claims of which the server has no whole content; their rows are then as before the claims.  A row that
        this run no longer holds stays as it is; for a finished attempt the answer has the error.  Where nothing may be
        claimed (RestoredBackup, StorageError), that is raised only without *finished* and *returned*.
        """

    def claim_by_id(self, wish: ClaimOne) -> Claimed:
        """Claim this message for ``retry`` or ``send --now``; if somebody is ``acting``, it is recorded as retried.

        Raises, in this order, RestoredBackup, NotFound, NotAllowedForStatus (neither pending nor failed; or held),
        RetryNotDue (both never with force) and LimitUsedUp.
        """

    def wanted_back(self, now: int) -> list[int]:
        """Return the ids of claimed messages that a person wants back: give back what was not begun.

        They are held or cancelled, or their account is paused.
        """

    def about_to_end(self, claimed: Claimed, results: Mapping[int, RecipientResult]) -> None:
        """Note in the flight record, without a sync, that the bytes that complete the content may leave now.

        results: of the attempt as they stand if no answer comes: uncertain for each recipient that the server accepted.
        Raises StorageError, and then the bytes must not leave.
        """

    def answered(self, claimed: Claimed, outcome: Outcome, at: int) -> None:
        """Note in the flight record, without a sync, what the attempt came to at *at*.

        If that fails, the record says that no answer came, and a killed run leaves the message uncertain.
        """

    def content(self, claimed: Claimed) -> Iterator[bytes]:
        """Yield the pieces of the message's content after its head."""


class Runs(Protocol):
    """Starting runs, for delivery."""

    def start_run(self, now: int) -> Run:
        """Start a run.

        Raises StorageError when its lock cannot be made, ChangeableByOthers when others could take it away.
        """

    def note_drain(self, now: float, starter: str = "") -> None:
        """Note that a drain ended at *now* and what started it, so that a person can see whether cron does its work."""

    def last_drain_at(self) -> int | None:
        """Return when the last drain ended; None when none ever did, or another user could have written it."""

    def last_drain_by(self) -> str:
        """Return what started the last drain; "" where that is not known."""

    def take_undrained(self, now: int) -> int | None:
        """Return since when the longest due message waits although nothing drains; to one caller a day.

        None while drains end, a run lives, or all that is due belongs to accounts that are paused or rest.
        """

    def may_tell(self, cause: str, now: int, most: int = 1) -> bool:
        """Tell whether a person is to be told of *cause* at *now*, and note it: *most* times a day, see ``telling``.

        Raises StorageError, or ChangeableByOthers, when it cannot be noted.
        """


class Watch(Protocol):
    """Noticing what other processes do with the outbox, for a follower.

    round_seconds: after so long a follower looks for what nobody tells of, as dead runs and messages that expired.
    """

    @property
    def round_seconds(self) -> float: ...

    def fileno(self) -> int | None:
        """Return a descriptor that can be read when something is told of; None where no system tells.

        A change can be seen a moment later at the latest, and this process's own are told of as well.
        """

    def take(self) -> None:
        """Take in what can be read from the descriptor."""

    def changed(self) -> bool:
        """Tell whether another process has changed the outbox since the last call that said so; True at first.

        False, too, while this process is writing to a file.
        """

    def close(self) -> None:
        """Release the descriptor."""


class Queue(Protocol):
    """What is due, for delivery."""

    def accounts_due(self, now: int) -> list[str]:
        """Name the accounts with due messages."""

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        """Count the due messages of *account*, no further than *limit*."""

    def next_due_at(self, without: Collection[str] = ()) -> int | None:
        """Return when the next message is due, in Unix seconds, those of these accounts left out; None for never."""

    def check_claim(self, wish: ClaimOne) -> str:
        """Return the account of the message, or raise what ``claim_by_id`` would; changes nothing."""

    def take_unreported(self, now: int, only: int | None = None) -> list[int]:
        """Return the ids of given-up messages not reported yet (or *only* that one), and mark them reported."""

    def unreadable_messages(self) -> list[MessageUnreadable]:
        """Return an error for each damaged message that this process can neither send nor give up."""


class Accounts(Protocol):
    """What is known of accounts beside their messages: whether drains use them.  Attempts that are recorded add to it.

    ``""`` is every account.
    """

    def account_states(self) -> "dict[str, AccountState]":
        """Return the states by account; none of an account of which nothing is known."""

    def pause(self, pause: "AccountState") -> None:
        """Keep drains from an account: nothing more is claimed, and what was not begun is given back."""

    def resume(self, account: str, now: int, *, alone: bool = False) -> bool:
        """End pause and rest of an account, or of all; tell whether there was one.

        alone: for every account, lift the pause of all, and leave those of single accounts.
        """

    def wake(self, account: str) -> None:
        """End the rest of an account, so that the next drain tries it."""

    def forget_account(self, account: str) -> None:
        """Forget pause, rest and failure of an account, which is no more."""

    def note_config(self, account: str, config: str) -> None:
        """Note the fingerprint of the config under which an account fails; nothing if it does not fail."""

    def take_untold(self, now: int) -> "list[tuple[Event, AccountState]]":
        """Return what a person is to be told of accounts now, and mark it as told: each goes to one caller."""


class Operator(Protocol):
    """A person's decisions.  Those on one message raise NotFound and NotAllowedForStatus.

    ``hold``, ``hold_all`` and ``cancel`` take back what a living run has claimed and not begun.

    acting: who decides, as user@host; it is recorded with each decision.
    """

    acting: str

    def decide(self, decision: "Decision", ids: Sequence[int], now: int) -> "Iterator[list[Decided]]":
        """Carry out a decision on each of these messages; yield what became of some of them once that is durable.

        Nobody waits long for the outbox meanwhile, however many they are.  Each message is changed whole or not at all.
        """

    def edit(self, ids: Sequence[int], change: "Edit") -> "Iterator[list[Decided]]":
        """Correct these messages, see ``editing.edited``; yields as ``decide`` does.

        Statuses and reasons for giving up stay.  What recipients have received stays as it is.
        """

    def spread(self, ids: Sequence[int], spread: "Spread") -> "Iterator[list[Decided]]":
        """Let drains take these messages, also given-up ones, one after the other; yields as ``decide`` does.

        The rests of their accounts end.  Refused is what ``check_claim`` refuses, and what would expire before.
        """

    def hold(self, outbox_id: int, now: int) -> None:
        """Keep drains from this message."""

    def release(self, outbox_id: int, now: int) -> None:
        """Let drains take this message again."""

    def cancel(self, outbox_id: int, now: int) -> None:
        """Give this message up."""

    def resolve(self, outbox_id: int, now: int, *, sent: bool) -> None:
        """Settle the uncertain recipients of this message: accepted if *sent*, else not."""

    def hold_all(self, account: str | None, now: int) -> list[int]:
        """Hold every message that drains might take (of *account*); return their ids."""

    def release_all(self, account: str | None, now: int) -> list[int]:
        """Release every held message (of *account*); return their ids."""

    def refuse_restored(self) -> None:
        """Raise RestoredBackup for a restored backup that nobody has accepted; nothing can be claimed from it."""

    def accept_restored(self) -> bool:
        """Let runs take messages from a restored backup, as ``hold_all`` of everything does; tell if it was one."""


class Reports(Protocol):
    """Reading, for ``list``, ``show``, ``stats`` and ``doctor``."""

    def rows(self, wanted: "Filter") -> "list[Row]":
        """Return the messages that match, newest first."""

    def ids(self, wanted: "Filter") -> list[int]:
        """Return the ids of the messages that match, newest first."""

    def count(self, wanted: "Filter") -> int | None:
        """Count the messages that match, whatever their limit; None where counting them would take long."""

    def row(self, outbox_id: int) -> "Row":
        """Return one message with recipients and attempts.  Raises NotFound."""

    def exported(self, outbox_id: int) -> Exported:
        """Return one message as its next attempt would send it.

        Raises NotFound, also for one whose content was deleted, and OutboxDamaged.
        """

    def stats(self, now: int) -> "Stats":
        """Return counts and ages for monitoring."""

    def figures(self, now: int) -> "dict[str, Figures]":
        """Return what monitoring asks of each account, sorted by its name; the cost grows with what is not sent."""

    def failures(self) -> "list[Failure]":
        """Return why unsent messages have failed, those of the same words as one; not what a person cancelled."""

    def delivered(self, since: int) -> dict[str, int]:
        """Return how many messages of each account were delivered after *since*."""

    def usage(self, account: str, limits: "Sequence[Limit]", now: int) -> "list[Usage]":
        """Return how much of each of its *limits* an account has used by *now*."""

    def health(self, now: int) -> "Health":
        """Check whether the database is intact and whether messages wait for a person; reads all of it."""


class ReceivedMail(Protocol):
    """Known messages, for ``import``, ``reply`` and ``messages``."""

    def learn(self, account: str, messages: "Sequence[KnownMessage]", now: int) -> int:
        """Store the *messages* that *account* does not know, and count them."""

    def known(self, account: str, message_id: str) -> "Known | None":
        """Return the known message of *account* with this id; None when there is none."""

    def known_messages(self, account: str | None, limit: int) -> "list[Known]":
        """Return the known messages imported last (of *account*), without their texts."""

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        """Return the first piece of the message of *account* that was attempted under this Message-ID; else None."""


class Store(Outbox, Runs, Queue, Accounts, Operator, Keeper, Reports, History, ReceivedMail, Protocol):
    """A durable outbox."""

    def clock(self) -> float:
        """Return the time, in Unix seconds, by which it is decided what is due: this machine's, or the server's.

        Setting this machine's clock does not change the latter.
        """

    @property
    def skew(self) -> "Skew | None":
        """Return how far this machine's clock is from that one; None where it is that one."""

    @property
    def slots(self) -> "Slots | None":
        """Return the connections of accounts that all runs share; None where each run counts its own."""

    @property
    def shelf(self) -> "Shelf | None":
        """Return where all machines keep tokens, encrypted; None where they are in files."""

    def watch(self, *, whole: bool = False) -> Watch:
        """Begin to notice changes by other processes: those that are a follower's matter, or *whole*, all."""

    def replaced(self) -> bool:
        """Tell whether the path by now has another database than the open one, or none."""

    def cut_off(self) -> bool:
        """Tell whether the database was replaced, or a session with its server lost: its runs claim no more."""

    def check_usable(self) -> None:
        """Raise StorageError when writes would be lost although the database was not replaced."""

    def close(self) -> None:
        """Release the database."""
