"""Tell a restored backup from the outbox that it was, and claim nothing from it until a person accepts it.

The table ``ledger`` says in which cluster and database it is, and which table it is there.  A copy that pg_dump and
pg_restore made says what its original was, which it is not.
"""

from collections.abc import Callable

from prx_email_cli.errors import RestoredBackup, StorageError
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.relational.moved import Journey


class RestoreGuard:
    """Compares an outbox with where it says that it is.  Its methods take a connection inside their transaction."""

    def __init__(self, name: str) -> None:
        self._name = name

    def refuse(self, connection: PostgresConnection) -> None:
        """Raise RestoredBackup for a restored backup, and OutboxMoved."""
        self.refuse_moved(connection)
        if self._is_restored(connection):
            raise RestoredBackup(
                f"the outbox {self._name} is a restored backup: messages sent since the backup look due again",
                hint="prx-email hold --all, then release what was not sent; or prx-email outbox accept-restore, "
                "which sends all of it again",
            )

    def refuse_moved(self, connection: PostgresConnection) -> None:
        """Raise OutboxMoved for an outbox that was taken elsewhere."""
        self.jump(connection)

    def jump(self, connection: PostgresConnection) -> int:
        """Return how far above the next ones the ids of new messages are to be, in a restored backup.

        Raises OutboxMoved.
        """
        _, place, here, moved_to = _ledger(connection)
        if moved_to is not None:
            raise Journey.of(moved_to).error(self._name)
        return 0 if place == here else sql.JUMP

    def identity(self, connection: PostgresConnection) -> str:
        """Return the outbox's identity, which no other outbox has."""
        return _ledger(connection)[0]

    def accept(self, connection: PostgresConnection, forget_flights: Callable[[], None]) -> bool | None:
        """Accept a restored backup; None when it is none."""
        if not self._is_restored(connection):
            return None
        forget_flights()
        connection.execute(sql.SET_PLACE)
        connection.execute(sql.RAISE_IDS)
        return True

    def note(self, mark: object) -> None:
        """Do nothing: all of it is in the database."""

    def _is_restored(self, connection: PostgresConnection) -> bool:
        _, place, here, _ = _ledger(connection)
        return place != here


def _ledger(connection: PostgresConnection) -> tuple[str, str, str, str | None]:
    """Return identity, where it says that it is, where it is, and, if it was moved, its journey."""
    found = connection.execute(sql.LEDGER).fetchone()
    if found is None:
        raise StorageError("the outbox is damaged: its ledger is empty", hint="restore a backup")
    return tuple(found)
