"""Keep the outbox in one SQLite file, which any number of processes may use at once."""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prx_email_cli.errors import MessageUnreadable, OutboxDamaged, StorageError
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, left_alone, waits_undrained
from prx_email_cli.outbox.messages import ClaimOne, NewMessage, Submitted
from prx_email_cli.outbox.relational import queue
from prx_email_cli.outbox.relational import sql as moves
from prx_email_cli.outbox.relational.account_states import AccountStates
from prx_email_cli.outbox.relational.accounts import read as read_states
from prx_email_cli.outbox.relational.database import AtHome, at_home
from prx_email_cli.outbox.relational.finding import Finding
from prx_email_cli.outbox.relational.operating import Operating
from prx_email_cli.outbox.relational.reporting import Reporting
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.claims import Claims
from prx_email_cli.outbox.sqlite.damage import DespiteDamage
from prx_email_cli.outbox.sqlite.database import OpenDatabase
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection
from prx_email_cli.outbox.sqlite.restored import RestoreGuard

if TYPE_CHECKING:
    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.sqlite.run import SqliteRun
    from prx_email_cli.outbox.sqlite.watch import SqliteWatch

T = TypeVar("T")


class SqliteStore(OpenDatabase, AccountStates, Finding, Operating, Reporting):
    """See ``Store`` for what each method promises."""

    slots = None  # each process counts its own connections
    shelf = None  # tokens are in files
    skew = None  # one clock

    def __init__(
        self, path: Path, *, message_id_domain: str, busy_timeout_seconds: float = 5, create: bool = True,
        withdraw_seconds: float = 1,
    ) -> None:  # fmt: skip
        """Open the database.  withdraw_seconds: so long runs are given to give back what a person holds or cancels."""
        OpenDatabase.__init__(self, path, busy_timeout_seconds, create=create)
        self.acting = ""
        self._withdraw_seconds, self._message_id_domain = withdraw_seconds, message_id_domain
        self._guard = RestoreGuard(path)
        self._damage = DespiteDamage(self.change, self.reading)
        self.claims = Claims(self, self._guard, self._damage, message_id_domain)

    def clock(self) -> float:
        """Return the time of this machine."""
        return time.time()

    def close(self) -> None:
        """Release the database."""
        self._guard.close()
        OpenDatabase.close(self)

    def watch(self, *, whole: bool = False) -> "SqliteWatch":
        """Begin to notice changes by other processes."""
        from prx_email_cli.outbox.sqlite.watch import SqliteWatch  # on use

        return SqliteWatch(self.path, self._connection, self._lock)

    def replaced(self) -> bool:
        """Tell whether the path by now has another database than the open one, or none."""
        return self._place.replaced()

    def cut_off(self) -> bool:
        """Tell whether the database was replaced."""
        return self._place.replaced()

    def check_usable(self) -> None:
        """Raise StorageError when the database is at its path and its log is not: then writes are lost."""
        if self._place.lost_its_log():
            raise StorageError(
                f"the outbox {self.path} lost its write-ahead log while it was open",
                hint="stop every drain before you restore a backup, and start this one again now",
            )

    def start_run(self, now: int) -> "SqliteRun":
        """Start a run."""
        from prx_email_cli.outbox.sqlite.run import SqliteRun  # on use

        runs = Runs(self.path)
        return SqliteRun(self, runs, runs.start(now))

    def note_drain(self, now: float, starter: str = "") -> None:
        """Note that a drain ended at *now*, and what started it."""
        Runs(self.path).note_drain(now, starter)

    def last_drain_at(self) -> int | None:
        """Return when the last drain ended; None when none ever did."""
        return Runs(self.path).last_drain()

    def last_drain_by(self) -> str:
        """Return what started the last drain; "" where that is not known."""
        return Runs(self.path).last_drain_by()

    def take_undrained(self, now: int) -> int | None:
        """Return since when the longest due message waits although nothing drains; to one caller a day."""
        runs = Runs(self.path)
        drained_at = runs.last_drain()
        if not waits_undrained(0, drained_at, now):  # as after every send but for the outbox's files
            return None
        due_at = self._next_due_at((), now)
        missing = waits_undrained(due_at, drained_at, now) and not runs.is_any_alive() and runs.note_told(now)
        return due_at if missing else None

    def may_tell(self, cause: str, now: int, most: int = 1) -> bool:
        """Tell whether a person is to be told of *cause*, and note it."""
        from prx_email_cli.outbox.told_note import note_told  # on use

        return note_told(Runs(self.path), cause, now, most)

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

        def make(connection: SqliteConnection) -> list[Submitted]:
            return submit.submit_all(connection, messages, self._guard.last_id(), together=together)

        try:
            return self.change(at_home(self._guard, make))
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
            untold = [
                outbox_id for outbox_id in queue.ids(connection.execute(moves.UNTOLD)) if only in (None, outbox_id)
            ]
        told: list[int] = []
        for outbox_id in untold:
            with suppress(OutboxDamaged):
                if AtHome(self).change(partial(queue.tell, outbox_id=outbox_id, now=now)):
                    told.append(outbox_id)
        return told

    def accounts_due(self, now: int) -> list[str]:
        """Name the accounts with due messages."""
        return [
            name
            for name in queue.accounts_waiting(self.reading, sql.NEXT_ACCOUNT)
            if self.count_due(name, now, limit=1)
        ]

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        """Count the due messages of *account*, no further than *limit*."""
        most = -1 if limit is None else limit
        if not self._damage.met:
            with suppress(OutboxDamaged), self.reading() as connection:
                values = {"account": account, "due_before": now, "now": now, "limit": most}
                return int(connection.execute(sql.COUNT_DUE, values).fetchone()[0])
        return self._damage.count_due(account, now, most)

    def next_due_at(self, without: Collection[str] = ()) -> int | None:
        """Return when the next message is due; None when no message will be."""
        return self._next_due_at(without)

    def _next_due_at(self, without: Collection[str], now: int | None = None) -> int | None:
        """Return when the next message is due; with *now*, of an account that drains do not leave alone then."""
        names = [name for name in queue.accounts_waiting(self.reading, sql.NEXT_ACCOUNT) if name not in without]
        with self.reading() as connection:
            if now is not None:
                alone = left_alone(read_states(connection), now)
                names = [] if EVERY_ACCOUNT in alone else [name for name in names if name not in alone]
            dues = [connection.execute(sql.NEXT_DUE_AT, {"account": name}).fetchone()[0] for name in names]
        return min((due for due in dues if due is not None), default=None)

    def learn(self, account: str, messages: "Sequence[KnownMessage]", now: int) -> int:
        """Store the *messages* that *account* does not know, and count them."""
        from prx_email_cli.outbox.relational import received  # on use

        def make(connection: SqliteConnection) -> int:
            return received.learn(connection, account, messages, now)

        return AtHome(self).change(make)
