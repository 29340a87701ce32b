"""Store new messages, or find the earlier ones with their idempotency keys, inside the caller's transaction."""

from collections.abc import Iterator, Sequence

from prx_email_cli.errors import PrxEmailError, ValidationError
from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.messages import NewMessage, Submitted
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.many import as_json
from prx_email_cli.outbox.relational.storing import (
    Keys,
    Numbered,
    check_storable,
    find_earlier,
    is_anonymising,
    pieces,
    row_of,
)

_AT_ONCE_BYTES = 512 * 1024  # of contents, which are in memory until the server has taken them


def submit_all(
    connection: PostgresConnection,
    messages: Sequence[NewMessage],
    *,
    together: bool = False,
    rehearsal: bool = False,
    jump: int = 0,
) -> list[Submitted]:
    """Store new messages, or find the earlier ones with their idempotency keys; return an answer to each, in order.

    A message that cannot be stored is refused alone; *together*, it keeps all from being stored.  rehearsal: store
    nothing; the ids mean nothing.  jump: how far above the next ids those of the new messages are.
    """
    refused = [_refusal(message) for message in messages]
    wanted = [one for one, answer in zip(messages, refused, strict=True) if answer is None]
    known = _known(
        connection, sorted({(one.account, one.idempotency_key) for one in wanted if one.idempotency_key is not None})
    )
    anonymised = any(one.idempotency_key is not None for one in wanted) and is_anonymising(connection)
    stored = [
        answer or _earlier(connection, one, known, anonymised=anonymised)
        for one, answer in zip(messages, refused, strict=True)
    ]
    unknown = {
        (one.account, one.idempotency_key or number) for number, one in enumerate(messages) if not stored[number]
    }
    ids = iter(range(1, len(unknown) + 1) if rehearsal else _ids(connection, len(unknown), jump))
    new: Numbered = []
    keys: Keys = {}
    submitted: list[Submitted] = []
    for message, answer in zip(messages, stored, strict=True):
        before = keys.get((message.account, message.idempotency_key or ""))
        if answer is None and before is not None:
            answer = _again(message, *before)
        if answer is None:
            answer = Submitted(next(ids))
            new.append((answer.outbox_id, message))
            if message.idempotency_key is not None:
                keys[message.account, message.idempotency_key] = answer.outbox_id, message.fingerprint
        submitted.append(answer)
    if not rehearsal and not (together and any(one.error is not None for one in submitted)):
        _insert(connection, new, keys)
    return submitted


def _refusal(message: NewMessage) -> Submitted | None:
    """Return the answer to a message that no database, or not this one, can hold; None to others."""
    try:
        check_storable(message)
        _check_no_nul(message)
    except PrxEmailError as error:
        return Submitted(0, error=error)
    return None


def _known(connection: PostgresConnection, keys: Sequence[tuple[str, str]]) -> Keys:
    """Return the messages that have *keys*, which no other transaction can give to others until this one ends."""
    if not keys:
        return {}
    connection.executemany(sql.LOCK_KEY, keys)
    rows = as_json([{"account": account, "key": key} for account, key in keys])
    found = connection.execute(sql.FIND_KEYS, {"rows": rows})
    return {(account, key): (outbox_id, fingerprint) for account, key, outbox_id, fingerprint in found}


def _earlier(connection: PostgresConnection, message: NewMessage, known: Keys, *, anonymised: bool) -> Submitted | None:
    """Return the answer to a message that is stored already, or whose key another one has; None to one that is new.

    anonymised: there may be messages without names, whose keys cannot be read.
    """
    if not anonymised and (message.account, message.idempotency_key) not in known:
        return None
    try:
        return find_earlier(connection, message, known)
    except PrxEmailError as error:
        return Submitted(0, error=error)


def _again(message: NewMessage, earlier: int, fingerprint: str) -> Submitted:
    try:
        return Submitted.again(message, earlier, fingerprint)
    except PrxEmailError as error:
        return Submitted(0, error=error)


def _ids(connection: PostgresConnection, many: int, jump: int) -> list[int]:
    return sorted(outbox_id for (outbox_id,) in connection.execute(sql.NEXT_IDS, (jump, many)))


def _check_no_nul(message: NewMessage) -> None:
    """Raise ValidationError for a NUL character where it would be part of a name: PostgreSQL's texts cannot hold it."""
    texts = message.account, message.sender, message.idempotency_key or ""
    if "\0" in "".join([*texts, *(address for address, _ in message.recipients)]):
        raise ValidationError("the message's envelope or idempotency key has a NUL character", hint="remove it")


def _insert(connection: PostgresConnection, new: Numbered, keys: Keys) -> None:
    """Insert messages with recipients, contents and keys."""
    if not new:
        return
    messages = [dict(zip(sql.MESSAGE, row_of(*one), strict=True)) for one in new]
    recipients = [
        {"outbox_id": outbox_id, "number": number, "address": address, "kind": kind}
        for outbox_id, message in new
        for number, (address, kind) in enumerate(message.recipients)
    ]
    some = _some_pieces(new)
    with connection.pipeline():
        connection.execute(sql.INSERT_MESSAGES, {"rows": as_json(messages)})
        connection.execute(sql.INSERT_RECIPIENTS, {"rows": as_json(recipients)})
        if keys:
            connection.executemany(sql.INSERT_KEY, [(*named, *whose) for named, whose in keys.items()])
        connection.executemany(sql.INSERT_PIECE, next(some))
    for more in some:
        connection.executemany(sql.INSERT_PIECE, more)


def _some_pieces(new: Numbered) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the pieces of contents with their ids, _AT_ONCE_BYTES or a little more at once."""
    some: list[tuple[int, bytes]] = []
    size = 0
    for outbox_id, message in new:
        for number, piece in enumerate(pieces(message.content)):
            some.append((outbox_id * PIECES_PER_MESSAGE + number, piece))
            size += len(piece)
            if size >= _AT_ONCE_BYTES:
                yield some
                some, size = [], 0
    yield some
