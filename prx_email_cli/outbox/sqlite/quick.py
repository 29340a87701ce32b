"""Store one small message with few imports, as ``submit`` does; or store nothing, and leave it to that.

A program that calls sendmail waits until its message is stored, and most of that time would be spent on importing.
What is not as usual is left to the full way, which does it or says why not: an outbox that is missing, new, of another
schema, moved away, open to others, or being replaced; and every error but those that it could only repeat.
"""

import os
import stat

from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.hashing import content_digest, envelope_digest
from prx_email_cli.outbox.sqlite import storing
from prx_email_cli.outbox.sqlite.mark_record import MOST_MARKS, NAME, RECORD_BYTES, parsed, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3 as sqlite
    from json.encoder import encode_basestring_ascii as as_json
    from sqlite3 import Connection, Error

    from prx_email_cli.outbox.small import SmallMessage, SmallOutbox
else:
    try:
        import _sqlite3 as sqlite  # sqlite3 without what converts dates
        from _json import encode_basestring_ascii as as_json
    except ImportError:  # of another Python than CPython
        import sqlite3 as sqlite
        from json.encoder import encode_basestring_ascii as as_json

_LOGS = ("-wal", "-shm", "-journal")
_BUSY = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
_ROOT = 0
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_never_closed: "list[Connection]" = []


class Unusual(Exception):
    """Something is not as usual, and nothing was stored."""


def store(outbox: "SmallOutbox", message: "SmallMessage") -> int:
    """Store *message* in one durable transaction; return its id.

    Raises Unusual, and StorageError when the outbox is busy or the transaction cannot be made durable.
    """
    if tuple(map(int, sqlite.sqlite_version.split("."))) < storing.OLDEST_SQLITE:
        raise Unusual("SQLite is old")
    there = _checked_file(outbox)
    above = _last_id(outbox.real_path, outbox.owners)
    try:
        connection = sqlite.connect(_uri(outbox.path), timeout=outbox.patience_seconds, isolation_level=None, uri=True)
    except sqlite.Error:
        raise Unusual("it cannot be opened") from None
    log = _file_id(f"{outbox.real_path}-wal")
    try:
        _prepare(connection, outbox.path, there)
        log = _file_id(f"{outbox.real_path}-wal")
        return _insert(connection, outbox.path, message, above)
    finally:
        _leave(connection, outbox.real_path, (there, log))


def _checked_file(outbox: "SmallOutbox") -> tuple[int, int]:
    """Return what tells the outbox's file from any other.  Raises Unusual for one that others could use."""
    try:
        status = os.stat(outbox.path)
        for end in _LOGS:
            try:
                log = os.lstat(outbox.real_path + end)
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(log.st_mode) or log.st_mode & 0o077 or log.st_uid not in outbox.owners:
                raise Unusual(end)
    except OSError:
        raise Unusual("it is not there") from None
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or not status.st_size:
        raise Unusual("it is open to others, or new")
    return status.st_dev, status.st_ino


def _last_id(real_path: str, owners: tuple[int, ...]) -> int:
    """Return the highest id of the high-water marks, as ``RestoreGuard.last_id`` does.  Raises Unusual."""
    directory = f"{real_path}.runs"
    try:
        _check_owner(os.lstat(directory), owners)
        descriptor = os.open(f"{directory}/{NAME}", _OPEN)
    except FileNotFoundError:
        return 0
    except OSError:
        raise Unusual("the marks cannot be read") from None
    import fcntl  # on use

    try:
        _check_owner(os.fstat(descriptor), owners)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        found = [parsed(record) for record in records(os.pread(descriptor, MOST_MARKS * RECORD_BYTES, 0))]
    except OSError:
        raise Unusual("the marks cannot be read") from None
    finally:
        os.close(descriptor)
    return max((mark[2] for mark in found if mark is not None), default=0)


