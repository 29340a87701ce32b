"""Take content, names or everything from messages that ended, each in transactions that lock nobody out for long."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from prx_email_cli.mail.addresses import understood_mailboxes
from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.pseudonyms import Pseudonyms
from prx_email_cli.outbox.relational import anonymising, selecting, sql
from prx_email_cli.outbox.relational.database import Connection, Database
from prx_email_cli.outbox.relational.short_transactions import Enough, change_in_slices
from prx_email_cli.outbox.views import Drop, Prunable, Pruned, Pruning

LOOKED_UP_AT_ONCE = 5000  # messages

# Whether a recipient of a message has one of :addresses, a JSON list.
_TO = """
       EXISTS (SELECT 1 FROM recipient WHERE outbox_id = outbox.id
                  AND lower(address) IN (SELECT lower(value) FROM json_each(:addresses)))
"""
_GIVEN_UP = "status <> 'sending' AND gave_up IS NOT NULL"
# What may be pruned: messages that ended by :before, sent or given up, of which there is left what is to be dropped.
_PRUNABLE = f"""
       (status = 'sent' AND sent_at <= :before
        OR NOT :sent_only AND {_GIVEN_UP} AND created_at <= :before AND next_attempt_at <= :before)
       AND CASE :drop WHEN '{Drop.RECORD}' THEN TRUE WHEN '{Drop.NAMES}' THEN anonymised_at IS NULL
                ELSE pruned_at IS NULL OR pruning END
       AND (NOT :settled_only OR held_at IS NULL AND NOT uncertain)
"""
_AMONG = "id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))"

# Reads the ids of what may be pruned, in order.
PRUNABLE = f"SELECT id FROM {{matching}} AND id > :after AND {_PRUNABLE} AND {{chosen}} ORDER BY id LIMIT :limit"

# Reads the ids of what may be pruned among the messages from :after to :up_to.
PRUNABLE_WITHIN = f"""
SELECT id FROM outbox NOT INDEXED WHERE id > :after AND id <= :up_to AND {_PRUNABLE} ORDER BY id
"""

# Reads whether this message, which PRUNABLE read, may still be pruned.
STILL_PRUNABLE = f"SELECT 1 FROM outbox WHERE id = :id AND {_PRUNABLE}"

# Reads the ids of messages that have not ended.
UNFINISHED = f"SELECT id FROM {{matching}} AND status <> 'sent' AND NOT ({_GIVEN_UP}) AND {{chosen}} ORDER BY id"

# Deletes the last piece of one message's content; of a message that is being pruned a beginning is left.
DROP_LAST_PIECE = "DELETE FROM content WHERE id = (SELECT max(id) FROM content WHERE id >= :first AND id < :beyond)"

# Every status stays: the message has no content any more, or is losing it.
MARK_PRUNED = """
UPDATE outbox SET pruned_at = CASE WHEN pruned_at IS NULL OR pruning THEN :now ELSE pruned_at END,
       pruning = :unfinished
 WHERE id = :id
"""

# pending|failed|sent -> (none): a message that STILL_PRUNABLE read, with its recipients and attempts.
DROP_RECORD = "DELETE FROM outbox WHERE id = :id"

_KNOWN = """
SELECT id, sender, reply_to, recipients, copies FROM known
 WHERE learned_at <= :before AND account = coalesce(:account, account)
