"""Keep tokens, encrypted, for all machines, and let one machine at a time renew them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg import Rollback

from prx_email_cli.errors import OutboxBusy, StorageError
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.connection import connect
from prx_email_cli.outbox.postgres.faults import storage_errors

if TYPE_CHECKING:
    from prx_email_cli.outbox.postgres.dialect import PostgresConnection
    from prx_email_cli.outbox.postgres.store import PostgresStore


class PostgresShelf:
    """See ``config.shelf.Shelf`` for what each method promises."""

    def __init__(self, store: "PostgresStore") -> None:
        self._store = store

    def clock(self) -> float:
        """Return the time by the server's clock."""
        return self._store.clock()

    def read(self, name: str) -> bytes | None:
        """Return what is kept under *name*; None if that is nothing."""
        with self._store.reading() as connection:
            return _read(connection, name)

    def has(self, login: str) -> bool:
        """Tell whether something is kept under a name of *login*."""
        with self._store.reading() as connection:
            return connection.execute(sql.HAS_TOKENS, (login,)).fetchone() is not None

    @contextmanager
    def hold(self, login: str, seconds: float) -> "Iterator[PostgresHeld]":
        """Keep all others from renewing *login*, by a session of its own; raises TimeoutError after so long."""
        connection = connect(self._store.where, seconds, prepare=False)
        try:
            try:
                with storage_errors(self._store.where.name):
                    connection.execute(sql.LOCK_LOGIN, (login,))
            except OutboxBusy:
                raise TimeoutError from None
            yield PostgresHeld(self._store, connection)
        finally:
            with suppress(psycopg.Error):
                connection.connection.close()

    def remove(self, login: str) -> bool:
        """Remove what is kept under names of *login*; False if that was nothing."""
        removed = self._store.change(lambda one: one.execute(sql.REMOVE_TOKENS, (login,)).rowcount, tell=False)
        return removed > 0


class PostgresHeld:
    """See ``config.shelf.Held`` for what each method promises."""

    def __init__(self, store: "PostgresStore", connection: "PostgresConnection") -> None:
        self._store, self._connection = store, connection

    def try_room(self, name: str, size: int) -> None:
        """Raise StorageError if so many bytes could not be kept; they are written and taken back."""
        with storage_errors(self._store.where.name), self._connection.transaction() as part:
            values = {"name": name, "sealed": bytes(size), "before": None, "any": True}
            self._connection.execute(sql.KEEP_TOKENS, values)
            raise Rollback(part)

    def write(self, name: str, data: bytes, before: bytes | None) -> bool:
        """Keep *data* in place of *before*, by whatever session there is; False if something else is there by now."""
        values = {"name": name, "sealed": data, "before": before, "any": False}
        with suppress(StorageError):
            with storage_errors(self._store.where.name):
                return self._connection.execute(sql.KEEP_TOKENS, values).rowcount == 1
        if self.is_kept(name, data):
            return True
        return self._store.change(lambda other: other.execute(sql.KEEP_TOKENS, values).rowcount == 1, tell=False)

    def is_kept(self, name: str, data: bytes) -> bool:
        """Tell whether a write of which no answer came is durable."""
        with self._store.reading() as connection:
            return _read(connection, name) == data


def _read(connection: "PostgresConnection", name: str) -> bytes | None:
    found = connection.execute(sql.READ_TOKENS, (name,)).fetchone()
    return None if found is None else bytes(found[0])
