"""The statements that claim messages and find what is due, each with a comment: from -> to, and under what guard."""

from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.outbox.relational.sql import BY_HAND, DUE

HEAD_BYTES = 16 * 1024  # a content up to so many is read with its claim: what is claimed ahead stays in memory

# Stores an idempotency key, in place of one that belonged to a deleted record.
INSERT_KEY = "INSERT OR REPLACE INTO idempotency (account, key, outbox_id, fingerprint) VALUES (?, ?, ?, ?)"

# Values are read as bytes or cast to their type: damage may have made them undecodable or of another type, and an error
# there would keep the run from all other messages.  The head of a large content is empty.
_HEAD = f"""
          CASE WHEN size_bytes <= {HEAD_BYTES}
               THEN (SELECT CAST(data AS BLOB) FROM content WHERE content.id = outbox.id * {PIECES_PER_MESSAGE})
               ELSE x'' END
"""

_RECIPIENTS = """
          CAST((SELECT json_group_array(json_array(CAST(number AS INTEGER), CAST(address AS TEXT),
                                                   CAST(status AS TEXT), uncertain IS NOT 0,
                                                   CASE status WHEN 'refused' THEN CAST(response AS TEXT) END))
                  FROM recipient WHERE outbox_id = outbox.id) AS BLOB)
"""

# What a claim returns, in the order in which ``claimed.claimed`` reads it.  A message's age is counted from its first
# attempt that is not before first_due_at, as a forced one may be.
_CLAIMED = """
          id, account, retries, next_attempt_at, first_due_at, expires_at, uncertain, claimed_as, claim, claimed_at,
          CAST(sender AS BLOB), CAST(subject AS BLOB), needs_smtputf8, size_bytes,
          (SELECT drained_seconds FROM ledger), CASE WHEN drained_from IS NULL AND first_due_at <= claimed_at
          THEN (SELECT drained_seconds FROM ledger) ELSE drained_from END,
          CAST(envelope_digest AS BLOB), CAST(content_digest AS BLOB), own_message_id IS NOT NULL, CAST(esmtp AS BLOB),
          {recipients}, {head}
"""

# What a drain takes now: what it may take, due and not expired.
_TAKEN_NEXT = f"{DUE} AND next_attempt_at <= :due_before AND (expires_at IS NULL OR expires_at > :now)"


def _by_class(search: str) -> str:
    """Join *search*, made for each class, the highest first: SQLite begins one when those before it gave too little."""
    return " UNION ALL ".join(f"SELECT * FROM ({search.format(priority=priority)})" for priority in Priority)


_DUE_OF_CLASS = f"SELECT id FROM outbox WHERE account = :account AND priority = '{{priority}}' AND {_TAKEN_NEXT}"

_NEXT_OF_CLASS = f"{_DUE_OF_CLASS} ORDER BY next_attempt_at, id LIMIT"

# Reads the id of the first message that CLAIM_NEXT would take, if index and row agree.
NEXT = f"{_by_class(f'{_NEXT_OF_CLASS} 1')} LIMIT 1"

# The Message-ID of an attempt: ``lifecycle.message_id_for_attempt``, here too because a function in Python would have
# the clerk wait for the interpreter at each message.
_MADE_ID = "'<outbox-' || id || '-' || retries || '@' || :domain || '>'"

_MESSAGE_ID = f"coalesce(own_message_id, CASE WHEN uncertain THEN message_id END, {_MADE_ID})"

# What a claim writes.  All else of the row stays, so that giving it back is exact.
_CLAIM = f"""
       status = 'sending', run_id = :run, claimed_at = :now, claim = json_extract(:numbers, '$[' || {{place}} || ']'),
       claimed_as = {_MESSAGE_ID}, claimed_by_hand = {{by_hand}}
"""

# One statement, so that two runs never take the same message.  The outer condition reads the row: a damaged index alone
# must not give a message that was sent or is held.
_CLAIM_NEXT = f"""
-- pending|failed -> sending: if due, and neither held, given up nor expired
WITH picked AS MATERIALIZED (SELECT id AS picked_id, row_number() OVER () - 1 AS place FROM ({{which}}))
UPDATE outbox SET {_CLAIM.format(place="place", by_hand=0)}
  FROM picked WHERE id = picked_id AND {_TAKEN_NEXT}
RETURNING {_CLAIMED}
"""

_CLAIM_ONE = f"""
-- pending|failed -> sending: the message that a person chose, also given up; due and not held, unless forced
UPDATE outbox SET {_CLAIM.format(place=0, by_hand=1)}
 WHERE {BY_HAND}
RETURNING {_CLAIMED}
"""

_READ = {"recipients": _RECIPIENTS, "head": _HEAD}

_UNREAD = {"recipients": "NULL", "head": "NULL"}  # to give up a message of which damage left only the row readable

