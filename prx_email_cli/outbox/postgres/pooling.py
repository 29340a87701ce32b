"""Refuse a pooler that gives each transaction a session of its own: a run would not hold its lock.

Such a pooler keeps the lock on a session that others get, so a dead run would live for ever, or a living one look dead
and what it is sending be sent again.
"""

import select
import time
from collections.abc import Callable
from typing import Any

import psycopg

from prx_email_cli.errors import ConfigError

_ROUNDS = 5
_PATIENCE_SECONDS = 3.0  # with a pool that has no free session, as one of whole sessions may
_REFUSED = -1
_BACKEND = b"SELECT pg_backend_pid()"

Connection = psycopg.Connection[Any]


def check_session(connection: Connection, backend: int, another: Callable[[], Connection], name: str) -> None:
    """Raise ConfigError where *connection* leads to a pooler that does not keep one session for it.

    backend: the process that has answered on it.  another: opens a second connection to the same place.

    A server tells its process when a session begins; a pooler tells a number of its own.  Then a second client asks
    within a transaction: from a pool of transactions it gets the session that the first one had, or else the first one
    gets others; as luck may hide that, they ask several times.
    """
    if backend == connection.info.backend_pid:
        return
    other = another()
    try:
        for _ in range(_ROUNDS):
            before = {_ask(connection, _BACKEND) for _ in range(2)}
            taken = _ask(other, b"BEGIN; " + _BACKEND)
            if taken is None:  # nothing is free, so the first one's session is not either: it is kept
                return
            if len(before | {_ask(connection, _BACKEND)}) > 1 or taken in {*before, _REFUSED}:
                raise ConfigError(
                    f"the pooler of {name} is in transaction mode: a run could not hold the lock that says it lives",
                    hint="name the server itself in [outbox] url, or a pool in session mode (pool_mode = session)",
                )
            _ask(other, b"ROLLBACK")
    finally:
        other.close()


def _ask(connection: Connection, statements: bytes) -> int | None:
    """Execute *statements*; return the number that the last one gives, 0 for none, None without an answer in time."""
    wire, deadline = connection.pgconn, time.monotonic() + _PATIENCE_SECONDS
    wire.send_query(statements)
    wire.flush()
    said = 0
    while True:
        while wire.is_busy():
            if not select.select([wire.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            try:
                wire.consume_input()
            except psycopg.OperationalError as error:
                if "pooling mode" in str(error):  # as of single statements, which has no transactions
                    return _REFUSED
                raise
        result = wire.get_result()
        if result is None:
            return said
        if result.ntuples:
            said = int(result.get_value(0, 0) or b"0")
