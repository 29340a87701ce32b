"""Store new messages, or find the earlier ones with their idempotency keys, inside the caller's transaction."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from prx_email_cli.errors import PrxEmailError, as_ours
from prx_email_cli.outbox.digest import envelope_as_submitted
from prx_email_cli.outbox.messages import Caller, Content, NewMessage, Submitted
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.connection import keep_little
from prx_email_cli.outbox.sqlite.storing import (
    INSERT_MESSAGE,
    INSERT_PIECE,
    INSERT_RECIPIENT,
    LAST_ID,
    PIECE_BYTES,
    PIECES_PER_MESSAGE,
)

_BEYOND = 2**63  # no integer of SQLite's is larger

_Numbered = list[tuple[int, NewMessage]]
_Keys = dict[tuple[str, str], tuple[int, str]]


def submit_all(
    connection: sqlite3.Connection, messages: Sequence[NewMessage], above: int = 0, *, together: bool = False
) -> list[Submitted]:
    """Store new messages, or find the earlier ones with their idempotency keys; return an answer to each, in order.

    above: new ids are higher than this.  A message that cannot be stored is refused alone; *together*, it keeps
    all from being stored.
    """
    submitted, new, keys = _answers(connection, messages, above)
    if not (together and any(one.error is not None for one in submitted)):
        _insert(connection, new, keys)
    return submitted


def rehearse(connection: sqlite3.Connection, messages: Sequence[NewMessage]) -> list[Submitted]:
    """Answer as ``submit_all`` does, and store nothing."""
    return _answers(connection, messages, 0)[0]


def _answers(
    connection: sqlite3.Connection, messages: Sequence[NewMessage], above: int
) -> tuple[list[Submitted], _Numbered, _Keys]:
    """Return the answer to each message, those to be stored with their ids, and their keys."""
    next_id = _next_id(connection, above)
    new: _Numbered = []
    keys: _Keys = {}  # account and key -> id and fingerprint, of those that this call stores
    submitted: list[Submitted] = []
    for message in messages:
        try:
            _check_storable(message)
            earlier = _find_earlier(connection, message, keys)
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


def _check_storable(message: NewMessage) -> None:
    """Raise ValidationError for text that is not Unicode, or a time that SQLite cannot hold."""
    texts = message.account, message.sender, message.subject, message.idempotency_key or ""
    try:
        "".join([*texts, *(address for address, _ in message.recipients)]).encode()
    except UnicodeEncodeError as error:
        raise as_ours(error) from None
    if not all(-_BEYOND <= (time or 0) < _BEYOND for time in message.schedule):
        raise as_ours(OverflowError())


def _find_earlier(connection: sqlite3.Connection, message: NewMessage, keys: _Keys) -> Submitted | None:
    """Return the answer to a message whose idempotency key an earlier one has; None when none has."""
    key = message.idempotency_key
    if key is None:
        return None
    earlier = keys.get((message.account, key)) or connection.execute(sql.FIND_KEY, (message.account, key)).fetchone()
    if earlier is None:
        return _find_anonymised(connection, message, key)
    outbox_id, fingerprint = earlier
    return Submitted.again(message, outbox_id, fingerprint)


def _find_anonymised(connection: sqlite3.Connection, message: NewMessage, key: str) -> Submitted | None:
    """Return the answer to a message whose key is that of one without names; None when there is none."""
    if connection.execute(sql.PSEUDONYM_KEY).fetchone() == (None,):
        return None
    from prx_email_cli.outbox.sqlite.anonymising import pseudonyms  # on use

    of = pseudonyms(connection)
    hashed = key if of is None else of.idempotency_key(key)
    earlier = connection.execute(sql.FIND_KEY, (message.account, hashed)).fetchone()
    if of is None or earlier is None:
        return None
    outbox_id, fingerprint = earlier
    same = fingerprint == of.fingerprint(message.fingerprint)
    return Submitted.again(message, outbox_id, message.fingerprint if same else fingerprint)


def _insert(connection: sqlite3.Connection, new: _Numbered, keys: _Keys) -> None:
    """Insert messages with recipients, contents and keys, one statement to a table for the whole batch."""
    if any(message.content.size_bytes > PIECE_BYTES for _, message in new):
        keep_little(connection)
    connection.executemany(INSERT_MESSAGE, (_row(outbox_id, message) for outbox_id, message in new))
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
            for number, piece in enumerate(_pieces(message.content))
        ),
    )
    connection.executemany(
        sql.INSERT_KEY,
        ((account, key, outbox_id, fingerprint) for (account, key), (outbox_id, fingerprint) in keys.items()),
    )


def _next_id(connection: sqlite3.Connection, above: int) -> int:
    last = connection.execute(LAST_ID).fetchone()
    return max(int(last[0]) if last else 0, above) + 1


def _row(outbox_id: int, message: NewMessage) -> tuple[Any, ...]:
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


def _pieces(content: Content) -> Iterable[bytes]:
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
