"""Verify an outbox: whether the database is intact, and whether what is stored is what was submitted."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.digest import envelope_digest
from prx_email_cli.outbox.views import Verified

MOST_FAULTS = 100
AT_ONCE = 200  # messages: so long one moment of the outbox is held
_SINCE_DIGESTS = 2  # the schema with which they came

_MESSAGES = """
SELECT id, CAST(sender AS BLOB), size_bytes, pruned_at, CAST(content_digest AS BLOB), CAST(envelope_digest AS BLOB)
  FROM outbox WHERE id > ? ORDER BY id LIMIT ?
"""
_RECIPIENTS = "SELECT number, CAST(address AS BLOB) FROM recipient WHERE outbox_id = ? ORDER BY number"
_PIECES = "SELECT CAST(data AS BLOB) FROM content WHERE id >= ? AND id < ? ORDER BY id"
_STATUSES = "SELECT status, count(*) FROM outbox GROUP BY status ORDER BY status"

Reading = Callable[[], AbstractContextManager[sqlite3.Connection]]


class _Message(NamedTuple):
    outbox_id: int
    sender: bytes
    size_bytes: int
    pruned_at: int | None
    content_digest: bytes | None
    envelope_digest: bytes | None


def verify(reading: Reading, progress: Callable[[int], None]) -> Verified:
    """Check everything.  progress: is told of each step how many messages it took.

    reading: yields the database; between two calls others may change it.
    """
    faults: list[str] = []
    with reading() as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        faults += _of_database(connection)
        if faults:
            return Verified({}, 0, 0, 0, faults)
        statuses = dict(connection.execute(_STATUSES).fetchall())
    contents = envelopes = dropped = 0
    for outbox_id, had_content, had_envelope, found in _messages(reading, version, progress):
        contents += had_content
        envelopes += had_envelope
        dropped += not had_content
        faults += [f"outbox message {outbox_id}: {fault}" for fault in found]
        if len(faults) >= MOST_FAULTS:
            break
    return Verified(statuses, contents, dropped, envelopes, faults[:MOST_FAULTS])


def _of_database(connection: sqlite3.Connection) -> list[str]:
    faults = [str(fault) for (fault,) in connection.execute(f"PRAGMA integrity_check({MOST_FAULTS})")]
    faults += [f"a row of {table} without its message" for table, *_ in connection.execute("PRAGMA foreign_key_check")]
    return [fault for fault in faults if fault != "ok"]


def _messages(
    reading: Reading, version: int, progress: Callable[[int], None]
) -> Iterator[tuple[int, bool, bool, list[str]]]:
    """Yield of each message its id, whether content and envelope were verified, and what is wrong with it."""
    last = 0
    while version >= _SINCE_DIGESTS:
        with reading() as connection:
            connection.execute("BEGIN")
            try:
                found = [_Message(*row) for row in connection.execute(_MESSAGES, (last, AT_ONCE))]
                answers = [_checked(connection, message) for message in found]
            finally:
                connection.execute("ROLLBACK")
        if not found:
            return
        last = found[-1].outbox_id
        yield from answers
        progress(len(found))


def _checked(connection: sqlite3.Connection, message: _Message) -> tuple[int, bool, bool, list[str]]:
    faults = []
    has_content, has_envelope = message.pruned_at is None, message.envelope_digest is not None
    if has_envelope and message.envelope_digest != _envelope(connection, message).encode():
        faults.append("its sender and recipients are not as submitted")
    if has_content:
        faults += _of_content(connection, message)
    return message.outbox_id, has_content, has_envelope, faults


def _envelope(connection: sqlite3.Connection, message: _Message) -> str:
    recipients: list[Any] = [
        (number, address.decode("utf-8", "surrogateescape"))
        for number, address in connection.execute(_RECIPIENTS, (message.outbox_id,))
    ]
    sender = message.sender.decode("utf-8", "surrogateescape")
    content = (message.content_digest or b"").decode("ascii", "replace")
    return envelope_digest(message.outbox_id, sender, recipients, content)


def _of_content(connection: sqlite3.Connection, message: _Message) -> list[str]:
    first = message.outbox_id * PIECES_PER_MESSAGE
    digest, size, pieces = hashlib.sha256(), 0, 0
    for (piece,) in connection.execute(_PIECES, (first, first + PIECES_PER_MESSAGE)):
        digest.update(piece)
        size, pieces = size + len(piece), pieces + 1
    if not pieces:
        return ["its content is missing"]
    if message.content_digest is not None and message.content_digest != digest.hexdigest().encode():
        return ["its content is not as submitted"]
    return [] if size == message.size_bytes else ["its content has another size"]