# CLAIM_NEXT takes the next due messages, CLAIM_THIS the one of that id; ..._UNREAD leave recipients and content out.
CLAIM_NEXT = _CLAIM_NEXT.format(which=f"{_by_class(f'{_NEXT_OF_CLASS} :most')} LIMIT :most", **_READ)

CLAIM_THIS, CLAIM_THIS_UNREAD = (_CLAIM_NEXT.format(which="SELECT :id AS id", **read) for read in (_READ, _UNREAD))

CLAIM_ONE, CLAIM_ONE_UNREAD = (_CLAIM_ONE.format(**read) for read in (_READ, _UNREAD))

CLAIMED_BEFORE = f"""
-- reads a message that a dead run holds, as that run claimed it, without its content
SELECT {_CLAIMED.format(recipients=_RECIPIENTS, head="x''")} FROM outbox
 WHERE id = :id AND status = 'sending' AND run_id = :run
"""

# The due messages of one class as the index knows them, without those of :but, a JSON list of ids.
_DUE_BY_INDEX = f"""
SELECT id FROM outbox INDEXED BY outbox_due
 WHERE account = :account AND priority = '{{priority}}' AND {DUE} AND next_attempt_at <= :due_before
   AND id NOT IN (SELECT value FROM json_each(:but))
"""

NEXT_BY_INDEX = f"""
-- reads the id of the next due message from the index alone, which works beside unreadable rows
{_by_class(f"{_DUE_BY_INDEX} ORDER BY next_attempt_at, id LIMIT 1")} LIMIT 1
"""

# Counts due messages up to :limit, from the index alone.
COUNT_DUE_BY_INDEX = f"SELECT count(*) FROM ({_by_class(_DUE_BY_INDEX)} LIMIT :limit)"

# Reads a whole row; none where the index names a row that is not there.
ROW = "SELECT * FROM outbox WHERE id = ?"

OURS = """
-- reads which of these messages this run holds, each with its claim's number: one JSON list of pairs
SELECT json_group_array(json_array(id, CAST(claim AS INTEGER))) FROM outbox
 WHERE id IN (SELECT value FROM json_each(:ids)) AND status = 'sending' AND run_id = :run
"""

# Reads the ids of the messages that a run holds, from the index alone.
SENDING_BY_INDEX = "SELECT id FROM outbox INDEXED BY outbox_sending WHERE status = 'sending' AND run_id = ?"

NEXT_ACCOUNT = f"""
-- reads the first account after :after that has messages for drains, due or not: a step of a skip scan over outbox_due
SELECT account FROM outbox INDEXED BY outbox_due WHERE account > :after AND {DUE} ORDER BY account LIMIT 1
"""

COUNT_DUE = f"""
-- counts the messages that CLAIM_NEXT may take, up to :limit
SELECT count(*) FROM ({_by_class(_DUE_OF_CLASS)} LIMIT :limit)
"""

_NEXT_DUE_OF_CLASS = f"""
SELECT next_attempt_at FROM outbox INDEXED BY outbox_due
 WHERE account = :account AND priority = '{{priority}}' AND {DUE} ORDER BY next_attempt_at LIMIT 1
"""

NEXT_DUE_AT = f"""
-- reads when the account's next message is due, in Unix seconds, from the index alone; NULL when it has none for drains
SELECT min(next_attempt_at) FROM ({_by_class(_NEXT_DUE_OF_CLASS)})
"""

RECIPIENTS_OF_NEXT = f"""
-- counts the recipients that the message has left which CLAIM_NEXT would take
SELECT count(*) FROM recipient
 WHERE status = 'pending'
   AND outbox_id = ({NEXT})
"""


# Counts claims, in their transaction.
COUNT_CLAIMS = "UPDATE ledger SET generation = generation + ?"

# Sets the count of claims above the high-water mark: a restored backup is accepted.
SET_GENERATION = "UPDATE ledger SET generation = ?"

COUNT_ATTEMPTS = """
-- adds to the counts of attempts, which stay when prune deletes those
INSERT INTO attempted ({columns}) VALUES {rows}
    ON CONFLICT (account, outcome, code_class) DO UPDATE SET attempts = attempts + excluded.attempts
"""

# Notes when the latest attempt ended.
LATEST_ATTEMPT = "UPDATE ledger SET last_attempt_at = max(coalesce(last_attempt_at, :at), :at)"

# Reads when the latest attempt ended.
LATEST_ATTEMPT_AT = "SELECT last_attempt_at FROM ledger"

# Counts a message for another account than before.
COUNT_LESS = "UPDATE stored SET messages = messages - 1 WHERE account = ?"
COUNT_MORE = """
INSERT INTO stored (account, messages) VALUES (?, 1) ON CONFLICT (account) DO UPDATE SET messages = messages + 1
"""
