"""Keep the outbox in one SQLite file, which any number of processes may use at once."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prx_email_cli.errors import MessageUnreadable, OutboxDamaged, PrxEmailError, StorageError
from prx_email_cli.outbox.lifecycle import drained_since
from prx_email_cli.outbox.messages import ClaimOne, Exported, NewMessage, Submitted
from prx_email_cli.outbox.sqlite import marks, queue, sql
from prx_email_cli.outbox.sqlite.account_states import AccountStates
from prx_email_cli.outbox.sqlite.claims import Claims
from prx_email_cli.outbox.sqlite.connection import open_beside, open_database, storage_errors
from prx_email_cli.outbox.sqlite.damage import DespiteDamage
from prx_email_cli.outbox.sqlite.high_water import Mark
from prx_email_cli.outbox.sqlite.place import Place
from prx_email_cli.outbox.sqlite.restored import RestoreGuard
from prx_email_cli.outbox.sqlite.runs import Runs

if TYPE_CHECKING:
    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.sqlite.run import SqliteRun
    from prx_email_cli.outbox.sqlite.watch import SqliteWatch
    from prx_email_cli.outbox.views import Failure, Figures, Filter, Health, Known, Row, Stats

T = TypeVar("T")


class SqliteStore(AccountStates):
    """See ``Store`` for what each method promises."""

    def __init__(
        self, path: Path, *, message_id_domain: str, busy_timeout_seconds: float = 5, create: bool = True,
        withdraw_seconds: float = 1,
    ) -> None:  # fmt: skip
        """Open the database.  withdraw_seconds: so long runs are given to give back what a person holds or cancels."""
        self.path, self._withdraw_seconds = path, withdraw_seconds
        self._connection = open_database(path, busy_timeout_seconds, create=create)
        self._place = Place(path)
        self._guard = RestoreGuard(path)
        self._connection.create_function("drained_since", 2, drained_since)
        self._lock, self._reading_lock = threading.Lock(), threading.Lock()
        self._busy_timeout_seconds = busy_timeout_seconds
        self._reader: sqlite3.Connection | None = None  # opened when the other one is first in use
        self._damage = DespiteDamage(self.change, self.reading)
        self._message_id_domain = message_id_domain
        self.claims = Claims(self, self._guard, self._damage, message_id_domain)

    def close(self) -> None:
        """Release the database."""
        self._guard.close()
        if self._reader is not None:
            self._reader.close()
        self._place.leave(self._connection)

    def watch(self) -> "SqliteWatch":
        """Begin to notice changes by other processes."""
        from prx_email_cli.outbox.sqlite.watch import SqliteWatch  # on use

        return SqliteWatch(self.path, self._connection, self._lock)

    def replaced(self) -> bool:
        """Tell whether the path by now has another database than the open one, or none."""
        return self._place.replaced()

    def check_usable(self) -> None:
        """Raise StorageError when the database is at its path and its log is not: then writes are lost."""
        if self._place.lost_its_log():
            raise StorageError(
                f"the outbox {self.path} lost its write-ahead log while it was open",
                hint="stop every drain before you restore a backup, and start this one again now",
            )

    def refuse_restored(self) -> None:
        """Raise RestoredBackup for a restored backup that nobody has accepted."""
        with self.reading() as connection:
            self._guard.refuse(connection)

    def accept_restored(self) -> bool:
        """Let runs take messages from a restored backup; tell if it was one."""
        mark = self.change(self._accept)
        if mark is not None:
            self._guard.note(mark)
        return mark is not None

    def _accept(self, connection: sqlite3.Connection) -> Mark | None:
        return self._guard.accept(connection, Runs(self.path).forget_flights)

    def start_run(self, now: int) -> "SqliteRun":
        """Start a run."""
        from prx_email_cli.outbox.sqlite.run import SqliteRun  # on use

        runs = Runs(self.path)
        return SqliteRun(self, runs, runs.start(now))

    def note_drain(self, now: float) -> None:
        """Note that a drain ended at *now*."""
        Runs(self.path).note_drain(now)

    def last_drain_at(self) -> int | None:
        """Return when the last drain ended; None when none ever did."""
        return Runs(self.path).last_drain()

    def submit(self, messages: Sequence[NewMessage]) -> list[Submitted]:
        """Store *messages* in one transaction; return an answer to each, in order."""
        return self._submit(messages)

    def submit_together(self, messages: Sequence[NewMessage], *, rehearsal: bool = False) -> list[Submitted]:
        """Store all of *messages*, or none if one is refused or in a *rehearsal*."""
        if not rehearsal:
            return self._submit(messages, together=True)
        from prx_email_cli.outbox.sqlite import submit  # on use

        with self.reading() as connection:
            return submit.rehearse(connection, messages)

    def _submit(self, messages: Sequence[NewMessage], *, together: bool = False) -> list[Submitted]:
        from prx_email_cli.outbox.sqlite import submit  # on use

        try:
            return self.change(
                lambda connection: submit.submit_all(connection, messages, self._guard.last_id(), together=together)
            )
        except StorageError as error:
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
        """Return the account of the message, or raise what ``claim`` would; changes nothing."""
        with self.reading() as connection:
            return queue.check_one(connection, wish)

    def unreadable_messages(self) -> list[MessageUnreadable]:
        """Return an error for each damaged message that this process passes by."""
        return self._damage.errors()

    def take_unreported(self, now: int, only: int | None = None) -> list[int]:
        """Return the ids of given-up messages not reported yet, and mark them reported: each goes to one caller."""
        with self.reading() as connection:
            untold = [outbox_id for outbox_id in queue.ids(connection.execute(sql.UNTOLD)) if only in (None, outbox_id)]
        told: list[int] = []
        for outbox_id in untold:
            with suppress(OutboxDamaged):
                if self.change(partial(queue.tell, outbox_id=outbox_id, now=now)):
                    told.append(outbox_id)
        return told

    def hold(self, outbox_id: int, now: int) -> None:
        """Keep drains from this message."""
        from prx_email_cli.outbox.sqlite import withdrawing  # on use

        withdrawing.decide(self, withdrawing.HOLD, outbox_id, now, self._withdraw_seconds)

    def hold_all(self, account: str | None, now: int) -> list[int]:
        """Hold every message that drains might take (of *account*); return their ids."""
        from prx_email_cli.outbox.sqlite.withdrawing import wait_until_given_back  # on use

        claimed: list[int] = []

        def make(connection: sqlite3.Connection) -> tuple[list[int], Mark | None]:
            values = {"account": account, "now": now}
            held = queue.ids(connection.execute(sql.HOLD_ALL, values))
            if self._withdraw_seconds:
                claimed[:] = queue.ids(connection.execute(marks.MARK_ALL_HELD, values))
            mark = None
            if account is None:
                with suppress(PrxEmailError):  # a mark that cannot be read must not keep a person from holding messages
                    mark = self._accept(connection)
            if mark is not None:
                held += claimed + queue.ids(connection.execute(sql.HOLD_SENDING, values))
            return held, mark

        held, mark = self.change(make)
        if mark is not None:
            self._guard.note(mark)
        elif claimed:  # what is being sent is held afterwards, unless it is sent
            wait_until_given_back(self, claimed, self._withdraw_seconds)
            with self.reading() as connection:
                held += queue.ids(connection.execute(marks.HELD_AMONG, {"ids": str(claimed)}))
        return held

    def release(self, outbox_id: int) -> None:
        """Let drains take this message again."""
        from prx_email_cli.outbox.sqlite import operator  # on use

        self.change(lambda connection: operator.release(connection, outbox_id))

    def release_all(self, account: str | None) -> list[int]:
        """Release every held message (of *account*); return their ids."""
        return self.change(lambda connection: queue.ids(connection.execute(sql.RELEASE_ALL, {"account": account})))

    def cancel(self, outbox_id: int, now: int) -> None:
        """Give this message up."""
        from prx_email_cli.outbox.sqlite import withdrawing  # on use

        withdrawing.decide(self, withdrawing.CANCEL, outbox_id, now, self._withdraw_seconds)

    def resolve(self, outbox_id: int, now: int, *, sent: bool) -> None:
        """Settle the uncertain recipients of this message: accepted if *sent*, else not."""
        from prx_email_cli.outbox.sqlite import operator  # on use

        self.change(lambda connection: operator.resolve(connection, outbox_id, now, sent=sent))

    def prune(self, before: int, now: int, *, records: bool = False) -> int:
        """Delete the content (with *records* everything) of messages that ended by *before*; return how many."""
        from prx_email_cli.outbox.sqlite import operator  # on use

        return operator.prune(self, operator.Pruning(before, now, records))

    def accounts_due(self, now: int) -> list[str]:
        """Name the accounts with due messages."""
        return [name for name in self._accounts() if self.count_due(name, now, limit=1)]

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        """Count the due messages of *account*, no further than *limit*."""
        most = -1 if limit is None else limit
        if not self._damage.met:
            with suppress(OutboxDamaged), self.reading() as connection:
                values = {"account": account, "due_before": now, "now": now, "limit": most}
                return int(connection.execute(sql.COUNT_DUE, values).fetchone()[0])
        return self._damage.count_due(account, now, most)

    def next_due_at(self) -> int | None:
        """Return when the next message is due; None when no message will be."""
        names = self._accounts()
        with self.reading() as connection:
            dues = [connection.execute(sql.NEXT_DUE_AT, {"account": name}).fetchone()[0] for name in names]
        return min((due for due in dues if due is not None), default=None)

    def learn(self, account: str, messages: "Sequence[KnownMessage]", now: int) -> int:
        """Store the *messages* that *account* does not know, and count them."""
        from prx_email_cli.outbox.sqlite import received  # on use

        return self.change(lambda connection: received.learn(connection, account, messages, now))

    def known(self, account: str, message_id: str) -> "Known | None":
        """Return the known message of *account* with this id; None when there is none."""
        from prx_email_cli.outbox.sqlite import received  # on use

        with self.reading() as connection:
            return received.find(connection, account, message_id)

    def known_messages(self, account: str | None, limit: int) -> "list[Known]":
        """Return the known messages imported last (of *account*), without their texts."""
        from prx_email_cli.outbox.sqlite import received  # on use

        with self.reading() as connection:
            return received.newest(connection, account, limit)

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        """Return the first piece of the message of *account* that was attempted under this Message-ID; else None."""
        from prx_email_cli.outbox.sqlite import received  # on use

        with self.reading() as connection:
            return received.head_sent_as(connection, account, message_id)

    def rows(self, wanted: "Filter") -> "list[Row]":
        """Return the messages that match, newest first."""
        from prx_email_cli.outbox.sqlite import reports  # on use

        with self._looking() as connection:
            return reports.rows(connection, wanted, Runs(self.path).is_dead)

    def count(self, wanted: "Filter") -> int | None:
        """Count the messages that match, whatever their limit; None where counting them would take long."""
        from prx_email_cli.outbox.sqlite import selecting  # on use

        with self.reading() as connection:
            return selecting.count(connection, wanted)

    def row(self, outbox_id: int) -> "Row":
        """Return one message with recipients and attempts."""
        from prx_email_cli.outbox.sqlite import reports  # on use

        with self._looking() as connection:
            return reports.row(connection, outbox_id, Runs(self.path).is_dead)

    def exported(self, outbox_id: int) -> Exported:
        """Return one message as its next attempt would send it."""
        from prx_email_cli.outbox.sqlite.exporting import exported  # on use

        return exported(self, outbox_id, self._message_id_domain)

    def stats(self, now: int) -> "Stats":
        """Return counts and ages for monitoring."""
        from prx_email_cli.outbox.sqlite import reports  # on use

        with self.reading() as connection:
            return reports.stats(connection, now)

    def figures(self, now: int) -> "dict[str, Figures]":
        """Return what monitoring asks of each account."""
        from prx_email_cli.outbox.sqlite import reports  # on use

        with self._looking() as connection:
            return reports.figures(connection, now)

    def failures(self) -> "list[Failure]":
        """Return why unsent messages have failed."""
        from prx_email_cli.outbox.sqlite import reports  # on use

        with self._looking() as connection:
            return reports.failures(connection)

    def health(self, now: int) -> "Health":
        """Check whether the database is intact and whether messages wait for a person; reads all of it."""
        from prx_email_cli.outbox.sqlite import reports  # on use

        with self.reading() as connection:
            return reports.health(connection, now)

    def _accounts(self) -> list[str]:
        names: list[str] = []
        with self.reading() as connection:
            while True:
                found = connection.execute(sql.NEXT_ACCOUNT, {"after": names[-1] if names else ""}).fetchone()
                if found is None:
                    return names
                names.append(found[0])

    def change(self, make: Callable[[sqlite3.Connection], T]) -> T:
        """Run *make* in a transaction and return its result once that is durable; its error undoes the changes."""
        with storage_errors(self.path), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = make(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            return result

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for reports: undecodable texts in a damaged database are shown as far as possible."""
        with self.reading() as connection:
            connection.text_factory = _shown
            try:
                yield connection
            finally:
                connection.text_factory = str

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for reading, which does not wait for another thread that writes."""
        with storage_errors(self.path):
            if not self._lock.acquire(blocking=False):
                with self._reading_lock:
                    beside = self._beside()
                    if beside is not None:
                        yield beside
                        return
                self._lock.acquire()
            try:
                yield self._connection
            finally:
                self._lock.release()

    def _beside(self) -> sqlite3.Connection | None:
        """Return a connection beside the one in use; None if there is none to the same files."""
        if self._reader is None:
            with suppress(sqlite3.Error):
                reader = open_beside(self.path, self._busy_timeout_seconds)
                if self._place.replaced():
                    reader.close()
                else:
                    self._reader = reader
        return self._reader


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")
