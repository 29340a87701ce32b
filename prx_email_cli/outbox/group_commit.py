"""One durable write for everybody who waits: several threads' changes share a transaction and its fsync."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _Change:
    """One caller's change, its result once the shared transaction is durable, or its error."""

    def __init__(self, make: Callable[[sqlite3.Connection], Any]) -> None:
        self.make = make
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class GroupCommit:
    """Runs changes on one connection, each atomic, those that wait at the same time in one transaction.

    Whoever gets the lock first commits for all who queued meanwhile; while it waits for the disk, others go on talking
    to their servers and queue up for the next one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting: deque[_Change] = deque()
        self.lock = threading.Lock()

    def run(self, make: Callable[[sqlite3.Connection], T]) -> T:
        """Result of *make*, once it is durable.  An error of its own undoes only its own change."""
        change = _Change(make)
        self._waiting.append(change)
        with self.lock:
            if not change.done:
                self._commit_waiting()
        if change.error is not None:
            raise change.error
        result: T = change.result
        return result

    def _commit_waiting(self) -> None:
        changes = []
        while self._waiting:
            changes.append(self._waiting.popleft())
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            if len(changes) == 1:  # an error of its own then undoes the transaction, which is all there is
                changes[0].result = changes[0].make(self._connection)
            else:
                for change in changes:
                    self._apply(change)
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - it is told to whoever waits
            self._roll_back()
            for change in changes:
                change.error = change.error or error
        finally:
            for change in changes:
                change.done = True

    def _apply(self, change: _Change) -> None:
        """Make one change inside the open transaction; only an error that ended the transaction gets out."""
        self._connection.execute("SAVEPOINT change")
        try:
            change.result = change.make(self._connection)
        except BaseException as error:
            change.error = error
            if not self._connection.in_transaction:  # SQLite rolls everything back by itself when the disk is full
                raise
            self._connection.execute("ROLLBACK TO change")
        self._connection.execute("RELEASE change")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
