"""Open the outbox's database, and let threads read and change it in turn."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg
from psycopg import errors as pg

from prx_email_cli.outbox.postgres import compacting, sql
from prx_email_cli.outbox.postgres.connection import Where, connect
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.faults import run_ended, storage_errors

T = TypeVar("T")
_TRIES = 5


class OpenDatabase:
    """The database of an outbox: one connection to change it, and one beside to read while that is in use."""

    def __init__(self, where: Where, busy_timeout_seconds: float) -> None:
        self.where = where
        self._busy_timeout_seconds = busy_timeout_seconds
        self._connection = connect(where, busy_timeout_seconds)
        self.sessions = 1  # how many there were: with each, the runs of the one before ended
        self._reader: PostgresConnection | None = None
        self._lock, self._reading_lock = threading.Lock(), threading.Lock()

    def close(self) -> None:
        """Release the database."""
        for one in (self._reader, self._connection):
            if one is not None:
                with suppress(psycopg.Error):
                    one.connection.close()

    def change(
        self, make: Callable[[PostgresConnection], T], *, tell: bool | Callable[[T], bool] = True,
        session: int | None = None,
    ) -> T:  # fmt: skip
        """Run *make* in a transaction and return its result once that is durable; its error undoes the changes.

        tell: whether followers on any machine are told, or what says so of the result.  session: the one in which alone
        it may be made; raises SessionLost in another.
        """
        with storage_errors(self.where.name), self._lock:
            for _ in range(_TRIES):
                with suppress(pg.DeadlockDetected, pg.SerializationFailure):  # of two, the server lets one go on
                    return self._change(make, session, tell=tell)
            return self._change(make, session, tell=tell)

    def _change(
        self, make: Callable[[PostgresConnection], T], session: int | None, *, tell: bool | Callable[[T], bool]
    ) -> T:
        connection = self._writer()
        if session not in (None, self.sessions):
            raise run_ended()
        with connection.transaction():
            result = make(connection)
            if tell(result) if callable(tell) else tell:
                connection.execute(sql.TELL_OTHERS)
            return result

    def _writer(self) -> PostgresConnection:
        """Return the connection, a new one if its session has ended."""
        if self._connection.connection.closed:
            self._connection = connect(self.where, self._busy_timeout_seconds, prepare=False)
            self.sessions += 1
        return self._connection

    @contextmanager
    def reading(self) -> Iterator[PostgresConnection]:
        """Yield a connection for reading, which does not wait for another thread that writes."""
        with storage_errors(self.where.name):
            if self._lock.acquire(blocking=False):
                try:
                    yield self._writer()
                finally:
                    self._lock.release()
                return
            with self._reading_lock:
                yield self._beside()

    looking = reading

    def _beside(self) -> PostgresConnection:
        if self._reader is None or self._reader.connection.closed:
            self._reader = connect(self.where, self._busy_timeout_seconds, prepare=False)
        return self._reader

    def compact(self, most_bytes: int | None = None) -> bool:
        """Rewrite the tables, so that no remainder of what was deleted is in them; tell if that is so.

        The server's log and its backups are not its matter.  most_bytes: do nothing for larger tables.
        """
        with storage_errors(self.where.name), self._lock:
            connection = self._writer()
            if most_bytes is not None and compacting.bytes_used(connection) > most_bytes:
                return False
            return compacting.rewrite(connection, self._busy_timeout_seconds)

    def bytes_used(self) -> int:
        """Return the size of the outbox's tables in bytes."""
        with self.reading() as connection:
            return compacting.bytes_used(connection)

    def forget_contents(self) -> None:
        """Do nothing: VACUUM, which the server runs by itself, takes what was deleted from its files."""
