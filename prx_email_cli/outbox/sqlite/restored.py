"""Tell a restored backup from the outbox that it was, and claim nothing from it until a person accepts it.

Each claim counts the generation of the table ``ledger`` up, in the claim's own transaction; once that is durable, and
before a byte goes to a server, the high-water mark beside the database is raised to it.  A database of the same
identity with a lower generation does not know of later claims, so messages sent since then look due again.  Because the
mark follows the database, no outbox looks restored after a kill.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from prx_email_cli.errors import PrxEmailError, RestoredBackup, StorageError
from prx_email_cli.outbox.relational.moved import Journey
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.high_water import HighWater, Mark
from prx_email_cli.outbox.sqlite.storing import LAST_ID, LEDGER, is_identity


class RestoreGuard:
    """Compares an outbox with its mark.  Its methods take a connection inside their caller's transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._high_water = HighWater(path)
        self._noted: Mark | None = None  # by this process

    def close(self) -> None:
        """Close the mark's file."""
        self._high_water.close()

    def last_id(self) -> int:
        """Return an id above which no outbox of this name ever claimed a message; 0 if no mark can be read.

        A message must be stored even when its outbox cannot be drained.
        """
        try:
            return max((mark.last_id for mark in self._high_water.marks()), default=0)
        except PrxEmailError:
            return 0

    def refuse(self, connection: sqlite3.Connection) -> None:
        """Raise RestoredBackup for a restored backup, OutboxMoved, and StorageError when the mark cannot be read."""
        self.refuse_moved(connection)
        if self._ahead(connection) is not None:
            raise RestoredBackup(
                f"the outbox {self._path} is a restored backup: messages sent since the backup look due again",
                hint="prx-email hold --all, then release what was not sent; or prx-email outbox accept-restore, "
                "which sends all of it again",
            )

    def refuse_moved(self, connection: sqlite3.Connection) -> None:
        """Raise OutboxMoved for an outbox that was taken to another machine."""
        _, _, moved_to = _state(connection)
        if moved_to is not None:
            raise Journey.of(moved_to).error(self._path)

    def before_claim(self, connection: sqlite3.Connection) -> None:
        """Do as ``refuse``, and check that the mark can be written when the claim is made."""
        identity, generation, moved_to = _state(connection)
        noted = self._noted
        if moved_to is None and noted is not None and noted.identity == identity and noted.generation <= generation:
            return
        self.refuse(connection)  # our transaction keeps others from counting, so this is certain
        last = connection.execute(LAST_ID).fetchone()
        # Generation 0: what this transaction or one that it shares has counted is not durable yet.
        self._high_water.raise_to(Mark(identity, 0, int(last[0]) if last else 0))

    def count(self, connection: sqlite3.Connection, ids: Sequence[int]) -> Mark:
        """Count claims or results of these messages; return the mark to be noted once that is durable."""
        connection.execute(sql.COUNT_CLAIMS, (len(ids),))
        identity, generation, _ = _state(connection)
        return Mark(identity, generation, max(ids))

    def identity(self, connection: sqlite3.Connection) -> str:
        """Return the outbox's identity, which no other outbox has.  Raises StorageError."""
        return _state(connection)[0]

    def note(self, mark: Mark) -> None:
        """Raise the mark, outside of any transaction."""
        self._high_water.raise_to(mark)
        self._noted = mark

    def accept(self, connection: sqlite3.Connection, forget_flights: Callable[[], None]) -> Mark | None:
        """Accept a restored backup; return the mark to be noted once that is durable, None when it is none.

        First it lets *forget_flights*: flight records tell of claims that this database may have otherwise.
        """
        ahead = self._ahead(connection)
        if ahead is None:
            return None
        forget_flights()
        mark = ahead._replace(generation=ahead.generation + 1)
        connection.execute(sql.SET_GENERATION, (mark.generation,))
        return mark

    def _ahead(self, connection: sqlite3.Connection) -> Mark | None:
        """Return the mark if it is ahead of this database; else None."""
        marks = self._high_water.marks()  # first: while we look, others count and then raise it
        identity, generation, _ = _state(connection)
        for mark in marks:
            if mark.identity == identity and mark.generation > generation:
                return mark
        return None


def _state(connection: sqlite3.Connection) -> tuple[str, int, str | None]:
    """Return identity, generation and, if the outbox was moved, its journey."""
    found = connection.execute(LEDGER).fetchone()
    if found is None or not is_identity(found[0]):
        raise StorageError("the outbox is damaged: its ledger has no identity", hint="restore a backup")
    return found[0], found[1], found[2]
