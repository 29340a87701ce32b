"""Verify a PostgreSQL outbox: whether its rows keep the rules, and whether what is stored is what was submitted.

All of it is read in one moment of the database, which stays as it is; others change it meanwhile.
"""

import hashlib
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.digest import envelope_digest
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.sql import JUMP_OF_RESTORED
from prx_email_cli.outbox.views import Verified

MOST_FAULTS = 100
AT_ONCE = 200  # messages
PIECES_AT_ONCE = 16  # of contents, 4 MiB at most

BEGIN = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

_MESSAGES = """
SELECT id, sender, size_bytes, pruned_at, content_digest, envelope_digest FROM outbox WHERE id > ? ORDER BY id LIMIT ?
"""
_RECIPIENTS = """
SELECT outbox_id, number, address FROM recipient WHERE outbox_id BETWEEN ? AND ? ORDER BY outbox_id, number
"""
_PIECES = b"SELECT id, data FROM content WHERE id >= %s AND id < %s ORDER BY id"
_STATUSES = "SELECT status, count(*) FROM outbox GROUP BY status ORDER BY status"

# Reads each rule of the tables that is a CHECK, so that rows which a damaged server let pass are found.
_RULES = """
SELECT CAST(conrelid AS regclass), pg_get_expr(conbin, conrelid) FROM pg_constraint
 WHERE contype = 'c' AND connamespace = CAST(current_schema() AS regnamespace) AND conrelid <> 0 ORDER BY oid
"""
_BROKEN = "SELECT count(*) FROM {table} WHERE NOT ({rule})"
_ORPHANS = """
SELECT count(*) FROM {table}
 WHERE outbox_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = outbox_id)
"""
_LOST_PIECES = f"""
SELECT count(DISTINCT content.id / {PIECES_PER_MESSAGE}) FROM content
 WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = content.id / {PIECES_PER_MESSAGE})
"""
_COUNTS = """
SELECT account, coalesce(stored.messages, 0), coalesce(counted.messages, 0)
  FROM stored FULL JOIN (SELECT account, count(*) AS messages FROM outbox GROUP BY account) AS counted USING (account)
 WHERE coalesce(stored.messages, 0) <> coalesce(counted.messages, 0) ORDER BY account
"""
_NEXT_ID = f"""
SELECT max(id) FROM outbox
HAVING max(id) >= {JUMP_OF_RESTORED}
       + (SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM outbox_id)
"""


class _Message(NamedTuple):
    outbox_id: int
    sender: str
    size_bytes: int
    pruned_at: int | None
    content_digest: str | None
    envelope_digest: str | None


def verify(connection: PostgresConnection, progress: Callable[[int], None]) -> Verified:
    """Check everything in one transaction.  progress: is told of each step how many messages it took."""
    with connection.transaction():
        connection.execute_as_it_is(BEGIN)
        faults = list(_of_tables(connection))[:MOST_FAULTS]
        statuses = {str(status): int(count) for status, count in connection.execute(_STATUSES)}
        contents = envelopes = dropped = last = 0
        while len(faults) < MOST_FAULTS:
            found = [_Message(*row) for row in connection.execute(_MESSAGES, (last, AT_ONCE))]
            if not found:
                break
            last = found[-1].outbox_id
            contents += sum(one.pruned_at is None for one in found)
            dropped += sum(one.pruned_at is not None for one in found)
            envelopes += sum(one.envelope_digest is not None for one in found)
            faults += [f"outbox message {outbox_id}: {fault}" for outbox_id, fault in _of_messages(connection, found)]
            progress(len(found))
    return Verified(statuses, contents, dropped, envelopes, faults[:MOST_FAULTS])


def _of_tables(connection: PostgresConnection) -> Iterator[str]:
    for table, rule in connection.execute(_RULES).fetchall():
        count = connection.execute(_BROKEN.format(table=table, rule=rule)).fetchone()[0]
        if count:
            yield f"{count} rows of {table} break the rule {rule}"
    for table in ("recipient", "attempt", "action"):
        for _ in range(min(MOST_FAULTS, connection.execute(_ORPHANS.format(table=table)).fetchone()[0])):
            yield f"a row of {table} without its message"
    lost = connection.execute(_LOST_PIECES).fetchone()[0]
    if lost:
        yield f"{lost} contents without their message"
    for account, stored, counted in connection.execute(_COUNTS):
        yield f"{counted} messages of account {account} are stored, and {stored} are counted"
    if highest := connection.execute(_NEXT_ID).fetchone():
        yield f"the next id would not be above {highest[0]}, which was given already"


def _of_messages(connection: PostgresConnection, messages: list[_Message]) -> Iterator[tuple[int, str]]:
    first, last = messages[0].outbox_id, messages[-1].outbox_id
    rows = connection.execute(_RECIPIENTS, (first, last)).fetchall()
    recipients: dict[int, list[Any]] = {
        outbox_id: [(number, address) for _, number, address in some]
        for outbox_id, some in groupby(rows, itemgetter(0))
    }
    contents = {outbox_id: (size, digest) for outbox_id, size, digest in _contents(connection, first, last)}
    for one in messages:
        if one.envelope_digest is not None:
            addressed = recipients.get(one.outbox_id, [])
            envelope = envelope_digest(one.outbox_id, one.sender, addressed, one.content_digest or "")
            if one.envelope_digest != envelope:
                yield one.outbox_id, "its sender and recipients are not as submitted"
        if one.pruned_at is None:
            fault = _of_content(one, contents.get(one.outbox_id))
            if fault:
                yield one.outbox_id, fault


def _of_content(message: _Message, content: tuple[int, str] | None) -> str:
    if content is None:
        return "its content is missing"
    size, digest = content
    if message.content_digest is not None and message.content_digest != digest:
        return "its content is not as submitted"
    return "" if size == message.size_bytes else "its content has another size"


def _contents(connection: PostgresConnection, first: int, last: int) -> Iterator[tuple[int, int, str]]:
    """Yield of each stored content the message's id, its size in bytes and its digest."""
    with connection.connection.cursor(name="contents", binary=True) as cursor:
        cursor.itersize = PIECES_AT_ONCE
        cursor.execute(_PIECES, (first * PIECES_PER_MESSAGE, (last + 1) * PIECES_PER_MESSAGE))
        for outbox_id, pieces in groupby(cursor, lambda row: int(row[0]) // PIECES_PER_MESSAGE):
            digest, size = hashlib.sha256(), 0
            for _, piece in pieces:
                digest.update(piece)
                size += len(piece)
            yield outbox_id, size, digest.hexdigest()
