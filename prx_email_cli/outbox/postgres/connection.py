"""Connect to the database."""

import logging
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.postgres.clock import SAID, Reading, steady
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.faults import connection_errors, storage_errors
from prx_email_cli.outbox.postgres.migrating import migrate
from prx_email_cli.outbox.postgres.pooling import check_session

OLDEST_SERVER = 130_000  # normalize() and gen_random_uuid() came with 13

# The client notices within a minute that the server's machine is gone, and the server that the client's is, whose runs
# are then dead; but for who has set these for the server, the database or the role.
_LIVELY = (
    "keepalives=1 keepalives_idle=20 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=50000"
    " connect_timeout=10"
)
_LIVELY_SERVER = """(
SELECT count(set_config(name, wanted, FALSE))
  FROM (VALUES ('tcp_keepalives_idle', '20'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
               ('tcp_user_timeout', '50000')) AS lively (name, wanted) JOIN pg_settings USING (name)
 WHERE source = 'default')
"""

_DURABLE = """
CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
     THEN set_config('synchronous_commit', 'on', FALSE) END
"""  # what was acknowledged must be on the disk

# What our sessions go by, whatever is set for the server, the database or the role, and since which version it exists.
# A run's session waits for mail servers, a follower's for mail; what must not wait for locks has lock_timeout.
_OURS = (
    ("statement_timeout", "0", 13), ("idle_in_transaction_session_timeout", "0", 13), ("idle_session_timeout", "0", 14),
    ("transaction_timeout", "0", 17), ("default_transaction_isolation", "read committed", 13),
    ("standard_conforming_strings", "on", 13), ("bytea_output", "hex", 13), ("TimeZone", "UTC", 13),
    ("DateStyle", "ISO", 13),
    ("jit", "off", 13),  # it takes seconds for statements of milliseconds whose costs look high
)  # fmt: skip

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # what it logs is no more than its errors say


class Where(NamedTuple):
    """Where the outbox is.  conninfo: what libpq is given, with secrets.  name: without any, for people."""

    conninfo: str
    name: str


def connect(where: Where, busy_timeout_seconds: float, *, prepare: bool = True) -> PostgresConnection:
    """Connect to the database; with *prepare*, bring its tables up to date.  Raises StorageError, OutboxBusy."""
    connection = _open(where)
    with storage_errors(where.name):
        try:
            if connection.info.server_version < OLDEST_SERVER:
                version = connection.info.server_version // 10_000
                raise StorageError(f"{where.name}: PostgreSQL {version} is too old", hint="use PostgreSQL 13 or newer")
            ours = PostgresConnection(connection)
            _set_up(ours, where, busy_timeout_seconds)
            if prepare:
                check_kept(ours, where)
                migrate(ours, where.name)
        except BaseException:
            connection.close()
            raise
    return ours


def _open(where: Where) -> psycopg.Connection[Any]:
    with connection_errors(where.name):
        parameters = {**conninfo_to_dict(where.conninfo), "client_encoding": "UTF8"}
        return psycopg.connect(make_conninfo(_LIVELY, **parameters), autocommit=True)


def check_kept(connection: PostgresConnection, where: Where) -> None:
    """Raise ConfigError where a pooler does not keep the session."""
    (backend,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    check_session(connection.connection, backend, lambda: _open(where), where.name)


def _set_up(connection: PostgresConnection, where: Where, busy_timeout_seconds: float) -> None:
    """Set what our sessions go by, by one statement: the first ends within a statement_timeout that others set."""
    info = connection.connection.info
    settings = [(name, value) for name, value, since in _OURS if info.server_version >= since * 10_000]
    settings.append(("lock_timeout", f"{max(1, int(busy_timeout_seconds * 1000))}ms"))
    parts = ["current_setting('server_encoding')", SAID, _DURABLE]
    parts += [f"set_config('{name}', '{value}', FALSE)" for name, value in settings]
    if info.hostaddr:  # by a network
        parts.append(_LIVELY_SERVER)
    asked_at = steady()
    encoding, said, *_ = connection.execute(f"SELECT {', '.join(parts)}").fetchone()
    connection.read_at = Reading(said, asked_at, steady())
    if encoding != "UTF8":
        raise StorageError(f"{where.name} is encoded as {encoding}", hint="make a database with ENCODING 'UTF8'")
