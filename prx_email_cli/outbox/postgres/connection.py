"""Connect to the database."""

import logging
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from prx_email_cli.errors import StorageError
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
_LIVELY_SERVER = """
SELECT set_config(name, wanted, FALSE)
  FROM (VALUES ('tcp_keepalives_idle', '20'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
               ('tcp_user_timeout', '50000')) AS lively (name, wanted) JOIN pg_settings USING (name)
 WHERE source = 'default'
"""

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
        return psycopg.connect(make_conninfo(_LIVELY, **conninfo_to_dict(where.conninfo)), autocommit=True)


def check_kept(connection: PostgresConnection, where: Where) -> None:
    """Raise ConfigError where a pooler does not keep the session."""
    (backend,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    check_session(connection.connection, backend, lambda: _open(where), where.name)


def _set_up(connection: PostgresConnection, where: Where, busy_timeout_seconds: float) -> None:
    encoding, durable = connection.execute(
        "SELECT current_setting('server_encoding'), current_setting('synchronous_commit')"
    ).fetchone()
    if encoding != "UTF8":
        raise StorageError(f"{where.name} is encoded as {encoding}", hint="make a database with ENCODING 'UTF8'")
    if durable in ("off", "local"):  # what was acknowledged must be on the disk
        connection.execute("SET synchronous_commit = on")
    connection.execute(
        "SELECT set_config('lock_timeout', ?, FALSE)", (f"{max(1, int(busy_timeout_seconds * 1000))}ms",)
    )
    connection.execute("SET timezone = 'UTC'")
    connection.execute("SET jit = off")  # it takes seconds for statements of milliseconds whose costs look high
    if connection.connection.info.hostaddr:  # by a network
        connection.execute(_LIVELY_SERVER)
