"""Whether the path still names the files that are open: a database can be moved away, removed or replaced under us."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

_WHOLE_HEADER = 100  # bytes; the SQLite file format describes them
_FileId = tuple[int, int]


class Place:
    """Where an open outbox lies, and which files were there when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real_path = path.resolve()  # as SQLite names the log, whatever becomes of a symbolic link
        self._log_path = f"{self._real_path}-wal"
        self._database, self._log = _file_id(path), _file_id(self._log_path)

    def replaced(self) -> bool:
        """Whether the database or its log is no longer at its place; costs no more than a look at two names."""
        return _file_id(self._path) != self._database or self._has_another_log()

    def lost_its_log(self) -> bool:
        """Whether the database is still there, and its log is not: what this connection writes reaches nobody."""
        return _file_id(self._real_path) == self._database and self._has_another_log()

    def leave(self, connection: sqlite3.Connection) -> None:
        """Close *connection*, and do no harm to another database that is in its place by now.

        SQLite finds a log by its name: a new database would take the old one's for its own, and the last user of the
        old one would take the new one's away.  It would also copy its log into what was copied over its database.
        """
        log = _file_id(self._log_path)
        if log != self._log and (log is not None or self.lost_its_log()):
            import ctypes  # on use

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # never closed: the process's end releases it
        elif log is None or _file_id(self._real_path) == self._database:
            connection.close()
        else:
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # into the old one, wherever it is now
            connection.close()
            if _file_id(self._log_path) == log:
                for end in ("-wal", "-shm"):
                    with suppress(OSError):
                        os.unlink(f"{self._real_path}{end}")

    def _has_another_log(self) -> bool:
        """SQLite keeps it in its place for as long as we have it open; a file system without shared memory has none."""
        return self._log is not None and _file_id(self._log_path) != self._log


def is_whole(path: Path) -> bool:
    """Whether a database, and all of it, is at *path*: nothing that is empty or still being copied there."""
    try:
        size = os.stat(path).st_size
        with open(path, "rb", opener=_without_waiting) as file:
            header = file.read(_WHOLE_HEADER)
    except OSError:
        return False
    if len(header) < _WHOLE_HEADER:
        return False
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 1 << 16 if page_bytes == 1 else page_bytes
    pages_are_counted = header[24:28] == header[92:96]
    return not pages_are_counted or size >= page_bytes * int.from_bytes(header[28:32], "big")


def look_of(path: Path) -> tuple[int, ...] | None:
    """Something that changes while a file is being put at *path*; None when nothing is there, or an empty file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status.st_size else None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _file_id(path: str | Path) -> _FileId | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
