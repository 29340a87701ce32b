"""Record what people do, each deed inside the transaction that does it."""

from collections.abc import Sequence
from typing import NamedTuple

from prx_email_cli.outbox.relational.database import Connection

_OF_MESSAGES = """
-- records what a person did to these messages
INSERT INTO action (outbox_id, account, at, what, who, detail)
SELECT id, account, :at, :what, :who, :detail FROM outbox
 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids)) ORDER BY id
"""

# Records what a person did to an account.
_OF_ACCOUNT = "INSERT INTO action (account, at, what, who, detail) VALUES (?, ?, ?, ?, ?)"

# Takes the latest record of a message back: what it says could not be done.
_FORGET = "DELETE FROM action WHERE id = (SELECT max(id) FROM action WHERE outbox_id = ?)"

# Reads what people did to a message.
ACTIONS_OF_MESSAGE = "SELECT outbox_id, account, at, what, who, detail FROM action WHERE outbox_id = ? ORDER BY id"


class Deed(NamedTuple):
    """What a person does.  at: Unix seconds.  who: as user@host."""

    what: str
    at: int
    who: str
    detail: str | None = None


def record(connection: Connection, ids: Sequence[int], deed: Deed) -> None:
    """Record what was done to messages."""
    if ids:
        connection.execute(_OF_MESSAGES, {"ids": str(list(ids)), **deed._asdict()})


def record_of_account(connection: Connection, account: str, deed: Deed) -> None:
    """Record what was done to an account."""
    connection.execute(_OF_ACCOUNT, (account, deed.at, deed.what, deed.who, deed.detail))


def forget_latest(connection: Connection, outbox_id: int) -> None:
    """Take the latest record of a message back."""
    connection.execute(_FORGET, (outbox_id,))
