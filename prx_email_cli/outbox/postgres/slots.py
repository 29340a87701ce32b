"""The connections that accounts may have at once, as locks of the session in which the run lives that uses them."""

from contextlib import suppress
from typing import TYPE_CHECKING

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.postgres import sql

if TYPE_CHECKING:
    from prx_email_cli.outbox.postgres.store import PostgresStore


class PostgresSlots:
    """See ``Slots`` for what each method promises."""

    def __init__(self, store: "PostgresStore") -> None:
        self._store = store
        self._taken: set[tuple[int, str, int]] = set()  # by session: a lost one has none

    def take(self, account: str, most: int) -> int | None:
        """Take one of the account's *most* connections; return its number, None while others have all."""
        with self._store.session() as (connection, session):
            ours = [number for one, name, number in self._taken if (one, name) == (session, account)]
            values = {"account": account, "most": most, "ours": str(ours)}
            found = connection.execute(sql.TAKE_SLOT, values).fetchone()
            if found is None:
                return None
            self._taken.add((session, account, found[0]))
            return int(found[0])

    def free(self, account: str, number: int) -> None:
        """Let others have a connection that was taken; a lost session has freed it already."""
        with suppress(PrxEmailError), self._store.session() as (connection, session):
            if (session, account, number) in self._taken:
                self._taken.remove((session, account, number))
                connection.execute(sql.FREE_SLOT, (account, str(number)))
