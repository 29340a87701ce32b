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
_SPACE = "free some space on the disk of its server, and try again"
_MEMORY = "try again; if it stays so, raise max_locks_per_transaction, or its memory"
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
    _Fault("out of (shared )?memory|could not fork", OutboxBusy, _MEMORY),
    _Fault("No space left on device", StorageError, _SPACE),
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


class _Trouble(NamedTuple):
    """What an SQLSTATE in a session is to us, what to do, and what to say before and after the server's words."""

    kind: type[StorageError]
    hint: str
    before: str = ""
    after: str = ""


_LOCKED = _Trouble(OutboxBusy, "try again; see pg_stat_activity", " is locked by others")
_NOT_OURS = _Trouble(StorageError, _OTHERS, after=": its tables are not those of prx-email")
_DAMAGED = _Trouble(OutboxDamaged, "restore a backup, or ask who runs the database")
_ENDED = _Trouble(SessionLost, _REACH)

# By SQLSTATE, or its first characters: PostgreSQL's src/backend/utils/errcodes.txt.  The longest that fits counts.
_TROUBLES = {
    "08": _ENDED,
    "23": _DAMAGED,
    "25006": _Trouble(StorageError, _READ_ONLY),
    "25P": _ENDED,  # a timeout of idle or long transactions
    "40": _LOCKED,
    "42501": _Trouble(NotPermitted, _RIGHTS),
    "42703": _NOT_OURS,
    "42804": _NOT_OURS,
    "42883": _NOT_OURS,
    "42P01": _NOT_OURS,
    "53": _Trouble(StorageError, "its server has no room left: ask who runs it"),
    "53100": _Trouble(StorageError, _SPACE),
    "53200": _Trouble(OutboxBusy, _MEMORY),
    "53300": _Trouble(OutboxBusy, _FULL),
    "53400": _Trouble(StorageError, "a limit of the server, the role or the database is too low: raise it"),
    "55P03": _LOCKED,
    "57": _ENDED,
    "57014": _Trouble(OutboxBusy, "try again; see statement_timeout of the role and the database"),
    "58": _Trouble(StorageError, "its server cannot use its disk: ask who runs it, and see its log"),
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_UNKNOWN = _Trouble(StorageError, "the server's log may say more: ask who runs it")


def storage_error(error: psycopg.Error, name: str) -> StorageError:
    """Make our error for one of PostgreSQL's in a session."""
    state = error.sqlstate or ""
    found = (_TROUBLES.get(state[:length]) for length in (5, 3, 2))
    trouble = next((one for one in found if one is not None), _UNKNOWN)
    if not state:  # libpq's, or psycopg's own
        trouble = _ENDED if isinstance(error, psycopg.OperationalError) else _Trouble(StorageError, _REACH)
    return trouble.kind(f"the database {name}{trouble.before}: {_said(error)}{trouble.after}", hint=trouble.hint)


def _said(error: Exception) -> str:
    """Return an error's words on one line, without secrets."""
    shown = re.sub(r"\nLINE \d+:[^\n]*\n *\^", "", str(error))  # our statement is not what the reader can change
    words = " ".join(shown.split()) or type(error).__name__
    return from_outside(words.removeprefix("connection is bad: ").removeprefix("connection failed: "))
