"""Whether the path still names the files that are open: a database can be moved away, removed or replaced under us."""

import os
import sqlite3
from pathlib import Path

_WHOLE_HEADER = 100  # bytes; the SQLite file format describes them
_FileId = tuple[int, int]


class Place:
    """Where an open outbox lies, and which files were there when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_path = f"{path.resolve()}-wal"
        self._database, self._log = _file_id(path), _file_id(self._log_path)

    def replaced(self) -> bool:
        """Whether the database or its log is no longer at its place; costs no more than a look at two names."""
        return _file_id(self._path) != self._database or _file_id(self._log_path) != self._log

    def leave(self, connection: sqlite3.Connection) -> None:
        """Close *connection*, unless that would take the log of another database away.

        SQLite removes the log by its name when the last user of a database closes it.  If that is another one's by
        now, with what was just acknowledged in it, the connection is never closed: the process's end releases it.
        """
        log = _file_id(self._log_path)
        if log is None or log == self._log:
            connection.close()
            return
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


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


def is_there(path: Path) -> bool:
    """Whether something is at *path* that is not empty."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _file_id(path: str | Path) -> _FileId | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
