"""Copy an outbox into a file that is there whole or not at all, while others use the outbox."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from prx_email_cli.errors import InputNotFound, OutboxDamaged, StorageError, ValidationError
from prx_email_cli.files import create, sync_directory
from prx_email_cli.outbox.sqlite.connection import storage_errors
from prx_email_cli.outbox.sqlite.dialect import DAMAGED_HINT

PAGES_AT_ONCE = 2000
_LOGS = ("-wal", "-shm", "-journal")

Progress = Callable[[int, int], None]
"""Is told how many pages are copied, of how many."""


def check_target(file: Path, outbox: Path, *, force: bool) -> None:
    """Raise ValidationError, or InputNotFound, if no copy of *outbox* can be put at *file*."""
    if file.is_dir():
        raise ValidationError(f"{file} is a directory", hint="name a file in it")
    if not file.parent.is_dir():
        raise InputNotFound(f"there is no directory {file.parent}", hint="make it first")
    if belongs_to(file, outbox):
        raise ValidationError(f"{file} belongs to the outbox itself", hint="name another file, best on another disk")
    if os.path.lexists(file) and (not force or not file.is_file()):
        raise ValidationError(
            f"{file} exists already",
            hint="name another file" + ("; --force replaces it" if file.is_file() else ": it is no ordinary file"),
        )


def belongs_to(file: Path, outbox: Path) -> bool:
    """Tell whether *file* is the outbox, or one that is kept beside it."""
    real, path = outbox.resolve(), file.resolve()
    own = {real, *(real.with_name(real.name + end) for end in _LOGS)}
    same = os.path.exists(file) and os.path.exists(real) and os.path.samefile(file, real)
    return same or path in own or path.parent == real.with_name(real.name + ".runs")


@contextmanager
def new_file(file: Path, beside: os.stat_result | None = None) -> Iterator[Path]:
    """Yield the name of a new private file beside *file*, which is removed at the end, also after an earlier kill.

    Raises StorageError when it cannot be made.
    """
    _remove_leftovers(file)
    new = file.with_name(f".{file.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        descriptor = create(new, beside=beside)
    except OSError as error:
        raise StorageError(
            f"cannot write {file}: {error.strerror}", hint="check the disk, and that its directory is writable by you"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # says that this process lives
        yield new
    finally:
        for end in ("", *_LOGS):
            with suppress(OSError):
                os.unlink(f"{new}{end}")
        os.close(descriptor)


def _remove_leftovers(file: Path) -> None:
    """Remove what killed processes have left of copies to *file*."""
    for left in file.parent.glob(f".{glob_escape(file.name)}.*.part"):
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for end in ("", *_LOGS):
                    with suppress(FileNotFoundError):
                        os.unlink(f"{left}{end}")
            finally:
                os.close(descriptor)


def glob_escape(name: str) -> str:
    """Write a name so that a pattern means it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def copy(source: sqlite3.Connection, new: Path, progress: Progress | None = None) -> sqlite3.Connection:
    """Copy one moment of the database behind *source* into the empty file *new*; return a connection to the copy.

    The copy is one file, without a log.  Raises StorageError, OutboxDamaged.
    """
    target = sqlite3.connect(f"{new.absolute().as_uri()}?mode=rw", isolation_level=None, uri=True)
    try:
        with storage_errors(_file_of(new)):
            source.execute("BEGIN")
            try:
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the moment is now
                source.backup(target, pages=PAGES_AT_ONCE, progress=_told(progress), sleep=0.001)
            finally:
                source.execute("ROLLBACK")
            target.execute("PRAGMA journal_mode = DELETE")
            target.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        target.close()
        raise
    return target


def _file_of(new: Path) -> Path:
    """Return the file whose name a new one is to get."""
    return new.with_name(new.name[1:].rsplit(".", 2)[0])


def _told(progress: Progress | None) -> Callable[[int, int, int], None]:
    return lambda status, remaining, total: None if progress is None else progress(total - remaining, total)


def check_sound(copied: sqlite3.Connection, of: Path) -> None:
    """Raise OutboxDamaged when a copy is not sound: it is as damaged as the database *of* which it is one."""
    with storage_errors(of):
        fault = copied.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if fault == "ok" and copied.execute("PRAGMA foreign_key_check").fetchone() is not None:
            fault = "a row without its message"
    if fault != "ok":
        raise OutboxDamaged(f"{of} is damaged: {fault}", hint=f"nothing was replaced; {DAMAGED_HINT}")


def put(new: Path, file: Path, *, replace: bool) -> None:
    """Give *new* the name *file*, durably.  Raises StorageError; ValidationError if that exists by now."""
    try:
        descriptor = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace or not _linked(new, file):
            os.replace(new, file)
        sync_directory(file.parent)
    except FileExistsError:
        raise ValidationError(f"{file} exists already", hint="name another file; --force replaces it") from None
    except OSError as error:
        raise StorageError(
            f"cannot write {file}: {error.strerror}", hint="check the disk, and that its directory is writable by you"
        ) from None


def _linked(new: Path, file: Path) -> bool:
    """Link *file* to *new*; False where there are no links.  Raises FileExistsError."""
    try:
        os.link(new, file)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open an outbox's file only to read, without changing it.

    Raises InputNotFound when it is not there or cannot be read, ValidationError when it is no outbox.
    """
    if file.is_dir():
        raise ValidationError(f"{file} is a directory", hint="name the file of an outbox or of a backup")
    try:
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as stream:
            head = stream.read(16)
    except OSError as error:
        raise InputNotFound(f"cannot read {file}: {error.strerror}", hint="name a file that exists") from None
    if not file.is_file() or head != b"SQLite format 3\0":
        raise ValidationError(f"{file} is no outbox", hint="name a file that prx-email outbox backup made")
    real = file.resolve()
    has_log = any(os.path.exists(f"{real}{end}") and os.path.getsize(f"{real}{end}") for end in ("-wal", "-journal"))
    mode = "mode=ro" if has_log else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"{real.as_uri()}?{mode}", isolation_level=None, uri=True)) as connection:
        yield connection
