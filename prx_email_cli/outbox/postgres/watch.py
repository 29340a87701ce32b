"""Notice that another process has changed an open outbox, on whatever machine."""

from contextlib import suppress

import psycopg

from prx_email_cli.outbox.postgres.dialect import PostgresConnection


class PostgresWatch:
    """See ``Watch`` for what each method promises.  connection: of its own, which it closes."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection.connection
        self._changed = True
        self._connection.execute("LISTEN prx_email")

    def fileno(self) -> int | None:
        """Return a descriptor that can be read when somebody has told of a change."""
        return None if self._connection.closed else self._connection.fileno()

    def take(self) -> None:
        """Take in what was told."""
        with suppress(psycopg.Error):
            for _ in self._connection.notifies(timeout=0):
                self._changed = True
        if self._connection.closed:
            self._changed = True  # whoever reads next says what is wrong

    def changed(self) -> bool:
        """Tell whether another process has changed the outbox since the last call that said so."""
        self.take()
        changed, self._changed = self._changed, False
        return changed

    def close(self) -> None:
        """Release the connection."""
        with suppress(psycopg.Error):
            self._connection.close()
