"""Put an outbox's file in the place of another one: at each moment one of the two is there, whole."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from prx_email_cli.errors import OutboxBusy, StorageError, ValidationError
from prx_email_cli.files import make_directories, sync_directory
from prx_email_cli.outbox.relational.moved import MOVED_TO, SET_MOVED_TO, Journey, Stage
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite import copying, sql
from prx_email_cli.outbox.sqlite.connection import storage_error, storage_errors
from prx_email_cli.outbox.sqlite.guarding import reasons_to_refuse
from prx_email_cli.outbox.sqlite.high_water import HighWater, Mark
from prx_email_cli.outbox.sqlite.schema import check_ours, migrate
from prx_email_cli.outbox.sqlite.storing import LAST_ID, LEDGER
from prx_email_cli.outbox.views import Copied, Replaced

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

# Counts messages, and those that have not ended.
COUNTS = """
SELECT count(*), count(*) FILTER (WHERE status <> 'sent' AND (gave_up IS NULL OR status = 'sending')) FROM outbox
"""
_UNFINISHED = """
SELECT id FROM outbox WHERE status <> 'sent' AND (gave_up IS NULL OR status = 'sending') ORDER BY id
"""
_RAISE_LAST_ID = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'outbox'"


class _Ledger(NamedTuple):
    """What an outbox says of itself.  last_id: the highest id that it ever gave."""

    identity: str
    generation: int
    journey: Journey | None
    last_id: int


class _Present(NamedTuple):
    """The outbox that is to be replaced, and its messages that have not ended; without a ledger if it is damaged."""

    ledger: _Ledger | None
    unfinished: list[int]


def restore(path: Path, file: Path, now: int, patience_seconds: float) -> Replaced:
    """Put a backup in the outbox's place, from which nothing is sent again unless a person accepts it.

    Raises ValidationError, InputNotFound, OutboxBusy while the outbox is in use, OutboxDamaged, StorageError.
    """
    return _put(path, file, now, patience_seconds, adopt=False)


def adopt(path: Path, file: Path, now: int, patience_seconds: float) -> Replaced:
    """Put an outbox that was moved here in its place; nothing of it is sent elsewhere.  Raises as ``restore``."""
    return _put(path, file, now, patience_seconds, adopt=True)


def _put(path: Path, file: Path, now: int, patience_seconds: float, *, adopt: bool) -> Replaced:
    path = path.resolve()
    if copying.belongs_to(file, path):
        raise ValidationError(f"{file} is the outbox itself", hint="name a backup of it")
    for reason in reasons_to_refuse(path):
        raise reason
    try:
        make_directories(path.parent)
    except OSError as error:
        raise StorageError(f"cannot make {path.parent}: {error.strerror}", hint="check that it is yours") from None
    with storage_errors(file), copying.opened(file) as source, copying.new_file(path, _status_of(path)) as new:
        if check_ours(source, file) == 0:
            raise ValidationError(f"{file} is no outbox", hint="name a file that prx-email outbox backup made")
        with closing(copying.copy(source, new)) as copied:
            migrate(copied, file)
            copying.check_sound(copied, file)
            ledger = _ledger(copied)
            _check_journey(ledger.journey, file, adopt=adopt)
            messages, unfinished = copied.execute(COUNTS).fetchone()
            with _alone(path, patience_seconds) as present:
                _check_present(present.ledger, ledger, path, adopt=adopt)
                guarded = _prepare(copied, path, ledger, present, adopt=adopt)
                kept = _exchange(new, path, now, replace=present is not _NOBODY)
    return Replaced(messages, unfinished, kept, guarded, _only_there(ledger, present))


def _check_journey(journey: Journey | None, file: Path, *, adopt: bool) -> None:
    stage = None if journey is None else journey.stage
    if adopt and stage is Stage.ADOPTED and journey is not None:
        raise journey.error(file)
    if adopt and stage is not Stage.CARRIED:
        raise ValidationError(
            f"{file} was not made by prx-email outbox move", hint="prx-email outbox restore takes a backup"
        )
    if not adopt and stage is Stage.CARRIED:
        raise ValidationError(f"{file} was made by prx-email outbox move", hint="prx-email outbox adopt takes it")
    if journey is not None and stage not in (Stage.CARRIED, Stage.ADOPTED):
        raise journey.error(file)


def _check_present(present: _Ledger | None, ledger: _Ledger, path: Path, *, adopt: bool) -> None:
    if adopt and present is not None and present.identity == ledger.identity and present.journey is None:
        raise ValidationError(
            f"{path} is this very outbox, and newer",
            hint="it was adopted here, or its move was undone: delete the file",
        )


def _prepare(copied: sqlite3.Connection, path: Path, ledger: _Ledger, present: _Present, *, adopt: bool) -> bool:
    """Write into the copy what it must know in its place; tell whether it is to be accepted first.

    It is one step with the exchange: the mark is never raised above what the outbox in place has counted.
    """
    high_water = HighWater(path)
    counted = [mark.generation for mark in high_water.marks() if mark.identity == ledger.identity]
    same = present.ledger is not None and present.ledger.identity == ledger.identity
    if same and present.ledger is not None:
        gone = present.ledger.journey is not None  # what it has sent since, it has sent elsewhere
        counted.append(present.ledger.generation + gone)
        copied.execute(_RAISE_LAST_ID, (present.ledger.last_id,))
    guarded = not adopt and (not counted or max(counted) > ledger.generation)
    if guarded:
        high_water.raise_to(Mark(ledger.identity, max([*counted, ledger.generation]), ledger.last_id))
        high_water.close()
        if not counted or max(counted) <= ledger.generation:
            copied.execute(sql.SET_GENERATION, (ledger.generation - 1,))
    copied.execute(SET_MOVED_TO, (None,))
    return guarded


def _exchange(new: Path, path: Path, now: int, *, replace: bool) -> Path | None:
    """Put *new* at *path*, and keep what was there; return where."""
    kept = None
    try:
        if replace:
            kept = _name_for_kept(path, now)
            _keep(path, kept)
        beside = kept or _name_for_kept(path, now)
        for end in (
            "-wal",
            "-journal",
        ):  # of a damaged outbox, or of none: with another database they would damage that
            with suppress(FileNotFoundError):
                os.replace(f"{path}{end}", f"{beside}{end}")
        with suppress(FileNotFoundError):
            os.unlink(f"{path}-shm")
        sync_directory(path.parent)
    except OSError as error:
        raise StorageError(f"cannot keep {path} aside: {error.strerror}", hint="check the disk") from None
    copying.put(new, path, replace=replace)
    return kept


def _keep(path: Path, kept: Path) -> None:
    """Give the outbox a second name, so that none is ever missing; where there are no links, copy it."""
    try:
        os.link(path, kept)
    except FileExistsError:
        raise
    except OSError:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source:
            with copying.new_file(kept) as new:
                copying.copy(source, new).close()
                copying.put(new, kept, replace=False)


def _name_for_kept(path: Path, now: int) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    name, number = f"{path.name}.before-{stamp}", 1
    while os.path.lexists(path.with_name(name)):
        number += 1
        name = f"{path.name}.before-{stamp}-{number}"
    return path.with_name(name)


def _only_there(ledger: _Ledger, present: _Present) -> list[int]:
    same = present.ledger is not None and present.ledger.identity == ledger.identity
    return [outbox_id for outbox_id in present.unfinished if not same or outbox_id > ledger.last_id]


_NOBODY = _Present(None, [])


@contextmanager
def _alone(path: Path, patience_seconds: float) -> Iterator[_Present]:
    """Keep every other process from the outbox at *path*, and say what is there; _NOBODY where nothing is.

    Raises OutboxBusy while another one has it open, or a run lives.
    """
    if Runs(path).is_any_alive():
        raise OutboxBusy(
            f"a drain, a retry or a send --now works on the outbox {path}",
            hint="stop it (drain --follow, cron, systemd), then say this again",
        )
    if not path.exists():
        yield _NOBODY
        return
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", timeout=patience_seconds, isolation_level=None, uri=True)
    with closing(connection):
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # whoever opens it waits from the next statement on
            # The last connection alone may do this, and it empties and removes the log.
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
            connection.execute("BEGIN EXCLUSIVE")  # nothing is written, so no journal is made
            present = _present(connection)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in _DAMAGED:
                raise _busy(error, path) from error
            mode, present = "delete", _Present(None, [])
        if mode != "delete":
            raise _busy(None, path)
        if present.ledger is not None:
            with suppress(FileNotFoundError):  # it is done with, though this kind of lock leaves it
                os.unlink(f"{path}-journal")
        yield present


def _busy(error: sqlite3.Error | None, path: Path) -> StorageError:
    code = sqlite3.SQLITE_BUSY if error is None else getattr(error, "sqlite_errorcode", 0) & 0xFF
    if error is not None and code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return storage_error(error, path)
    return OutboxBusy(
        f"another process has the outbox {path} open",
        hint="stop what drains, sends or reads it (fuser, lsof show it), then say this again",
    )


def _present(connection: sqlite3.Connection) -> _Present:
    """Read what the outbox in place says of itself; nothing of one whose tables are others."""
    try:
        ledger = _ledger(connection)
        return _Present(ledger, [outbox_id for (outbox_id,) in connection.execute(_UNFINISHED)])
    except sqlite3.OperationalError:  # an empty file, or tables of another version
        return _Present(None, [])


def _ledger(connection: sqlite3.Connection) -> _Ledger:
    identity, generation, moved_to = connection.execute(LEDGER).fetchone()
    last = connection.execute(LAST_ID).fetchone()
    journey = None if moved_to is None else Journey.of(moved_to)
    return _Ledger(identity, generation, journey, int(last[0]) if last else 0)


def _status_of(path: Path) -> os.stat_result:
    """Return the status of the outbox, or of its directory, whose owner gets the new file."""
    return os.stat(path if path.exists() else path.parent)


def note_adopted(file: Path, journey: Journey) -> bool:
    """Note in the carried file that it was adopted; False where it cannot be written."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", isolation_level=None, uri=True)) as carried:
            carried.execute(SET_MOVED_TO, (journey.stored,))
    except sqlite3.Error:
        return False
    return True


def read_journey(connection: sqlite3.Connection) -> Journey | None:
    """Return the journey of an outbox; None where it is at home."""
    found = connection.execute(MOVED_TO).fetchone()
    return None if found is None or found[0] is None else Journey.of(found[0])


def counted(connection: sqlite3.Connection, file: Path) -> Copied:
    """Describe a copy that is about to be put at *file*."""
    messages, unfinished = connection.execute(COUNTS).fetchone()
    pages, page_bytes = connection.execute(
        "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size"
    ).fetchone()
    return Copied(file, pages * page_bytes, messages, unfinished)
