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
        """Result of *make*, once it is durable.  An error of its own undoes only its own change.

        A change that shares a transaction with one that fails is made a second time, by itself.
        """
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
            if self._commit(changes) and len(changes) > 1:
                for change in changes:
                    self._commit([change])
        finally:
            for change in changes:
                change.done = True

    def _commit(self, changes: list[_Change]) -> bool:
        """Make *changes* in one transaction; without success each has the error, and nothing is changed.

        Says whether it was one of the changes that failed, and not the database.
        """
        made = 0
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for change in changes:
                change.result, change.error = change.make(self._connection), None
                made += 1
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - it is told to whoever waits
            own = self._connection.in_transaction and made < len(changes)
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            for change in changes:
                change.error = error
            return own
        return False
