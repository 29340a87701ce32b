"""Notice that another process has changed an open outbox."""

import sqlite3
import threading
from pathlib import Path

from prx_email_cli.files import notices_of

ROUND_SECONDS = 10.0


class SqliteWatch:
    """See ``Watch`` for what each method promises.  lock: of *connection*."""

    round_seconds = ROUND_SECONDS

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: threading.Lock) -> None:
        self._connection, self._lock = connection, lock
        self._version = -1
        self._log = f"{path.resolve()}-wal"
        self._notify = notices_of(self._log, "MODIFY")  # which every change is written to first

    def fileno(self) -> int | None:
        """Return a descriptor that can be read when the outbox's files were written; None where no system tells."""
        return None if self._notify is None else self._notify.fileno()

    def take(self) -> None:
        """Take in what can be read."""
        if self._notify is not None:
            self._notify.read(timeout=0)

    def changed(self) -> bool:
        """Tell whether another process has changed the outbox since the last call that said so."""
        if not self._lock.acquire(blocking=False):
            return False  # this process is writing; the next look tells
        try:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return True  # whoever reads next says what is wrong
        finally:
            self._lock.release()
        changed, self._version = version != self._version, version
        return bool(changed)

    def close(self) -> None:
        """Release the descriptor."""
        if self._notify is not None:
            self._notify.close()
