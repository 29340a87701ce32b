"""Open the outbox's database, and let threads read and change it in turn."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

import psycopg
from psycopg import errors as pg

from prx_email_cli.errors import ConfigError, OutboxBusy, StorageError
from prx_email_cli.outbox.postgres import compacting, sql
from prx_email_cli.outbox.postgres.clock import Reading, ServerClock, steady
from prx_email_cli.outbox.postgres.connection import Where, connect
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.faults import SessionLost, run_ended, storage_errors

T = TypeVar("T")
_TRIES = 5
_DOUBT_SECONDS, _DOUBT_PAUSE_SECONDS = 15.0, 0.2  # for finding out whether a change was made of which no answer came


class _Undone(Exception):
    """The session ended before the change was durable, which it will never be."""

    def __init__(self, why: psycopg.Error) -> None:
        super().__init__(str(why))
        self.why = why


class OpenDatabase:
    """The database of an outbox: one connection to change it, and one beside to read while that is in use."""

    def __init__(self, where: Where, busy_timeout_seconds: float) -> None:
        self.where = where
        self._busy_timeout_seconds = busy_timeout_seconds
        self._connection = connect(where, busy_timeout_seconds)
        self.clock = ServerClock(self._connection.read_at)
        self.sessions = 1  # how many there were: with each, the runs of the one before ended
        self._heard_at, self._is_cut_off = steady(), False
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
        anew = session is None
        with storage_errors(self.where.name), self._lock:
            for _ in range(_TRIES):
                try:
                    return self._change(make, session, tell=tell)
                except (pg.DeadlockDetected, pg.SerializationFailure):  # of two, the server lets one go on
                    continue
                except _Undone as undone:
                    if not anew:
                        raise undone.why from None
                    anew = False  # once: the session may have been lost long ago
            return self._change(make, session, tell=tell)

    def _change(
        self, make: Callable[[PostgresConnection], T], session: int | None, *, tell: bool | Callable[[T], bool]
    ) -> T:
        connection = self._writer()
        if session not in (None, self.sessions):
            raise run_ended()
        ended, number = False, None
        try:
            with self._noticing(connection), ExitStack() as ending:
                with connection.transaction():
                    result = make(connection)
                    if tell(result) if callable(tell) else tell:
                        asked_at = steady()
                        number, said = connection.execute(sql.NUMBER_OF_TRANSACTION).fetchone()
                        self.clock.take(Reading(said, asked_at, steady()))
                        ending.enter_context(connection.pipeline())  # a client that dies has sent both, or none
                    ended = True
                if number is not None:
                    connection.execute(sql.TELL_OTHERS)
        except psycopg.Error as error:
            if number is None or not self._is_made(number):
                if (ended and number is None) or not connection.connection.closed:
                    raise
                raise _Undone(error) from None
        self._heard_at = steady()
        return result

    @contextmanager
    def _noticing(self, connection: PostgresConnection) -> Iterator[None]:
        """Note of an error of the block whether it ended the session."""
        try:
            yield
        except psycopg.Error as error:
            if connection.connection.closed or error.diag.severity_nonlocalized in ("FATAL", "PANIC"):
                connection.connection.close()
                self._is_cut_off = True
            raise

    def _is_made(self, number: str) -> bool:
        """Find out whether the transaction of this number is durable: the answer to its COMMIT did not come."""
        deadline = time.monotonic() + _DOUBT_SECONDS
        while time.monotonic() < deadline:
            with suppress(psycopg.Error, StorageError):
                (status,) = self._writer().execute(sql.STATUS_OF_TRANSACTION, (number,)).fetchone()
                if status != "in progress":
                    return bool(status == "committed")
            time.sleep(_DOUBT_PAUSE_SECONDS)
        raise OutboxBusy(
            f"the session with the database {self.where.name} was lost, and whether the change was made is not known",
            hint="look before you do it again: prx-email list",
        )

    def cut_off(self) -> bool:
        """Tell whether a session was lost, so that whoever goes on with this store is to begin anew."""
        return self._is_cut_off or self.sessions > 1 or bool(self._connection.connection.closed)

    def unheard_seconds(self) -> float:
        """Return for how long the server has not answered; as long ago it may have ended the session."""
        return steady() - self._heard_at

    def _writer(self) -> PostgresConnection:
        """Return the connection, a new one if its session has ended."""
        if self._connection.connection.closed:
            self._connection = self.connect_again()
            self.sessions += 1
        return self._connection

    def connect_again(self) -> PostgresConnection:
        """Open one more session, and look at the server's clock.

        What the server does not accept any more it did before, so that it may be mended: raises SessionLost.
        """
        try:
            connection = connect(self.where, self._busy_timeout_seconds, prepare=False)
        except ConfigError as error:
            raise SessionLost(error.message, hint=error.hint) from None
        self.clock.take(connection.read_at)
        return connection

    @contextmanager
    def reading(self) -> Iterator[PostgresConnection]:
        """Yield a connection for reading, which does not wait for another thread that writes."""
        with storage_errors(self.where.name):
            if self._lock.acquire(blocking=False):
                try:
                    connection = self._writer()
                    with self._noticing(connection):
                        yield connection
                    self._heard_at = steady()
                finally:
                    self._lock.release()
                return
            with self._reading_lock:
                connection = self._beside()
                with self._noticing(connection):
                    yield connection

    looking = reading

    @contextmanager
    def finding(self) -> Iterator[PostgresConnection]:
        """Yield a connection for reading a few of many messages, by their indexes whatever the statistics say.

        Where a hundred thousand messages have just come and are not analysed yet, the server takes it for cheaper to
        sort all that is due than to walk in its order.
        """
        with self.reading() as connection, connection.transaction():
            connection.execute(sql.BY_INDEX)
            yield connection

    def _beside(self) -> PostgresConnection:
        if self._reader is None or self._reader.connection.closed:
            self._reader = self.connect_again()
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
