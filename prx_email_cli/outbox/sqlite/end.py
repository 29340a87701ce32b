"""A SQLite outbox as one end of a copy."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prx_email_cli.errors import OutboxBusy, StorageError, ValidationError
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.relational import parts
from prx_email_cli.outbox.relational.moved import SET_MOVED_TO, Journey, Stage
from prx_email_cli.outbox.relational.parts import PARTS, Counter, Facts, Part
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.connection import open_beside, storage_errors
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection
from prx_email_cli.outbox.sqlite.high_water import HighWater, Mark
from prx_email_cli.outbox.sqlite.replacing import read_journey
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.sqlite.storing import LAST_ID, LEDGER
from prx_email_cli.outbox.sqlite.verifying import verify
from prx_email_cli.outbox.transfer import Row

_LOCK = "copying"
_LATEST_ATTEMPT = "SELECT last_attempt_at FROM ledger"
_CLEAR_IDS = "DELETE FROM sqlite_sequence WHERE name = 'outbox'"
_RAISE_IDS = "INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)"
_TAKE_GENERATION = "UPDATE ledger SET generation = ?, last_attempt_at = ?"
_ADD_COUNTER = "INSERT INTO attempted (account, outcome, code_class, attempts) VALUES (?, ?, ?, ?)"
_MISCOUNT = "DELETE FROM stored"


class SqliteEnd:
    """See ``End`` for what each method promises."""

    def __init__(self, store: SqliteStore, policy: RetryPolicy, now: int, patience_seconds: float) -> None:
        """policy: by which what dead runs had claimed is settled at *now*."""
        self.name, self.replaced = str(store.path), 0
        self._store, self._policy, self._now = store, policy, now
        self._runs = Runs(store.path)
        self._closing = ExitStack()
        self._closing.callback(store.close)
        with storage_errors(store.path):
            self._reader = open_beside(store.path, patience_seconds)
        self._closing.callback(self._reader.close)

    def close(self) -> None:
        """Release the outbox."""
        self._closing.close()

    def lock(self) -> None:
        """Keep other copies from this outbox, by a lock of the kernel's."""
        try:
            descriptor = self._closing.enter_context(self._runs.opened_file(_LOCK, make=True))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._busy() from None
        except OSError as error:
            raise StorageError(
                f"cannot lock a file in {self._runs.directory}: {error.strerror}",
                hint="check that the directory is writable by you",
            ) from None

    def _busy(self) -> OutboxBusy:
        return OutboxBusy(f"another copy of or to {self.name} is being made", hint="wait for it, or stop it")

    @contextmanager
    def _asking(self) -> Iterator[SqliteConnection]:
        with self._store.reading() as connection:
            yield connection

    def identity(self) -> str:
        """Return the outbox's identity."""
        with self._asking() as connection:
            return str(connection.execute(LEDGER).fetchone()[0])

    def journey(self) -> Journey | None:
        """Return where the outbox is on its way."""
        with self._asking() as connection:
            return read_journey(connection)

    def mark(self, before: Journey | None, after: Journey | None, *, empty: bool = False) -> None:
        """Change the journey.

        An outbox that goes counts one claim more, so that an older backup of it is known as one.
        """
        goes = after is not None and after.stage is Stage.GONE

        def make(connection: SqliteConnection) -> Mark:
            self._check(connection, before)
            if empty and not connection.execute(parts.EMPTY).fetchone()[0]:
                raise ValidationError(f"the outbox {self.name} is not empty", hint="name a file that does not exist")
            connection.execute(SET_MOVED_TO, (after and after.stored,))
            if goes:
                connection.execute(sql.COUNT_CLAIMS, (1,))
            identity, generation, _ = connection.execute(LEDGER).fetchone()
            return Mark(identity, generation, _last_id(connection))

        mark = self._store.change(make)
        if goes:
            self._raise(mark)

    def _raise(self, mark: Mark) -> None:
        high_water = HighWater(self._store.path)
        high_water.raise_to(mark)
        high_water.close()

    def _check(self, connection: SqliteConnection, journey: Journey | None) -> None:
        if read_journey(connection) != journey:
            raise self._busy()

    def refuse_restored(self) -> None:
        """Raise RestoredBackup."""
        self._store.refuse_restored()

    def settle(self) -> None:
        """Settle what dead runs had claimed."""
        with self._store.start_run(self._now) as run:
            run.recover(self._policy, self._now)

    def is_in_use(self) -> bool:
        """Tell whether a run lives."""
        return self._runs.is_any_alive()

    def has_claims(self) -> bool:
        """Tell whether a message is claimed."""
        with self._asking() as connection:
            return connection.execute(parts.SENDING).fetchone() is not None

    def rows(self, part: Part, after: Row | None) -> Iterator[Row]:
        """Yield the rows of one moment."""
        statement = part.select() + (part.after() if after else "") + part.order()
        with storage_errors(self._store.path):
            yield from self._reader.execute(statement, after or ())

    def fitting(self, part: Part, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield rows as they are."""
        return rows

    def last_key(self, part: Part) -> Row | None:
        """Return the key of the last row that was written."""
        statement = f"SELECT {', '.join(part.key)} FROM {part.table}{part.order(' DESC')} LIMIT 1"
        with self._asking() as connection:
            found = connection.execute(statement).fetchone()
        return None if found is None else tuple(found)

    def write(self, part: Part, rows: list[Row], journey: Journey) -> None:
        """Write rows in one transaction."""

        def make(connection: SqliteConnection) -> None:
            self._check(connection, journey)
            connection.executemany(part.insert, rows)

        self._store.change(make)

    def clear(self, journey: Journey) -> None:
        """Delete everything."""

        def make(connection: SqliteConnection) -> None:
            self._check(connection, journey)
            for part in reversed(PARTS):
                connection.execute(f"DELETE FROM {part.table}")
            connection.execute(_MISCOUNT)

        self._store.change(make)

    def facts(self) -> Facts:
        """Return what the outbox says of itself."""
        ask = self._reader.execute
        with storage_errors(self._store.path):
            identity, drained, recorded_at, key = ask(parts.GIVE_FACTS).fetchone()
            counters = [Counter(*row) for row in ask(parts.COUNTERS)]
            marks = [mark.last_id for mark in HighWater(self._store.path).marks()]
            return Facts(
                identity, ask(LEDGER).fetchone()[1], drained, recorded_at, key, ask(_LATEST_ATTEMPT).fetchone()[0],
                max([_last_id(self._reader), *marks]), self._store.last_drain_at(), self._store.last_drain_by(),
                counters,
            )  # fmt: skip

    def latest_message_id(self) -> str | None:
        """Return the Message-ID of the newest message that was attempted."""
        with storage_errors(self._store.path):
            found = self._reader.execute(parts.LATEST_MESSAGE_ID).fetchone()
        return None if found is None else str(found[0])

    def raise_ids(self, last_id: int) -> None:
        """See to it that no id up to *last_id* is given again."""

        def make(connection: SqliteConnection) -> None:
            highest = max(last_id, _last_id(connection))
            connection.execute(_CLEAR_IDS)
            connection.execute(_RAISE_IDS, (highest,))

        self._store.change(make)

    def faults(self) -> list[str]:
        """Verify the outbox as a whole."""
        return verify(self._store.reading, lambda messages: None).faults

    def take(self, facts: Facts, journey: Journey) -> None:
        """Take what the original said of itself, and let the outbox be used."""
        counted = [mark.generation for mark in HighWater(self._store.path).marks() if mark.identity == facts.identity]

        def make(connection: SqliteConnection) -> None:
            self._check(connection, journey)
            connection.execute("DELETE FROM attempted")
            connection.executemany(_ADD_COUNTER, facts.counters)
            connection.execute(_TAKE_GENERATION, (max([facts.generation, *counted]), facts.last_attempt_at))
            connection.execute(
                parts.TAKE_FACTS, (facts.identity, facts.drained_seconds, facts.recorded_at, facts.pseudonym_key)
            )

        if facts.last_drain_at is not None:
            self._store.note_drain(facts.last_drain_at, facts.last_drain_by)
        self._store.change(make)

    def new_moment(self) -> None:
        """Let ``rows`` and ``facts`` tell of this moment from now on."""
        with storage_errors(self._store.path):
            if self._reader.in_transaction:
                self._reader.execute("ROLLBACK")
            self._reader.execute("BEGIN")
            self._reader.execute(LEDGER).fetchone()  # the moment is now


def _last_id(connection: SqliteConnection) -> int:
    found = connection.execute(LAST_ID).fetchone()
    return int(found[0]) if found else 0
