"""Keep the outbox in one PostgreSQL database, which any number of machines may use at once."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.errors import MessageUnreadable, StorageError
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, TOLD_AGAIN_SECONDS, left_alone, waits_undrained
from prx_email_cli.outbox.messages import ClaimOne, NewMessage, Submitted
from prx_email_cli.outbox.postgres import sql, submit
from prx_email_cli.outbox.postgres.claims import Claims
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.database import OpenDatabase
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.faults import storage_errors
from prx_email_cli.outbox.postgres.restored import RestoreGuard
from prx_email_cli.outbox.postgres.run import PostgresRun
from prx_email_cli.outbox.postgres.schema import LOCK
from prx_email_cli.outbox.postgres.shelf import PostgresShelf
from prx_email_cli.outbox.postgres.slots import PostgresSlots
from prx_email_cli.outbox.relational import queue
from prx_email_cli.outbox.relational import sql as moves
from prx_email_cli.outbox.relational.account_states import AccountStates
from prx_email_cli.outbox.relational.accounts import read as read_states
from prx_email_cli.outbox.relational.database import at_home
from prx_email_cli.outbox.relational.finding import Finding
from prx_email_cli.outbox.relational.operating import Operating
from prx_email_cli.outbox.relational.reporting import Reporting
from prx_email_cli.outbox.runs import Runs

if TYPE_CHECKING:
    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.postgres.watch import EachLook, PostgresWatch
    from prx_email_cli.outbox.skew import Skew


class Patience(NamedTuple):
    """How long to wait, in seconds: for a lock; for runs to give back what a person holds or cancels; and for the
    machine of a dead run, which alone has its flight record.
    """

    lock_seconds: float = 5
    withdraw_seconds: float = 1
    others_wait_seconds: int = 120


PATIENCE = Patience()


class PostgresStore(OpenDatabase, AccountStates, Finding, Operating, Reporting):
    """See ``Store`` for what each method promises."""

    def __init__(self, where: Where, records: Path, domain: str, patience: Patience = PATIENCE) -> None:
        """Open the database.

        records: this machine's flight records are kept beside this path.  domain: of the Message-IDs.
        """
        OpenDatabase.__init__(self, where, patience.lock_seconds)
        self.acting = ""
        self.drains_by: str | None = None  # what started the drains that this process has noted
        self._withdraw_seconds, self._message_id_domain = patience.withdraw_seconds, domain
        self._records, self._others_wait_seconds = records, patience.others_wait_seconds
        self._guard = RestoreGuard(where.name)
        self.claims, self.slots = Claims(self, domain), PostgresSlots(self)
        self.shelf = PostgresShelf(self)

    @property
    def skew(self) -> "Skew":
        """Return how far this machine's clock is from the server's."""
        return self.clock.skew()

    @contextmanager
    def session(self) -> Iterator[tuple[PostgresConnection, int]]:
        """Yield the connection for changes, and the number of its session."""
        with storage_errors(self.where.name), self._lock:
            connection = self._writer()
            with self._noticing(connection):
                yield connection, self.sessions

    def identity(self) -> str:
        """Return the outbox's identity, which no other outbox has."""
        with self.reading() as connection:
            return self._guard.identity(connection)

    @property
    def others_wait_seconds(self) -> int:
        """Return how long others wait before they settle what a run had in hand that lost its session."""
        return self._others_wait_seconds

    def has_waited(self, dead_for: int) -> bool:
        """Tell whether a run that has been dead for so many seconds may be settled without its flight record."""
        return not 0 <= dead_for < self._others_wait_seconds

    def is_here(self, host: str) -> bool:
        """Tell whether *host* is this machine."""
        return host == Runs(self._records).machine()

    def watch(self, *, whole: bool = False) -> "PostgresWatch | EachLook":
        """Begin to notice changes by other processes."""
        from prx_email_cli.outbox.postgres.watch import EachLook, PostgresWatch  # on use

        if whole:
            return EachLook()
        return PostgresWatch(self, self.connect_again)

    def replaced(self) -> bool:
        """Return False: another database has another URL."""
        return False

    def check_usable(self) -> None:
        """Do nothing: a database that cannot be written says so."""

    def start_run(self, now: int) -> PostgresRun:
        """Start a run."""
        return PostgresRun(self, Runs(self._records), now)

    def is_dead(self, run_id: str) -> bool:
        """Tell whether a run died."""
        return run_id not in self.living()

    def living(self) -> list[str]:
        """Return the ids of the runs that are alive, on any machine."""
        return [run_id for run_id, lives in self.runs().items() if lives]

    def runs(self) -> dict[str, bool]:
        """Return the runs that began and did not end, on any machine, and of each whether it is alive."""
        with self.reading() as connection:
            return dict(connection.execute(sql.RUNS, {"class": LOCK}).fetchall())

    def forget_flights(self) -> None:
        """Remove every flight record of this machine."""
        Runs(self._records).forget_flights()

    def read_note(self) -> bytes:
        """Return how far tidying came."""
        with self.reading() as connection:
            return str(connection.execute(sql.READ_NOTE).fetchone()[0]).encode()

    def write_note(self, note: bytes) -> None:
        """Note how far tidying came."""
        self.change(lambda connection: connection.execute(sql.WRITE_NOTE, (note.decode(),)), tell=False)

    def note_drain(self, now: float, starter: str = "") -> None:
        """Note that a drain ended at *now*, and what started it."""
        said = self.drains_by = starter.replace("\0", "")[:200]
        self.change(lambda connection: connection.execute(sql.NOTE_DRAIN, (int(now), said)), tell=False)

    def last_drain_at(self) -> int | None:
        """Return when the last drain ended; None when none ever did."""
        with self.reading() as connection:
            at, _ = connection.execute(sql.LAST_DRAIN).fetchone()
        return at if at is None else int(at)

    def last_drain_by(self) -> str:
        """Return what started the last drain; "" where that is not known."""
        with self.reading() as connection:
            return str(connection.execute(sql.LAST_DRAIN).fetchone()[1])

    def take_undrained(self, now: int) -> int | None:
        """Return since when the longest due message waits although nothing drains; to one caller a day."""
        drained_at = self.last_drain_at()
        if not waits_undrained(0, drained_at, now):
            return None
        due_at = self._next_due_at((), now)
        if not waits_undrained(due_at, drained_at, now) or self.living():
            return None
        values = {"now": now, "seconds": TOLD_AGAIN_SECONDS}
        told = self.change(lambda connection: connection.execute(sql.NOTE_TOLD, values).rowcount, tell=False)
        return due_at if told else None

    def may_tell(self, cause: str, now: int, most: int = 1) -> bool:
        """Tell whether a person is to be told of *cause*, and note it."""
        from prx_email_cli.outbox import telling  # on use

        def make(connection: PostgresConnection) -> bool:
            note = connection.execute(sql.READ_TOLD).fetchone()[0]
            told = telling.told_again(telling.read(note.encode()), cause, now, most)
            if told is not None:
                connection.execute(sql.WRITE_TOLD, (telling.written(told).decode(),))
            return told is not None

        return self.change(make, tell=False)

    def submit(self, messages: Sequence[NewMessage]) -> list[Submitted]:
        """Store *messages* in one transaction; return an answer to each, in order."""
        return self._submit(messages)

    def submit_together(self, messages: Sequence[NewMessage], *, rehearsal: bool = False) -> list[Submitted]:
        """Store all of *messages*, or none if one is refused or in a *rehearsal*."""
        if rehearsal:
            with self.reading() as connection:
                return submit.submit_all(connection, messages, rehearsal=True)
        return self._submit(messages, together=True)

    def _submit(self, messages: Sequence[NewMessage], *, together: bool = False) -> list[Submitted]:
        def make(connection: PostgresConnection) -> list[Submitted]:
            return submit.submit_all(connection, messages, together=together, jump=self._guard.jump(connection))

        def stores(answers: list[Submitted]) -> bool:
            refused = any(one.error is not None for one in answers)
            return not (together and refused) and any(not one.duplicate and one.error is None for one in answers)

        try:
            return self.change(make, tell=stores)
        except StorageError as error:
            if "is not known" not in error.message:
                what = "the message was" if len(messages) == 1 else f"these {len(messages)} messages were"
                error.hint = f"{error.hint}; {what} not stored"
            raise

    def enqueue(self, messages: Sequence[NewMessage]) -> list[int]:
        """Store *messages* in one transaction; return their ids, in order.

        Raises the error of the first that is refused, and then stores none.
        """
        submitted = self.submit_together(messages)
        for error in (one.error for one in submitted if one.error is not None):
            raise error
        return [one.outbox_id for one in submitted]

    def check_claim(self, wish: ClaimOne) -> str:
        """Return the account of the message, or raise what ``claim_by_id`` would; changes nothing."""
        with self.reading() as connection:
            return queue.check_one(connection, wish)

    def unreadable_messages(self) -> list[MessageUnreadable]:
        """Return nothing: what the server cannot read, it says at once."""
        return []

    def take_unreported(self, now: int, only: int | None = None) -> list[int]:
        """Return the ids of given-up messages not reported yet, and mark them reported: each goes to one caller."""
        with self.reading() as connection:
            untold = [
                outbox_id for outbox_id in queue.ids(connection.execute(moves.UNTOLD)) if only in (None, outbox_id)
            ]

        def tell(connection: PostgresConnection, outbox_id: int) -> bool:
            return queue.tell(connection, outbox_id, now)

        return [one for one in untold if self.change(at_home(self._guard, partial(tell, outbox_id=one)), tell=False)]

    def accounts_due(self, now: int) -> list[str]:
        """Name the accounts with due messages."""
        return [
            name
            for name in queue.accounts_waiting(self.finding, sql.NEXT_ACCOUNT)
            if self.count_due(name, now, limit=1)
        ]

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        """Count the due messages of *account*, no further than *limit*."""
        with self.finding() as connection:
            values = {"account": account, "due_before": now, "now": now, "limit": -1 if limit is None else limit}
            return int(connection.execute(sql.COUNT_DUE, values).fetchone()[0])

    def next_due_at(self, without: Collection[str] = ()) -> int | None:
        """Return when the next message is due; None when no message will be."""
        return self._next_due_at(without)

    def _next_due_at(self, without: Collection[str], now: int | None = None) -> int | None:
        """Return when the next message is due; with *now*, of an account that drains do not leave alone then."""
        names = [name for name in queue.accounts_waiting(self.finding, sql.NEXT_ACCOUNT) if name not in without]
        with self.finding() as connection:
            if now is not None:
                alone = left_alone(read_states(connection), now)
                names = [] if EVERY_ACCOUNT in alone else [name for name in names if name not in alone]
            dues = [connection.execute(sql.NEXT_DUE_AT, {"account": name}).fetchone()[0] for name in names]
        return min((due for due in dues if due is not None), default=None)

    def learn(self, account: str, messages: "Sequence[KnownMessage]", now: int) -> int:
        """Store the *messages* that *account* does not know, and count them."""
        from prx_email_cli.outbox.relational import received  # on use

        def make(connection: PostgresConnection) -> int:
            return received.learn(connection, account, messages, now)

        return self.change(at_home(self._guard, make), tell=False)