def _check_owner(status: os.stat_result, owners: tuple[int, ...]) -> None:
    if status.st_uid not in owners or status.st_mode & 0o022 or stat.S_ISLNK(status.st_mode):
        raise Unusual("others can change it")


def _uri(path: str) -> str:
    """Name the database so that none is made where it is gone."""
    return f"file://{path.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=rw"


def _prepare(connection: "Connection", path: str, there: tuple[int, int]) -> None:
    """Do as ``open_database`` once the file is open.  Raises Unusual, StorageError."""
    execute = connection.execute
    try:
        version, application, _ = execute(storing.WHOSE).fetchone()  # waits for a restore, which puts another file
        if _file_id(path) != there or (version, application) != (storing.SCHEMA, storing.APPLICATION_ID):
            raise Unusual("it is another one, or of another schema")
        execute(storing.SYNCHRONOUS)
        execute(storing.FOREIGN_KEYS)
        execute(f"PRAGMA wal_autocheckpoint = {storing.CHECKPOINT_PAGES}")
        if execute("PRAGMA journal_mode").fetchone() != ("wal",):
            raise Unusual("it has no write-ahead log")
    except sqlite.Error as error:
        raise _ours(error, path) from None


def _insert(connection: "Connection", path: str, message: "SmallMessage", above: int) -> int:
    """Store *message*, with an id higher than *above*; return its id.  Raises Unusual, StorageError."""
    execute = connection.execute
    try:
        execute("BEGIN IMMEDIATE")
        ledger = execute(storing.LEDGER).fetchone()
        if ledger is None or not storing.is_identity(ledger[0]) or ledger[2] is not None:
            raise Unusual("it is damaged, or was moved")
        last = execute(storing.LAST_ID).fetchone()
        outbox_id = max(int(last[0]) if last else 0, above) + 1
        execute(storing.INSERT_MESSAGE, _row(outbox_id, message))
        for number, address in enumerate(message.recipients):
            execute(storing.INSERT_RECIPIENT, (outbox_id, number, address, "to"))
        execute(storing.INSERT_PIECE, (outbox_id * PIECES_PER_MESSAGE, message.content))
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite.Error):
            raise _ours(error, path) from None
        raise
    try:
        execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite.Error):
            raise _storage_error(error, path) from None
        raise
    return outbox_id


def _row(outbox_id: int, message: "SmallMessage") -> tuple[object, ...]:
    digest, now = content_digest(message.content), message.created_at
    envelope = envelope_digest(outbox_id, message.sender, enumerate(message.recipients), digest)
    user, uid, host, command = message.caller
    caller = f'{{"user": {as_json(user)}, "uid": {uid}, "host": {as_json(host)}, "command": {as_json(command)}}}'
    wishes = ", ".join("null" if one is None else as_json(one) for one in message.wishes)
    return (
        outbox_id, message.account, message.sender, message.subject, now, now, now, None, 0, len(message.content),
        digest, envelope, "normal", caller, message.own_message_id,
        f"[{'true' if message.eight_bit else 'false'}, {wishes}]",
    )  # fmt: skip


def _leave(connection: "Connection", real_path: str, ids: "tuple[tuple[int, int], tuple[int, int] | None]") -> None:
    """Close *connection*, as ``Place.leave``; where another database is by now, the process's end releases it."""
    if (_file_id(real_path), _file_id(f"{real_path}-wal")) == ids:
        connection.close()
    else:
        _never_closed.append(connection)


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _ours(error: "Error", path: str) -> Exception:
    """Return the error for the caller: the full way would wait again for a lock, and can tell of all else."""
    return _storage_error(error, path) if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY else Unusual(error)


def _storage_error(error: "Error", path: str) -> Exception:
    from pathlib import Path  # on use

    from prx_email_cli.outbox.sqlite.connection import storage_error  # on use

    ours = storage_error(error, Path(path))
    ours.hint = f"{ours.hint}; the message was not stored"
    return ours
