"""Tell whether the path still names the open files: a database can be moved, removed or replaced while in use."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

_WHOLE_HEADER = 100  # bytes; the SQLite file format describes them
_FileId = tuple[int, int]


class Place:
    """The path of an open outbox, and which files were there when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real_path = path.resolve()  # resolved: SQLite names the log so, even if a symbolic link changes later
        self._log_path = f"{self._real_path}-wal"
        self._database, self._log = file_id(path), file_id(self._log_path)

    def replaced(self) -> bool:
        """Tell whether the database or its log is no longer at its path; costs two calls of stat."""
        return file_id(self._path) != self._database or self._has_another_log()

    def lost_its_log(self) -> bool:
        """Tell whether only the log was removed or replaced: then what this connection writes is lost."""
        return file_id(self._real_path) == self._database and self._has_another_log()

    def leave(self, connection: sqlite3.Connection) -> None:
        """Close *connection* without harm to another database that is at its path by now.

        SQLite finds a log by its name: closing the old database could remove the new one's log, or copy the old log
        into the new database.
        """
        log = file_id(self._log_path)
        if log != self._log and (log is not None or self.lost_its_log()):
            import ctypes  # on use

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # never closed: the process's end releases it
        elif log is None or file_id(self._real_path) == self._database:
            connection.close()
        else:
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # into the old one, wherever it is now
            connection.close()
            if file_id(self._log_path) == log:
                for end in ("-wal", "-shm"):
                    with suppress(OSError):
                        os.unlink(f"{self._real_path}{end}")

    def _has_another_log(self) -> bool:
        """Tell whether the log at its path is not the open one; False on a file system without shared memory."""
        return self._log is not None and file_id(self._log_path) != self._log


def is_whole(path: Path) -> bool:
    """Tell whether a whole database is at *path*: not an empty file, nor one that is still being copied."""
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
    """Return numbers that change while a file at *path* is written; None when it is missing or empty."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status.st_size else None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def file_id(path: str | Path) -> _FileId | None:
    """Return what tells the file at *path* from any other; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
