"""A server that fails at one statement of a store: it refuses it, or the session ends before it, after it, or after the
commit that follows, whose answer then never comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import Any

import psycopg
import pytest

from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.store import PostgresStore

_STATEMENTS = ("execute", "executemany", "execute_soon", "execute_as_it_is")


class Manner(StrEnum):
    """How it fails."""

    REFUSED = "the server refuses the statement"
    BEFORE = "the session ends before the statement"
    AFTER = "the session ends after the statement"
    COMMITTED = "the session ends after the commit, of which the client does not hear"


class Breaking:
    """Counts what the connections of a store say, and lets the *nth* statement, or commit, fail."""

    def __init__(self, manner: Manner, nth: int) -> None:
        self._manner, self._left = manner, nth
        self._stores: list[PostgresStore] = []

    @property
    def happened(self) -> bool:
        """Whether there was an nth."""
        return self._left <= 0

    @contextmanager
    def of(self, store: PostgresStore) -> Iterator[None]:
        """Let it happen to this store, within the block."""
        self._stores.append(store)
        with pytest.MonkeyPatch.context() as patch:
            for name in _STATEMENTS:
                patch.setattr(PostgresConnection, name, self._wrapped(getattr(PostgresConnection, name)))
            patch.setattr(PostgresConnection, "transaction", self._transaction(PostgresConnection.transaction))
            yield

    def _is_time(self, connection: PostgresConnection, *manners: Manner) -> bool:
        (store,) = self._stores
        if self._manner not in manners or connection not in (store._connection, store._reader):
            return False
        self._left -= 1
        return self._left == 0

    def _wrapped(self, original: Any) -> Any:
        def executes(connection: PostgresConnection, *arguments: Any) -> Any:
            if not self._is_time(connection, Manner.REFUSED, Manner.BEFORE, Manner.AFTER):
                return original(connection, *arguments)
            if self._manner is Manner.REFUSED:
                connection.connection.execute(b"SELECT 1 / 0")
            if self._manner is Manner.BEFORE:
                end_session(connection)
            done = original(connection, *arguments)
            if self._manner is Manner.AFTER:
                end_session(connection)
            return done

        return executes

    def _transaction(self, original: Any) -> Any:
        @contextmanager
        def transaction(connection: PostgresConnection) -> Iterator[Any]:
            with original(connection) as begun:
                yield begun
            if self._is_time(connection, Manner.COMMITTED):
                with connection.pipeline():
                    pass  # what waits to be sent together is sent
                end_session(connection)
                connection.connection.execute(b"SELECT 1")  # raises what an unanswered COMMIT does

        return transaction


def end_session(connection: PostgresConnection) -> None:
    """End the session of the connection, and return when the server has done so."""
    pid, server = connection.connection.info.backend_pid, connection.connection.info.dsn
    with psycopg.connect(server, autocommit=True) as other:
        ask = partial(other.execute, b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s", (pid,))
        deadline = time.monotonic() + 60
        while ask().fetchall():
            assert time.monotonic() < deadline, "the session does not end"