"""
_DROP_KNOWN = "DELETE FROM known WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"


class Step(NamedTuple):
    """What one transaction did: it is done with so many of the messages, and pruned so many of those."""

    done: int
    pruned: int


def prunable(database: Database, pruning: Pruning) -> Prunable:
    """Find what ``prune`` would take, and change nothing."""
    values = _values(database, pruning)
    ids = [outbox_id for batch in _batches(database, pruning, values) for outbox_id in batch]
    unfinished: list[int] = []
    if pruning.to is not None or pruning.ids:
        with database.reading() as connection:
            found = selecting.run(connection, _of(UNFINISHED, pruning), pruning.wanted, values)
            unfinished = [outbox_id for (outbox_id,) in found]
    return Prunable(ids, len(_known(database, pruning)), unfinished)


def prune(database: Database, pruning: Pruning) -> Pruned:
    """Prune as *pruning* says; return how many.  Raises what ``Database.change`` does."""
    values = _values(database, pruning)
    count = 0

    def step(connection: Connection, ids: Sequence[int], enough: Enough) -> int:
        nonlocal count
        done, pruned = prune_some(connection, ids, values, enough)
        count += pruned
        return done

    change_in_slices(database, _batches(database, pruning, values), step)
    known = _known(database, pruning)
    change_in_slices(database, [known], _drop_known)
    if pruning.drop is not Drop.CONTENT:
        change_in_slices(database, anonymising.keys_to_settle(database), anonymising.settle_keys)
    return Pruned(count, len(known))


def prune_some(connection: Connection, ids: Sequence[int], values: dict[str, Any], enough: Callable[[], bool]) -> Step:
    """Prune the first of the messages *ids*, at least a piece of one, until *enough* says so."""
    done = count = 0
    drop = values["drop"]
    for outbox_id in ids:
        if done and enough():
            break
        of_one = {**values, "id": outbox_id}
        connection.lock(outbox_id)
        if connection.execute(STILL_PRUNABLE, of_one).fetchone() is not None:
            unfinished = not _drop_content(connection, outbox_id, enough)
            if drop == Drop.RECORD and not unfinished:
                connection.execute(DROP_RECORD, of_one)
            else:
                connection.execute(MARK_PRUNED, {**of_one, "unfinished": unfinished})
            if unfinished:
                break
            if drop == Drop.NAMES:
                anonymising.anonymise(connection, outbox_id, values["now"])
            count += 1
        done += 1
    return Step(done, count)


def values_of(pruning: Pruning, pseudonyms: Pseudonyms | None) -> dict[str, Any]:
    """Return the values of the statements' parameters."""
    addresses = None
    if pruning.to is not None:
        forms = [pruning.to, pruning.to.casefold()]
        forms += [pseudonyms.address(pruning.to)] if pseudonyms is not None else []
        addresses = json.dumps(forms)
    return {
        "before": pruning.before, "now": pruning.now, "drop": pruning.drop, "sent_only": pruning.sent_only,
        "settled_only": pruning.settled_only, "addresses": addresses,
        "ids": json.dumps(pruning.ids) if pruning.ids else None,
    }  # fmt: skip


def _of(statement: str, pruning: Pruning) -> str:
    chosen = [_AMONG] * bool(pruning.ids) + [_TO] * (pruning.to is not None) or ["TRUE"]
    matching = selecting.matching(replace(pruning.wanted, whole=True))
    return statement.format(matching=matching, chosen=" AND ".join(chosen))


def _values(database: Database, pruning: Pruning) -> dict[str, Any]:
    with database.reading() as connection:
        return values_of(pruning, anonymising.pseudonyms(connection))


def _batches(database: Database, pruning: Pruning, values: dict[str, Any]) -> Iterator[list[int]]:
    """Yield the ids of what may be pruned; looking for them locks nobody out, however many messages it passes."""
    last, statement = 0, _of(PRUNABLE, pruning)
    while True:
        with database.reading() as connection:
            more = {**values, "after": last, "limit": LOOKED_UP_AT_ONCE}
            ids = [outbox_id for (outbox_id,) in selecting.run(connection, statement, pruning.wanted, more)]
        if not ids:
            return
        last = ids[-1]
        yield ids


def _drop_content(connection: Connection, outbox_id: int, enough: Callable[[], bool]) -> bool:
    """Delete pieces of a message, the last one first, until *enough* says so; tell whether none is left."""
    first = outbox_id * PIECES_PER_MESSAGE
    values = {"first": first, "beyond": first + PIECES_PER_MESSAGE}
    while connection.execute(DROP_LAST_PIECE, values).rowcount:
        if enough() and connection.execute(sql.HAS_PIECE, (first,)).fetchone() is not None:
            return False
    return True


def _known(database: Database, pruning: Pruning) -> list[int]:
    """Return the ids of the known messages that go, too."""
    if not pruning.of_known:
        return []
    with database.reading() as connection:
        found = connection.execute(_KNOWN, {"before": pruning.before, "account": pruning.wanted.account})
        return [known_id for known_id, *headers in found if pruning.to is None or _names(headers, pruning.to)]


def _names(headers: Sequence[str], address: str) -> bool:
    """Tell whether one of these address headers names *address*."""
    wanted = address.casefold()
    local = wanted.rpartition("@")[0]
    return any(
        mailbox.address.casefold() == wanted
        for header in headers
        if local in header.casefold()  # much faster than to understand it
        for mailbox in understood_mailboxes(header)
    )


def _drop_known(connection: Connection, ids: Sequence[int], enough: Enough) -> int:
    some = list(ids[:100])
    connection.execute(_DROP_KNOWN, (str(some),))
    return len(some)
