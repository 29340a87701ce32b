"""What storing new messages takes, whichever database stores them."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from prx_email_cli.errors import as_ours
from prx_email_cli.outbox import PIECE_BYTES
from prx_email_cli.outbox.digest import envelope_as_submitted
from prx_email_cli.outbox.messages import Caller, Content, NewMessage, Submitted
from prx_email_cli.outbox.relational import sql
from prx_email_cli.outbox.relational.database import Connection

_BEYOND = 2**63  # no integer of a database is larger

Numbered = list[tuple[int, NewMessage]]  # by id
Keys = dict[tuple[str, str], tuple[int, str]]  # account and key -> id and fingerprint, of what one call stores


def check_storable(message: NewMessage) -> None:
    """Raise ValidationError for text that is not Unicode, or a time that a database cannot hold."""
    texts = message.account, message.sender, message.subject, message.idempotency_key or ""
    try:
        "".join([*texts, *(address for address, _ in message.recipients)]).encode()
    except UnicodeEncodeError as error:
        raise as_ours(error) from None
    if not all(-_BEYOND <= (time or 0) < _BEYOND for time in message.schedule):
        raise as_ours(OverflowError())


def find_earlier(connection: Connection, message: NewMessage, keys: Keys) -> Submitted | None:
    """Return the answer to a message whose idempotency key an earlier one has; None when none has."""
    key = message.idempotency_key
    if key is None:
        return None
    earlier = keys.get((message.account, key)) or connection.execute(sql.FIND_KEY, (message.account, key)).fetchone()
    if earlier is None:
        return _find_anonymised(connection, message, key)
    outbox_id, fingerprint = earlier
    return Submitted.again(message, outbox_id, fingerprint)


def is_anonymising(connection: Connection) -> bool:
    """Tell whether there may be messages without names, whose idempotency keys are stored as pseudonyms."""
    return bool(connection.execute(sql.PSEUDONYM_KEY).fetchone() != (None,))


def _find_anonymised(connection: Connection, message: NewMessage, key: str) -> Submitted | None:
    """Return the answer to a message whose key is that of one without names; None when there is none."""
    if not is_anonymising(connection):
        return None
    from prx_email_cli.outbox.relational.anonymising import pseudonyms  # on use

    of = pseudonyms(connection)
    hashed = key if of is None else of.idempotency_key(key)
    earlier = connection.execute(sql.FIND_KEY, (message.account, hashed)).fetchone()
    if of is None or earlier is None:
        return None
    outbox_id, fingerprint = earlier
    same = fingerprint == of.fingerprint(message.fingerprint)
    return Submitted.again(message, outbox_id, message.fingerprint if same else fingerprint)


def row_of(outbox_id: int, message: NewMessage) -> tuple[Any, ...]:
    """Return the values of a new row of ``outbox``, in the order of the statements that insert it."""
    content, schedule = message.content, message.schedule
    envelope = envelope_as_submitted(outbox_id, message)
    first_due_at = schedule.due_at  # which stays, while the next attempt's time moves
    return (
        outbox_id, message.account, message.sender, message.subject, schedule.created_at, schedule.due_at,
        first_due_at, schedule.expires_at, message.needs_smtputf8, content.size_bytes, content.digest, envelope,
        message.priority, None if message.caller is None else _as_json(message.caller), message.own_message_id,
        message.esmtp and json.dumps(message.esmtp),
    )  # fmt: skip


@cache  # a batch has one for all its messages
def _as_json(caller: Caller) -> str:
    return json.dumps(caller._asdict())


def pieces(content: Content) -> Iterable[bytes]:
    """Cut *content* into pieces of PIECE_BYTES, the last one shorter; an empty one gives one empty piece."""
    if content.size_bytes <= PIECE_BYTES:
        return (b"".join(content.pieces),)
    return _cut(content.pieces)


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        if len(piece) == PIECE_BYTES and not buffer:  # as a spool gives it
            yield piece
            continue
        buffer += piece
        while len(buffer) >= PIECE_BYTES:
            yield bytes(buffer[:PIECE_BYTES])
            del buffer[:PIECE_BYTES]
    if buffer:
        yield bytes(buffer)
