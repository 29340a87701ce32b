"""Store new messages, or find the earlier ones with their idempotency keys, inside the caller's transaction."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prx_email_cli.errors import PrxEmailError, ValidationError, as_ours
from prx_email_cli.outbox.digest import content_digest, envelope_digest
from prx_email_cli.outbox.messages import NewMessage, Submitted
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.schema import PIECES_PER_MESSAGE

PIECE_BYTES = 256 * 1024


def submit_all(connection: sqlite3.Connection, messages: Sequence[NewMessage], above: int = 0) -> list[Submitted]:
    """Store new messages, or find the earlier ones with their idempotency keys; what became of each, in order.

    above: new ids are higher than this.
    """
    if any(message.may_fail or message.idempotency_key is not None for message in messages):
        return [_submit(connection, message, above) for message in messages]
    read = [_read(message) for message in messages]
    sound = [message for message in read if isinstance(message, NewMessage)]
    stored = iter(_submit_many(connection, sound, above))
    return [next(stored) if isinstance(message, NewMessage) else Submitted(0, error=message) for message in read]


def _read(message: NewMessage) -> NewMessage | PrxEmailError:
    """*message* with its content at hand, which can be read again; or what its content raises."""
    try:
        return message._replace(content=(b"".join(message.content),))
    except Exception as error:  # noqa: BLE001 - it is this message's alone
        return as_ours(error)


def _submit_many(connection: sqlite3.Connection, messages: Sequence[NewMessage], above: int) -> list[Submitted]:
    """Store messages together, or one by one when one of them is at fault."""
    connection.execute("SAVEPOINT submission")
    try:
        stored = [Submitted(outbox_id) for outbox_id in _insert_many(connection, messages, above)]
    except sqlite3.Error:
        raise  # the database's: the transaction is over
    except Exception:  # noqa: BLE001 - whatever it is, _submit finds out whose
        connection.execute("ROLLBACK TO submission")
        stored = []
    connection.execute("RELEASE submission")
    return stored if len(stored) == len(messages) else [_submit(connection, message, above) for message in messages]


def _submit(connection: sqlite3.Connection, message: NewMessage, above: int) -> Submitted:
    """Store one message.

    An error of its own (an attachment that grew, a key used for something else) undoes only this message.
    """
    connection.execute("SAVEPOINT submission")
    try:
        submitted = _submit_once(connection, message, above)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - it is this message's alone
        submitted = Submitted(0, error=as_ours(error))
    if submitted.duplicate or submitted.error is not None:
        connection.execute("ROLLBACK TO submission")
    connection.execute("RELEASE submission")
    return submitted


def _submit_once(connection: sqlite3.Connection, message: NewMessage, above: int) -> Submitted:
    """Store the message to know its fingerprint; the caller undoes that when an earlier one has the key."""
    key = message.idempotency_key
    outbox_id = insert(connection, message, above)
    if key is None:
        return Submitted(outbox_id)
    fingerprint = message.fingerprint()
    earlier = connection.execute(sql.FIND_KEY, (message.account, key)).fetchone()
    if earlier is None:
        connection.execute(sql.INSERT_KEY, (message.account, key, outbox_id, fingerprint))
        return Submitted(outbox_id)
    if earlier[1] != fingerprint:
        raise ValidationError(
            f"idempotency key {key!r} was used for other content: outbox message {earlier[0]}",
            hint="take a new key for a new message",
        )
    return Submitted(earlier[0], duplicate=True)


def insert(connection: sqlite3.Connection, message: NewMessage, above: int) -> int:
    """Store a new message, its content piece by piece; its id."""
    pieces = _pieces(message.content)
    head = next(pieces, b"")
    digest = hashlib.sha256(head)
    outbox_id = _next_id(connection, above)
    connection.execute(sql.INSERT_MESSAGE, _row(outbox_id, message, len(head), digest.hexdigest()))
    connection.executemany(sql.INSERT_RECIPIENT, _recipient_rows(outbox_id, message))
    first = outbox_id * PIECES_PER_MESSAGE
    connection.execute(sql.INSERT_PIECE, (first, head))
    size = len(head)
    for number, piece in enumerate(pieces, 1):
        connection.execute(sql.INSERT_PIECE, (first + number, piece))
        digest.update(piece)
        size += len(piece)
    if size > len(head):
        content = digest.hexdigest()
        connection.execute(sql.SET_SIZE, (size, content, _envelope_digest(outbox_id, message, content), outbox_id))
    return outbox_id


def _insert_many(connection: sqlite3.Connection, messages: Sequence[NewMessage], above: int) -> list[int]:
    """Store messages whose contents are small and at hand, one statement to a table: a batch is worth it."""
    first = _next_id(connection, above)
    contents = [b"".join(message.content) for message in messages]
    numbered = list(enumerate(messages, first))
    rows = (
        _row(outbox_id, message, len(content), content_digest(content))
        for (outbox_id, message), content in zip(numbered, contents, strict=True)
    )
    connection.executemany(sql.INSERT_MESSAGE, rows)
    recipients = (row for outbox_id, message in numbered for row in _recipient_rows(outbox_id, message))
    connection.executemany(sql.INSERT_RECIPIENT, recipients)
    pieces = (
        (outbox_id * PIECES_PER_MESSAGE + number, piece)
        for outbox_id, content in enumerate(contents, first)
        for number, piece in enumerate(_cut(content))
    )
    connection.executemany(sql.INSERT_PIECE, pieces)
    return [outbox_id for outbox_id, _ in numbered]


def _cut(content: bytes) -> list[bytes]:
    """*content* in pieces; an empty one has an empty piece."""
    if len(content) <= PIECE_BYTES:
        return [content]
    return [content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES)]


def _next_id(connection: sqlite3.Connection, above: int) -> int:
    last = connection.execute(sql.LAST_ID).fetchone()
    return max(int(last[0]) if last else 0, above) + 1


def _row(outbox_id: int, message: NewMessage, size_bytes: int, content: str) -> tuple[Any, ...]:
    return (outbox_id, message.account, message.sender, message.subject, message.created_at, message.due_at,
            message.expires_at, message.needs_smtputf8, size_bytes, content,
            _envelope_digest(outbox_id, message, content))  # fmt: skip


def _envelope_digest(outbox_id: int, message: NewMessage, content: str) -> str:
    addresses = enumerate(address for address, _ in message.recipients)
    return envelope_digest(outbox_id, message.sender, addresses, content)


def _recipient_rows(outbox_id: int, message: NewMessage) -> list[tuple[int, int, str, str]]:
    return [(outbox_id, number, address, kind) for number, (address, kind) in enumerate(message.recipients)]


def _pieces(content: Iterable[bytes]) -> Iterator[bytes]:
    """*content* cut into pieces of PIECE_BYTES, the last one shorter."""
    buffer = bytearray()
    for chunk in content:
        buffer += chunk
        while len(buffer) > PIECE_BYTES:
            yield bytes(buffer[:PIECE_BYTES])
            del buffer[:PIECE_BYTES]
    if buffer:
        yield bytes(buffer)
