"""Open the outbox's database, and let threads read and change it in turn."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from prx_email_cli.outbox.lifecycle import drained_since
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite.connection import open_beside, open_database, storage_errors
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection
from prx_email_cli.outbox.sqlite.place import Place

T = TypeVar("T")


class OpenDatabase:
    """The database at a path: one connection to change it, and one beside to read while that is in use."""

    def __init__(self, path: Path, busy_timeout_seconds: float, *, create: bool) -> None:
        self.path = path
        self._connection = open_database(path, busy_timeout_seconds, create=create)
        self._connection.create_function("drained_since", 2, drained_since)
        self._place = Place(path)
        self._lock, self._reading_lock = threading.Lock(), threading.Lock()
        self._busy_timeout_seconds = busy_timeout_seconds
        self._reader: SqliteConnection | None = None  # opened when the other one is first in use

    def close(self) -> None:
        """Release the database."""
        if self._reader is not None:
            self._reader.close()
        self._place.leave(self._connection)

    def change(self, make: Callable[[SqliteConnection], T]) -> T:
        """Run *make* in a transaction and return its result once that is durable; its error undoes the changes."""
        with storage_errors(self.path), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = make(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            return result

    def compact(self, most_bytes: int | None = None) -> bool:
        """Rewrite the file and empty its log, so that no remainder of what was deleted is in them; tell if that is so.

        SQLite leaves copies of rows in pages that it has divided.  most_bytes: do nothing for a larger database.
        """
        with storage_errors(self.path), self._lock:
            pages, free, page_bytes = self._connection.execute(
                "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count,"
                " pragma_page_size"
            ).fetchone()
            if most_bytes is not None and (pages - free) * page_bytes > most_bytes:
                return False
            self._connection.execute("VACUUM")
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

    def bytes_used(self) -> int:
        """Return the size of the file in bytes, once what its log holds has come into it."""
        with self.reading() as connection:
            size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            return int(connection.execute(size).fetchone()[0])

    def forget_contents(self) -> None:
        """See to it that what is deleted from now on is overwritten."""
        with self.reading() as connection:
            connection.execute("PRAGMA secure_delete = ON")

    def is_dead(self, run_id: str) -> bool:
        """Tell whether a run died.  Raises ChangeableByOthers."""
        return Runs(self.path).is_dead(run_id)

    def living(self) -> list[str]:
        """Return the ids of the runs that are alive."""
        return Runs(self.path).living()

    def forget_flights(self) -> None:
        """Remove every flight record."""
        Runs(self.path).forget_flights()

    def read_note(self) -> bytes:
        """Return how far tidying came; empty where that is not known."""
        return Runs(self.path).read_note()

    def write_note(self, note: bytes) -> None:
        """Note how far tidying came."""
        Runs(self.path).write_note(note)

    @contextmanager
    def looking(self) -> Iterator[SqliteConnection]:
        """Yield the connection for reports: undecodable texts in a damaged database are shown as far as possible."""
        with self.reading() as connection:
            connection.text_factory = _shown
            try:
                yield connection
            finally:
                connection.text_factory = str

    @contextmanager
    def reading(self) -> Iterator[SqliteConnection]:
        """Yield a connection for reading, which does not wait for another thread that writes."""
        with storage_errors(self.path):
            if not self._lock.acquire(blocking=False):
                with self._reading_lock:
                    beside = self._beside()
                    if beside is not None:
                        yield beside
                        return
                self._lock.acquire()
            try:
                yield self._connection
            finally:
                self._lock.release()

    def _beside(self) -> SqliteConnection | None:
        """Return a connection beside the one in use; None if there is none to the same files."""
        if self._reader is None:
            with suppress(sqlite3.Error):
                reader = open_beside(self.path, self._busy_timeout_seconds)
                if self._place.replaced():
                    reader.close()
                else:
                    self._reader = reader
        return self._reader


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")
