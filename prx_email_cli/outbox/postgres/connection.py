"""Connect to the database, and say its errors in words that a user can act on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from prx_email_cli.errors import NotFound, OutboxBusy, OutboxDamaged, PrxEmailError, StorageError, ValidationError
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.schema import migrate

OLDEST_SERVER = 130_000  # normalize() and gen_random_uuid() came with 13

# The server notices within a minute that a client's machine is gone, and the client that the server's is.
_LIVELY = (
    "keepalives=1 keepalives_idle=20 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=50000"
    " connect_timeout=10"
)


class SessionLost(StorageError):
    """The session with the server ended; whether a transaction that was being committed is durable is not known."""


def run_ended() -> SessionLost:
    """Make the error for a run whose session is over: others take it for dead."""
    return SessionLost(
        "the session with the outbox's database was lost, so this run claims no more",
        hint="start again: the next run goes on",
    )


class Where(NamedTuple):
    """Where the outbox is.  conninfo: what libpq is given, with secrets.  name: without any, for people."""

    conninfo: str
    name: str


def connect(where: Where, busy_timeout_seconds: float, *, prepare: bool = True) -> PostgresConnection:
    """Connect to the database; with *prepare*, bring its tables up to date.  Raises StorageError, OutboxBusy."""
    with storage_errors(where.name):
        connection: psycopg.Connection[Any] = psycopg.connect(
            make_conninfo(_LIVELY, **conninfo_to_dict(where.conninfo)), autocommit=True
        )
        try:
            if connection.info.server_version < OLDEST_SERVER:
                version = connection.info.server_version // 10_000
                raise StorageError(f"{where.name}: PostgreSQL {version} is too old", hint="use PostgreSQL 13 or newer")
            ours = PostgresConnection(connection)
            _set_up(ours, where, busy_timeout_seconds)
            if prepare:
                migrate(ours, where.name)
        except BaseException:
            connection.close()
            raise
    return ours


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


@contextmanager
def storage_errors(name: str) -> Iterator[None]:
    """Turn PostgreSQL's errors into ours; other errors pass through."""
    try:
        yield
    except PrxEmailError:
        raise
    except OverflowError:
        raise NotFound("outbox record not found", hint="prx-email list shows the ids") from None
    except UnicodeEncodeError:
        raise ValidationError("cannot search for text that is not valid Unicode", hint="convert it to UTF-8") from None
    except psycopg.Error as error:
        raise storage_error(error, name) from error


def storage_error(error: psycopg.Error, name: str) -> StorageError:
    """Make our error for one of PostgreSQL's."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure, pg.QueryCanceled)):
        return OutboxBusy(f"the database {name} is locked by others: {said}", hint="try again; see pg_stat_activity")
    if isinstance(error, (pg.DataCorrupted, pg.IndexCorrupted, pg.IntegrityError)):
        return OutboxDamaged(f"the database {name}: {said}", hint="restore a backup, or ask who runs the database")
    if isinstance(error, psycopg.OperationalError) and (error.sqlstate is None or error.sqlstate[:2] in ("08", "57")):
        return SessionLost(f"the database {name}: {said}", hint="check that the server runs and can be reached")
    if isinstance(error, pg.InsufficientPrivilege):
        return StorageError(f"the database {name}: {said}", hint="this role may not do that: see docs/scaling.md")
    return StorageError(f"the database {name}: {said}", hint="check that the server runs and can be reached")
