"""Store new messages, or find the earlier ones with their idempotency keys, inside the caller's transaction."""

from collections.abc import Sequence

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox import PIECE_BYTES, PIECES_PER_MESSAGE
from prx_email_cli.outbox.messages import NewMessage, Submitted
from prx_email_cli.outbox.relational.storing import (
    Keys,
    Numbered,
    check_storable,
    find_earlier,
    pieces,
    row_of,
)
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.connection import keep_little
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection
from prx_email_cli.outbox.sqlite.storing import INSERT_MESSAGE, INSERT_PIECE, INSERT_RECIPIENT, LAST_ID


def submit_all(
    connection: SqliteConnection, messages: Sequence[NewMessage], above: int = 0, *, together: bool = False
) -> list[Submitted]:
    """Store new messages, or find the earlier ones with their idempotency keys; return an answer to each, in order.

    above: new ids are higher than this.  A message that cannot be stored is refused alone; *together*, it keeps
    all from being stored.
    """
    submitted, new, keys = _answers(connection, messages, above)
    if not (together and any(one.error is not None for one in submitted)):
        _insert(connection, new, keys)
    return submitted


def rehearse(connection: SqliteConnection, messages: Sequence[NewMessage]) -> list[Submitted]:
    """Answer as ``submit_all`` does, and store nothing."""
    return _answers(connection, messages, 0)[0]


def _answers(
    connection: SqliteConnection, messages: Sequence[NewMessage], above: int
) -> tuple[list[Submitted], Numbered, Keys]:
    """Return the answer to each message, those to be stored with their ids, and their keys."""
    next_id = _next_id(connection, above)
    new: Numbered = []
    keys: Keys = {}  # account and key -> id and fingerprint, of those that this call stores
    submitted: list[Submitted] = []
    for message in messages:
        try:
            check_storable(message)
            earlier = find_earlier(connection, message, keys)
        except PrxEmailError as error:
            submitted.append(Submitted(0, error=error))
            continue
        if earlier is not None:
            submitted.append(earlier)
            continue
        outbox_id = next_id + len(new)
        new.append((outbox_id, message))
        if message.idempotency_key is not None:
            keys[message.account, message.idempotency_key] = outbox_id, message.fingerprint
        submitted.append(Submitted(outbox_id))
    return submitted, new, keys


def _insert(connection: SqliteConnection, new: Numbered, keys: Keys) -> None:
    """Insert messages with recipients, contents and keys, one statement to a table for the whole batch."""
    if any(message.content.size_bytes > PIECE_BYTES for _, message in new):
        keep_little(connection)
    connection.executemany(INSERT_MESSAGE, (row_of(outbox_id, message) for outbox_id, message in new))
    connection.executemany(
        INSERT_RECIPIENT,
        (
            (outbox_id, number, address, kind)
            for outbox_id, message in new
            for number, (address, kind) in enumerate(message.recipients)
        ),
    )
    connection.executemany(
        INSERT_PIECE,
        (
            (outbox_id * PIECES_PER_MESSAGE + number, piece)
            for outbox_id, message in new
            for number, piece in enumerate(pieces(message.content))
        ),
    )
    connection.executemany(
        sql.INSERT_KEY,
        ((account, key, outbox_id, fingerprint) for (account, key), (outbox_id, fingerprint) in keys.items()),
    )


def _next_id(connection: SqliteConnection, above: int) -> int:
    last = connection.execute(LAST_ID).fetchone()
    return max(int(last[0]) if last else 0, above) + 1
