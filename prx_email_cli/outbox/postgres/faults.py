"""Say PostgreSQL's errors in words that a user can act on, with the exit status that fits.

While a session begins, libpq tells no SQLSTATE, so that what the server said has to be read; where it speaks another
language than English, an error is that the database cannot be reached.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from psycopg import errors as pg

from prx_email_cli.errors import (
    ConfigError,
    NotFound,
    NotPermitted,
    OutboxAway,
    OutboxBusy,
    OutboxDamaged,
    PrxEmailError,
    StorageError,
    ValidationError,
)
from prx_email_cli.redaction import from_outside

_REACH = "check that the server runs and can be reached"
_OTHERS = "name another database in [outbox] url"
_RIGHTS = 'this role may not do that, the one that drains may: see "Roles" in docs/scaling.md'
_READ_ONLY = (
    "name the primary: host=one,two&target_session_attrs=read-write in the URL finds it after a failover;"
    " or end default_transaction_read_only of the role or the database"
)
_PROMOTED = "wait until one of the URL's hosts may be written to, or check target_session_attrs"
_FULL = "try again; or raise max_connections, or let fewer programs use the database at once"


logging.getLogger("psycopg").addHandler(logging.NullHandler())  # what it cannot do is an error of ours


class SessionLost(OutboxAway):
    """The session with the server ended; whether a transaction that was being committed is durable is not known."""


def run_ended() -> SessionLost:
    """Make the error for a run whose session is over: others take it for dead."""
    return SessionLost(
        "the session with the outbox's database was lost, so this run claims no more",
        hint="start again: the next run goes on",
    )


class _Fault(NamedTuple):
    """What libpq or the server says when no session begins, what that is to us, and what to do."""

    said: str
    kind: type[PrxEmailError]
    hint: str


# By the words of libpq and of the server's src/backend/{libpq/auth.c,utils/init/postinit.c,postmaster/postmaster.c}.
_FAULTS = (
    _Fault(
        "no password supplied|empty password",
        ConfigError,
        'give its password: see "Passwords" in docs/scaling.md; cron and services do not read your shell\'s profile',
    ),
    _Fault(
        "authentication failed|authentication method .* not supported",
        ConfigError,
        "check the URL's user and its password: [outbox] password, password_env, password_command, password_file",
    ),
    _Fault(
        "no pg_hba.conf entry|pg_hba.conf rejects",
        ConfigError,
        "the server lets this user in from elsewhere, or with TLS: see its pg_hba.conf, and sslmode in the URL",
    ),
    _Fault(
        'role ".*" does not exist|is not permitted to log in',
        ConfigError,
        "check the user in [outbox] url; createuser makes one",
    ),
    _Fault(
        'database ".*" does not exist',
        ConfigError,
        "check the name in [outbox] url; createdb --encoding UTF8 makes one",
    ),
    _Fault(
        "permission denied for database|CONNECT privilege",
        ConfigError,
        'this role may not use the database: see "Roles" in docs/scaling.md',
    ),
    _Fault(
        "starting up|shutting down|in recovery mode|not (yet |currently )?accepting connections",
        OutboxBusy,
        "wait until it has started, and try again",
    ),
    _Fault(
        "too many (clients|connections)|connection slots|no more connections allowed|query_wait_timeout",
        OutboxBusy,
        _FULL,
    ),
    _Fault("session is (not )?read-only|server is (not )?in hot standby", OutboxBusy, _PROMOTED),
    _Fault(
        'definition of service ".*" not found|service file|syntax error in service',
        ConfigError,
        "check service in [outbox] url, PGSERVICE, PGSERVICEFILE and ~/.pg_service.conf",
    ),
    _Fault(
        "certificate|sslmode|does not support SSL|SSL error|private key|channel binding|requiressl|sslcert|sslkey",
        ConfigError,
        "check sslmode and sslrootcert in [outbox] url: see docs/scaling.md",
    ),
    _Fault(
        "^invalid |^bad value|Servname not supported|unrecognized|invalid (value for|configuration) parameter",
        ConfigError,
        "check [outbox] url, and the variables that libpq reads, such as PGPORT and PGOPTIONS",
    ),
    _Fault(
        "resolve host|translate host name",
        SessionLost,
        "check the host in [outbox] url, and that this machine's DNS works: getent hosts NAME",
    ),
)


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


@contextmanager
def connection_errors(name: str) -> Iterator[None]:
    """Turn the errors of a session that does not begin into ours; others pass through.  Nothing keeps libpq's words."""
    try:
        yield
    except (psycopg.Error, UnicodeError, ValueError) as error:
        raise no_session(error, name) from None


def no_session(error: Exception, name: str) -> PrxEmailError:
    """Make our error for a session that did not begin."""
    said = _said(error)
    for fault in _FAULTS:
        if re.search(fault.said, said):
            return fault.kind(f"the database {name}: {said}", hint=fault.hint)
    return SessionLost(f"the database {name}: {said}", hint=_REACH)


def storage_error(error: psycopg.Error, name: str) -> StorageError:
    """Make our error for one of PostgreSQL's in a session."""
    message = f"the database {name}: {_said(error)}"
    if isinstance(error, (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure)):
        return OutboxBusy(
            f"the database {name} is locked by others: {_said(error)}", hint="try again; see pg_stat_activity"
        )
    if isinstance(error, pg.QueryCanceled):
        return OutboxBusy(message, hint="try again; see statement_timeout of the role and the database")
    if isinstance(error, pg.OutOfMemory):
        return OutboxBusy(message, hint=_FULL)
    if isinstance(error, pg.InsufficientResources):
        return StorageError(message, hint="its server has no room left: ask who runs it")
    if isinstance(error, pg.ReadOnlySqlTransaction):
        return StorageError(message, hint=_READ_ONLY)
    if isinstance(error, (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction, pg.DatatypeMismatch)):
        return StorageError(f"{message}: its tables are not those of prx-email", hint=_OTHERS)
    if isinstance(error, (pg.DataCorrupted, pg.IndexCorrupted, pg.IntegrityError)):
        return OutboxDamaged(message, hint="restore a backup, or ask who runs the database")
    if isinstance(error, psycopg.OperationalError) and (error.sqlstate is None or error.sqlstate[:2] in ("08", "57")):
        return SessionLost(message, hint=_REACH)
    if isinstance(error, pg.InsufficientPrivilege):
        return NotPermitted(message, hint=_RIGHTS)
    return StorageError(message, hint=_REACH)


def _said(error: Exception) -> str:
    """Return an error's words on one line, without secrets."""
    shown = re.sub(r"\nLINE \d+:[^\n]*\n *\^", "", str(error))  # our statement is not what the reader can change
    words = " ".join(shown.split()) or type(error).__name__
    return from_outside(words.removeprefix("connection is bad: ").removeprefix("connection failed: "))
