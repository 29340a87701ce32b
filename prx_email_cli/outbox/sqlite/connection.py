"""Open the outbox's file: private from its first instant, durable, and with errors a user can act on."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prx_email_cli.errors import (
    NotFound,
    OutboxBusy,
    OutboxDamaged,
    PrxEmailError,
    StorageError,
    ValidationError,
)
from prx_email_cli.files import create, make_directories, sync_directory
from prx_email_cli.outbox.sqlite import storing
from prx_email_cli.outbox.sqlite.dialect import DAMAGED_HINT, SqliteConnection
from prx_email_cli.outbox.sqlite.guarding import reasons_to_refuse
from prx_email_cli.outbox.sqlite.place import file_id
from prx_email_cli.outbox.sqlite.schema import check_ours, migrate

LITTLE_CACHE_KIB = 512  # instead of SQLite's 2,000
_LITTLE_BYTES = 1 << 20
# Damaged pages, and damaged values: those that break a rule of the tables, or that a function cannot take.
_OF_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_ERROR)
_HINTS = {
    sqlite3.SQLITE_FULL: "free some space",
    sqlite3.SQLITE_IOERR: "check the disk and its mount",
    sqlite3.SQLITE_CANTOPEN: "check that its directory exists, and that file and directory are yours and writable",
    sqlite3.SQLITE_READONLY: "check that file and directory are writable by you",
    sqlite3.SQLITE_NOTADB: "name another file as [outbox] path, or restore a backup",
}


def open_database(path: Path, busy_timeout_seconds: float, *, create: bool = True) -> SqliteConnection:
    """Connect to the outbox at *path*.

    create: make one where there is none, mode 0600 in a directory of mode 0700.  Raises StorageError, OutboxBusy or
    ReadableByOthers.
    """
    if sqlite3.sqlite_version_info < storing.OLDEST_SQLITE:
        raise StorageError(f"SQLite {sqlite3.sqlite_version} is too old", hint="install SQLite 3.37 or newer")
    while (connection := _open_what_is_there(path, busy_timeout_seconds, create=create)) is None:
        pass
    return connection


def _open_what_is_there(path: Path, busy_timeout_seconds: float, *, create: bool) -> SqliteConnection | None:
    """Open the outbox; None if another one was put in its place just then, before anything was written."""
    _check_file(path, create=create)
    there = file_id(path)
    name = path if create else f"{path.absolute().as_uri()}?mode=rw"
    with storage_errors(path):
        connection = sqlite3.connect(
            name,
            timeout=busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            uri=not create,
            factory=SqliteConnection,
        )
        try:
            version = check_ours(connection, path)  # waits for a restore, which then has put another file there
            if file_id(path) == there:
                _prepare(connection, path, busy_timeout_seconds, is_new=version == 0)
                return connection
        except BaseException as error:
            connection.close()
            if not isinstance(error, sqlite3.Error) or file_id(path) == there:
                raise
        else:
            connection.close()
        return None


def open_beside(path: Path, busy_timeout_seconds: float) -> SqliteConnection:
    """Open the outbox at *path* once more, only to read.  Raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", timeout=busy_timeout_seconds, isolation_level=None,
        check_same_thread=False, uri=True, factory=SqliteConnection,
    )  # fmt: skip
    connection.execute("PRAGMA query_only = ON")
    keep_little(connection)
    return connection


def _prepare(connection: SqliteConnection, path: Path, busy_timeout_seconds: float, *, is_new: bool) -> None:
    connection.execute(storing.SYNCHRONOUS)
    connection.execute(storing.FOREIGN_KEYS)
    connection.execute(f"PRAGMA wal_autocheckpoint = {storing.CHECKPOINT_PAGES}")
    if is_new:
        _sync_directories(path)
    _switch_to_wal(connection, busy_timeout_seconds)
    migrate(connection, path)


def keep_little(connection: SqliteConnection) -> None:
    """Bound SQLite's cache, which a large content would fill with pages that nobody reads again."""
    connection.execute(f"PRAGMA cache_size = -{LITTLE_CACHE_KIB}")


def _sync_directories(path: Path) -> None:
    """Make a new outbox's name survive a power cut: SQLite syncs its files, not the directories above them.

    The process that is about to make the tables does this: before that no message is acknowledged.
    """
    for directory in path.resolve().parents:
        with suppress(PermissionError):  # not ours, so not new either
            sync_directory(directory)


def _switch_to_wal(connection: SqliteConnection, patience_seconds: float) -> None:
    """Switch a new database to WAL, and wait for others that do: SQLite's busy timeout does not cover this."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _check_file(path: Path, *, create: bool) -> None:
    for reason in reasons_to_refuse(path):
        raise reason
    try:
        if create:
            _create_privately(path)
        status = os.stat(path)
    except OSError as error:
        raise StorageError(
            f"cannot open the outbox {path}: {error.strerror}", hint=_HINTS[sqlite3.SQLITE_CANTOPEN]
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"the outbox {path} is not a regular file", hint="name another file as [outbox] path")


def _create_privately(path: Path) -> None:
    make_directories(path.parent)
    # SQLite gives -wal and -shm the mode of the database, so this one creation settles all three.  A file that is
    # there is not even opened: closing it would drop the POSIX locks that SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.close(create(path))


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours; other errors pass through."""
    try:
        yield
    except PrxEmailError:
        raise
    except OverflowError:  # a number beyond SQLite's, which no id ever reaches
        raise NotFound("outbox record not found", hint="prx-email list shows the ids") from None
    except UnicodeEncodeError:
        raise ValidationError("cannot search for text that is not valid Unicode", hint="convert it to UTF-8") from None
    except sqlite3.Error as error:
        raise storage_error(error, path) from error
    except UnicodeDecodeError:  # SQLite quotes damaged bytes in its errors, and Python cannot read those
        raise OutboxDamaged(f"the outbox {path} is damaged", hint=DAMAGED_HINT) from None


def storage_error(error: sqlite3.Error, path: Path) -> StorageError:
    """Make our error for one of SQLite's."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes carry the primary one in their low byte
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return OutboxBusy(
            f"the outbox {path} is locked by another process",
            hint="try again; if it lasts, see which process has the file open (fuser, lsof)",
        )
    if primary == sqlite3.SQLITE_IOERR and _is_full(path):  # on a full disk SQLite's shared memory fails like this
        primary = sqlite3.SQLITE_FULL
    # Python's own complaint of a text that it cannot decode has no code.
    if primary in _OF_DAMAGE or (primary == 0 and isinstance(error, sqlite3.OperationalError)):
        return OutboxDamaged(f"the outbox {path}: {error}", hint=DAMAGED_HINT)
    return StorageError(f"the outbox {path}: {error}", hint=_HINTS.get(primary, "check the file and its directory"))


def _is_full(path: Path) -> bool:
    try:
        system = os.statvfs(path.parent)
    except OSError:
        return False
    return system.f_bavail * system.f_frsize < _LITTLE_BYTES
