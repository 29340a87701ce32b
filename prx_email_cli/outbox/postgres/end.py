"""A PostgreSQL outbox as one end of a copy."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psycopg

from prx_email_cli.errors import OutboxBusy, StorageError, ValidationError
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.connection import connect
from prx_email_cli.outbox.postgres.dialect import PostgresConnection, spelled
from prx_email_cli.outbox.postgres.faults import storage_errors
from prx_email_cli.outbox.postgres.schema import LOCK
from prx_email_cli.outbox.postgres.store import PostgresStore
from prx_email_cli.outbox.postgres.verifying import BEGIN, verify
from prx_email_cli.outbox.relational import parts
from prx_email_cli.outbox.relational.moved import MOVED_TO, SET_MOVED_TO, Journey
from prx_email_cli.outbox.relational.parts import PARTS, Counter, Facts, Part
from prx_email_cli.outbox.transfer import Row

COPYING = -1  # the advisory lock of a copy; runs have the numbers from 1 on
_ROWS_AT_ONCE, _CONTENTS_AT_ONCE = 2000, 16

_TRY_LOCK = "SELECT pg_try_advisory_lock(?, ?)"
# Waits for every transaction that has read where the outbox is, and keeps others from beginning one.
_LOCK_LEDGER = "LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE"
_CLEAR = f"TRUNCATE {', '.join(part.table for part in PARTS)}, stored_slot, attempted_slot, run"
_RAISE_IDS = "SELECT setval('outbox_id', greatest(CAST(? AS BIGINT), (SELECT last_value FROM outbox_id)))"
_RAISE_IDENTITY = """
SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table} HAVING max(id) IS NOT NULL
"""
_LAST_ID = "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM outbox_id"
_LATEST_ATTEMPT = "SELECT max(latest_at) FROM attempted_slot"
_ADD_COUNTER = """
-- sets the counts of attempts, of which there are none yet
INSERT INTO attempted_slot (account, outcome, code_class, slot, attempts, latest_at) VALUES (?, ?, ?, 0, ?, ?)
"""
_CLEAR_COUNTERS = "DELETE FROM attempted_slot"


class PostgresEnd:
    """See ``End`` for what each method promises."""

    def __init__(self, store: PostgresStore, policy: RetryPolicy, now: int, patience_seconds: float) -> None:
        """policy: by which what dead runs had claimed is settled at *now*."""
        self.name, self.replaced = store.where.name, 0
        self._store, self._policy, self._now = store, policy, now
        self._closing = ExitStack()
        self._closing.callback(store.close)
        # Connections that are not replaced when their session ends: with that the lock is gone.
        self._connection = self._opened(patience_seconds)
        self._reader = self._opened(patience_seconds)
        self._reading = False

    def _opened(self, patience_seconds: float) -> PostgresConnection:
        connection = connect(self._store.where, patience_seconds, prepare=False)
        self._closing.callback(connection.connection.close)
        return connection

    def close(self) -> None:
        """Release the outbox."""
        with suppress(psycopg.Error):
            self._closing.close()

    def lock(self) -> None:
        """Keep other copies from this outbox."""
        with storage_errors(self.name):
            if not self._connection.execute(_TRY_LOCK, (LOCK, COPYING)).fetchone()[0]:
                raise OutboxBusy(f"another copy of or to {self.name} is being made", hint="wait for it, or stop it")

    def identity(self) -> str:
        """Return the outbox's identity."""
        return self._store.identity()

    def journey(self) -> Journey | None:
        """Return where the outbox is on its way."""
        with storage_errors(self.name):
            return _journey(self._connection)

    def mark(self, before: Journey | None, after: Journey | None, *, empty: bool = False) -> None:
        """Change the journey."""
        with storage_errors(self.name), self._connection.connection.transaction():
            if before is None:
                self._connection.execute_as_it_is(_LOCK_LEDGER)
            self._check(before)
            if empty and not self._connection.execute(parts.EMPTY).fetchone()[0]:
                raise ValidationError(f"the outbox {self.name} is not empty", hint="name an empty database")
            self._connection.execute(SET_MOVED_TO, (after and after.stored,))

    def _check(self, journey: Journey | None) -> None:
        if _journey(self._connection) != journey:
            raise OutboxBusy(f"another copy of or to {self.name} is being made", hint="wait for it, or stop it")

    def refuse_restored(self) -> None:
        """Raise RestoredBackup."""
        self._store.refuse_restored()

    def settle(self) -> None:
        """Settle what dead runs had claimed."""
        with self._store.start_run(self._now) as run:
            run.recover(self._policy, self._now)

    def is_in_use(self) -> bool:
        """Tell whether a run lives, on any machine."""
        return bool(self._store.living())

    def has_claims(self) -> bool:
        """Tell whether a message is claimed."""
        with storage_errors(self.name):
            return self._connection.execute(parts.SENDING).fetchone() is not None

    def rows(self, part: Part, after: Row | None) -> Iterator[Row]:
        """Yield the rows of one moment."""
        statement = part.select("CAST({} AS INTEGER)") + (part.after() if after else "") + part.order()
        with storage_errors(self.name), self._reader.connection.cursor(name="rows", binary=True) as cursor:
            cursor.itersize = _CONTENTS_AT_ONCE if part.table == "content" else _ROWS_AT_ONCE
            yield from cursor.execute(spelled(statement).encode(), after or ())

    def fitting(self, part: Part, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield rows without NUL characters, which PostgreSQL's texts cannot hold."""
        for row in rows:
            if not any(isinstance(value, str) and "\0" in value for value in row):
                yield row
                continue
            for name, value in zip(part.columns, row, strict=True):
                if name in part.fixed and isinstance(value, str) and "\0" in value:
                    raise ValidationError(
                        f"{part.table} {row[: part.many]}: {name} has a NUL character, which PostgreSQL cannot hold",
                        hint="prune that message first",
                    )
            self.replaced += 1
            yield tuple(value.replace("\0", "\\x00") if isinstance(value, str) else value for value in row)

    def last_key(self, part: Part) -> Row | None:
        """Return the key of the last row that was written."""
        statement = f"SELECT {', '.join(part.key)} FROM {part.table}{part.order(' DESC')} LIMIT 1"
        with storage_errors(self.name):
            found = self._connection.execute(statement).fetchone()
        return None if found is None else tuple(found)

    def write(self, part: Part, rows: list[Row], journey: Journey) -> None:
        """Write rows in one transaction."""
        binary = part.table == "content"
        statement = f"COPY {part.table} ({', '.join(part.columns)}) FROM STDIN{' (FORMAT BINARY)' if binary else ''}"
        with storage_errors(self.name), self._connection.connection.transaction():
            self._check(journey)
            with self._connection.connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                if binary:
                    copy.set_types(("int8", "bytea"))
                for row in rows:
                    copy.write_row(row)

    def clear(self, journey: Journey) -> None:
        """Delete everything."""
        with storage_errors(self.name), self._connection.connection.transaction():
            self._end_moment()  # it would keep the tables from being emptied
            self._check(journey)
            self._connection.execute_as_it_is(_CLEAR)

    def facts(self) -> Facts:
        """Return what the outbox says of itself."""
        with storage_errors(self.name):
            ask = self._reader.execute
            identity, drained, recorded_at, key = ask(parts.GIVE_FACTS).fetchone()
            last_drain_at, last_drain_by = ask(sql.LAST_DRAIN).fetchone()
            counters = [Counter(*row) for row in ask(parts.COUNTERS)]
            return Facts(
                identity, 0, drained, recorded_at, key, ask(_LATEST_ATTEMPT).fetchone()[0],
                int(ask(_LAST_ID).fetchone()[0]), last_drain_at, last_drain_by, counters,
            )  # fmt: skip

    def latest_message_id(self) -> str | None:
        """Return the Message-ID of the newest message that was attempted."""
        with storage_errors(self.name):
            found = self._reader.execute(parts.LATEST_MESSAGE_ID).fetchone()
        return None if found is None else str(found[0])

    def raise_ids(self, last_id: int) -> None:
        """See to it that no id up to *last_id* is given again."""
        with storage_errors(self.name):
            if last_id:
                self._connection.execute(_RAISE_IDS, (last_id,))
            for table in ("known", "action"):
                self._connection.execute(_RAISE_IDENTITY.format(table=table))

    def faults(self) -> list[str]:
        """Verify the outbox as a whole."""
        with storage_errors(self.name):
            return verify(self._connection, lambda messages: None).faults

    def take(self, facts: Facts, journey: Journey) -> None:
        """Take what the original said of itself, and let the outbox be used."""
        with storage_errors(self.name), self._connection.connection.transaction():
            self._check(journey)
            self._connection.execute(_CLEAR_COUNTERS)
            self._connection.executemany(
                _ADD_COUNTER, [(*counter, facts.last_attempt_at or 0) for counter in facts.counters]
            )
            self._connection.execute(sql.NOTE_DRAIN, (facts.last_drain_at, facts.last_drain_by))
            self._connection.execute(
                parts.TAKE_FACTS, (facts.identity, facts.drained_seconds, facts.recorded_at, facts.pseudonym_key)
            )

    def new_moment(self) -> None:
        """Let ``rows`` and ``facts`` tell of this moment from now on."""
        self.replaced = 0
        with storage_errors(self.name):
            self._end_moment()
            self._reader.execute_as_it_is("BEGIN")
            self._reading = True
            self._reader.execute_as_it_is(BEGIN)
            self._reader.execute(MOVED_TO).fetchone()  # the moment is now

    def _end_moment(self) -> None:
        if self._reading:
            self._reader.execute_as_it_is("ROLLBACK")
        self._reading = False


def _journey(connection: PostgresConnection) -> Journey | None:
    found = connection.execute(MOVED_TO).fetchone()
    if found is None:
        raise StorageError("the outbox is damaged: its ledger is empty", hint="restore a backup")
    return None if found[0] is None else Journey.of(found[0])
