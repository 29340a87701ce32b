"""Put pseudonyms in the place of names, inside the caller's transaction.

An idempotency key is kept as a hash, by which ``send`` still recognises it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from prx_email_cli.outbox.pseudonyms import Names, Pseudonyms, new_key
from prx_email_cli.outbox.relational import sql
from prx_email_cli.outbox.relational.database import Connection, Database
from prx_email_cli.outbox.relational.short_transactions import Enough

KEYS_AT_ONCE = 5000

# Stores the key of the pseudonyms, once.
_MAKE_KEY = "UPDATE ledger SET pseudonym_key = ? WHERE pseudonym_key IS NULL"

# Reads what names somebody in a message and around it.
_MESSAGE = "SELECT sender, subject, message_id, own_message_id, acceptance, last_error FROM outbox WHERE id = ?"
_RECIPIENTS = "SELECT number, address, response FROM recipient WHERE outbox_id = ?"
_ATTEMPTS = "SELECT retries, message_id, response FROM attempt WHERE outbox_id = ?"
_ACTIONS = "SELECT id, detail FROM action WHERE outbox_id = ?"

# Every status stays: the message has no names any more.  Digests would confirm a guess.
_ANONYMISE = """
UPDATE outbox SET sender = ?, subject = ?, message_id = ?, own_message_id = ?, acceptance = ?, last_error = ?,
       enqueued_by = NULL, esmtp = NULL, envelope_digest = NULL, content_digest = NULL, anonymised_at = ?
 WHERE id = ?
"""
_OF_RECIPIENT = "UPDATE recipient SET address = ?, response = ? WHERE outbox_id = ? AND number = ?"
_OF_ATTEMPT = "UPDATE attempt SET message_id = ?, response = ?, dialogue = NULL WHERE outbox_id = ? AND retries = ?"
_OF_ACTION = "UPDATE action SET detail = ? WHERE id = ?"

_KEYS = """
-- reads idempotency keys in order, each with whether its message's record is there, and when that lost its names
SELECT idempotency.account, key, fingerprint, outbox.id, anonymised_at
  FROM idempotency LEFT JOIN outbox ON outbox.id = outbox_id
 WHERE (idempotency.account, key) > (?, ?) ORDER BY idempotency.account, key LIMIT ?
"""
_HASHED = re.compile(r"anonymised:[0-9a-f]{64}")

# Forgets the key of a record that was deleted.
_DROP_KEY = """
DELETE FROM idempotency WHERE account = ? AND key = ? AND NOT EXISTS (SELECT 1 FROM outbox WHERE id = outbox_id)
"""

# Hashes the key of a message without names.
_HASH_KEY = "UPDATE idempotency SET key = ?, fingerprint = ? WHERE account = ? AND key = ?"

# Forgets a hashed key, whose place another one takes.
_DROP_HASHED = "DELETE FROM idempotency WHERE account = ? AND key = ?"


class Key(NamedTuple):
    """An idempotency key that is to be forgotten, or to become a hash if *hashed*."""

    account: str
    key: str
    fingerprint: str
    hashed: bool


def made(connection: Connection) -> Pseudonyms:
    """Return the pseudonyms of this outbox; makes their key if there is none."""
    connection.execute(_MAKE_KEY, (new_key(),))
    return Pseudonyms(connection.execute(sql.PSEUDONYM_KEY).fetchone()[0])


def pseudonyms(connection: Connection) -> Pseudonyms | None:
    """Return the pseudonyms of this outbox; None if it never had any."""
    found = connection.execute(sql.PSEUDONYM_KEY).fetchone()
    return None if found is None or found[0] is None else Pseudonyms(found[0])


def anonymise(connection: Connection, outbox_id: int, now: int) -> None:
    """Put pseudonyms in the place of a message's names, and drop its dialogues."""
    of = made(connection)
    sender, subject, message_id, own_id, acceptance, last_error = connection.execute(_MESSAGE, (outbox_id,)).fetchone()
    recipients = connection.execute(_RECIPIENTS, (outbox_id,)).fetchall()
    names = Names(of, [sender, *(address for _, address, _ in recipients)], subject)
    connection.execute(
        _ANONYMISE,
        (
            of.address(sender), of.subject(subject), of.message_id(message_id), of.message_id(own_id),
            names.without(acceptance), names.without(last_error), now, outbox_id,
        ),
    )  # fmt: skip
    for number, address, response in recipients:
        connection.execute(_OF_RECIPIENT, (of.address(address), names.without(response), outbox_id, number))
    for retries, attempted_as, response in connection.execute(_ATTEMPTS, (outbox_id,)).fetchall():
        connection.execute(_OF_ATTEMPT, (of.message_id(attempted_as), names.without(response), outbox_id, retries))
    for action, detail in connection.execute(_ACTIONS, (outbox_id,)).fetchall():
        connection.execute(_OF_ACTION, (names.without(detail), action))


def keys_to_settle(database: Database) -> Iterator[list[Key]]:
    """Yield the idempotency keys of deleted records, and those of messages without names."""
    last = "", ""
    while True:
        with database.reading() as connection:
            found = connection.execute(_KEYS, (*last, KEYS_AT_ONCE)).fetchall()
        if not found:
            return
        last = found[-1][0], found[-1][1]
        yield [
            Key(account, key, fingerprint, hashed=outbox_id is not None)
            for account, key, fingerprint, outbox_id, anonymised_at in found
            if outbox_id is None or (anonymised_at is not None and _HASHED.fullmatch(key) is None)
        ]


def settle_keys(connection: Connection, keys: Sequence[Key], enough: Enough) -> int:
    """Forget or hash the first of these *keys*, until *enough* says so; return how many it is done with."""
    of = pseudonyms(connection)
    done = 0
    for account, key, fingerprint, hashed in keys:
        if done and enough():
            break
        if not hashed:
            connection.execute(_DROP_KEY, (account, key))
        elif of is not None:
            connection.execute(_DROP_HASHED, (account, of.idempotency_key(key)))
            connection.execute(_HASH_KEY, (of.idempotency_key(key), of.fingerprint(fingerprint), account, key))
        done += 1
    return done
