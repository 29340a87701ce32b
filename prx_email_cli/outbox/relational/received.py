"""Store and find messages that can be answered: imported ones, and those that this outbox has sent."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.relational.database import Connection
from prx_email_cli.outbox.views import Known

if TYPE_CHECKING:
    from prx_email_cli.mail.received import KnownMessage

# What is kept of a message: the fields of KnownMessage, in their order.
COLUMNS = ("message_id", "in_reply_to", "reference_ids", "sender", "reply_to", "recipients", "copies", "subject",
           "date", "text")  # fmt: skip

_LEARN = f"""
-- (new) -> known; the first one with its id stays what it is
INSERT INTO known (account, learned_at, {", ".join(COLUMNS)})
VALUES (?, ?, {", ".join("?" * len(COLUMNS))}) ON CONFLICT (account, message_id) DO NOTHING
"""
_FIND = f"SELECT account, learned_at, {', '.join(COLUMNS)} FROM known WHERE account = ? AND message_id = ?"
_LIST = f"""
-- the newest first, without their texts
SELECT account, learned_at, {", ".join(COLUMNS[:-1])}, '' FROM known
 WHERE account = coalesce(:account, account) ORDER BY id DESC LIMIT :limit
"""
_OUR_ID = re.compile(r"<outbox-(\d{1,18})-\d+@.*>")
_HEAD_SENT_AS = """
SELECT data FROM outbox o JOIN content c ON c.id = o.id * :pieces
 WHERE o.id = :id AND o.account = :account
   AND (:message_id IN (o.message_id, o.claimed_as)
        OR EXISTS (SELECT 1 FROM attempt a WHERE a.outbox_id = o.id AND a.message_id = :message_id))
"""


def learn(connection: Connection, account: str, messages: "Sequence[KnownMessage]", now: int) -> int:
    """Store the *messages* that *account* does not know, and count them."""
    return connection.executemany(_LEARN, ((account, now, *message) for message in messages)).rowcount


def find(connection: Connection, account: str, message_id: str) -> Known | None:
    """Return the known message of *account* with this id; None when there is none."""
    found = connection.execute(_FIND, (account, message_id)).fetchone()
    return None if found is None else _known(found)


def newest(connection: Connection, account: str | None, limit: int) -> list[Known]:
    """Return the known messages imported last (of *account*), without their texts."""
    return [_known(values) for values in connection.execute(_LIST, {"account": account, "limit": limit})]


def head_sent_as(connection: Connection, account: str, message_id: str) -> bytes | None:
    """Return the first piece of the message of *account* that was attempted under this Message-ID; else None."""
    ours = _OUR_ID.fullmatch(message_id)
    if ours is None:
        return None
    values = {"id": int(ours[1]), "account": account, "message_id": message_id, "pieces": PIECES_PER_MESSAGE}
    found = connection.execute(_HEAD_SENT_AS, values).fetchone()
    return None if found is None else bytes(found[0])


def _known(values: tuple[Any, ...]) -> Known:
    from prx_email_cli.mail.received import KnownMessage  # on use

    account, learned_at, *fields = values
    return Known(account, learned_at, KnownMessage(*fields))
