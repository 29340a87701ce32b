"""The statements that claim messages and find what is due, each with a comment: from -> to, and under what guard."""

from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.outbox.postgres.clock import SAID
from prx_email_cli.outbox.postgres.many import rows_of
from prx_email_cli.outbox.postgres.schema import HERE
from prx_email_cli.outbox.relational.accounts import IS_PAUSED
from prx_email_cli.outbox.relational.sql import BY_HAND, DUE

HEAD_BYTES = 16 * 1024  # a content up to so many is read with its claim: what is claimed ahead stays in memory

# The columns of a new message in the order of ``storing.row_of``, and of its recipients, with their types.
MESSAGE = {
    "id": "BIGINT", "account": "TEXT", "sender": "TEXT", "subject": "TEXT", "created_at": "BIGINT",
    "next_attempt_at": "BIGINT", "first_due_at": "BIGINT", "expires_at": "BIGINT", "needs_smtputf8": "BOOLEAN",
    "size_bytes": "BIGINT", "content_digest": "TEXT", "envelope_digest": "TEXT", "priority": "TEXT",
    "enqueued_by": "TEXT", "own_message_id": "TEXT", "esmtp": "TEXT",
}  # fmt: skip
RECIPIENT = {"outbox_id": "BIGINT", "number": "BIGINT", "address": "TEXT", "kind": "TEXT"}

# (none) -> pending: new messages.
INSERT_MESSAGES = f"INSERT INTO outbox ({', '.join(MESSAGE)}) {rows_of('rows', MESSAGE)}"

# (none) -> pending: recipients of new messages.
INSERT_RECIPIENTS = f"INSERT INTO recipient ({', '.join(RECIPIENT)}) {rows_of('rows', RECIPIENT)}"

# Stores one piece of a new message's content.
INSERT_PIECE = "INSERT INTO content (id, data) VALUES (?, ?)"

# By how much the ids of a restored backup jump: above those of messages that are lost because they came after it.
JUMP = 100_000
JUMP_OF_RESTORED = f"CASE WHEN (SELECT place FROM ledger) <> {HERE} THEN {JUMP} ELSE 0 END"

# Gives ids to new messages, so much above the next ones; no other transaction gets them.
NEXT_IDS = "SELECT nextval('outbox_id') + ? FROM generate_series(1, ?)"

FIND_KEYS = f"""
-- reads which messages have some idempotency keys; none once a message's record is deleted
SELECT idempotency.account, idempotency.key, outbox_id, fingerprint
  FROM ({rows_of("rows", {"account": "TEXT", "key": "TEXT"})}) AS wanted
       JOIN idempotency USING (account, key) JOIN outbox ON outbox.id = outbox_id
"""

INSERT_KEY = """
-- stores an idempotency key, in place of one that belonged to a deleted record; none where another one has it
INSERT INTO idempotency (account, key, outbox_id, fingerprint) VALUES (?, ?, ?, ?)
    ON CONFLICT (account, key) DO UPDATE SET outbox_id = excluded.outbox_id, fingerprint = excluded.fingerprint
     WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE id = idempotency.outbox_id)
RETURNING outbox_id
"""

# Keeps others from storing a message with this idempotency key until this transaction ends.
LOCK_KEY = "SELECT pg_advisory_xact_lock(hashtextextended(? || chr(1) || ?, 0))"

# Keeps others from changing this message until this transaction ends.
LOCK_MESSAGE = "SELECT 1 FROM outbox WHERE id = ? FOR UPDATE"

# Keeps others from claiming for this account, whose limits count, until this transaction ends.
LOCK_LIMITS = "SELECT pg_advisory_xact_lock(hashtextextended(chr(2) || ?, 0))"

# Keeps others from changing what is known of accounts until this transaction ends.
LOCK_ACCOUNTS = "LOCK TABLE account_state IN SHARE ROW EXCLUSIVE MODE"

_HEAD = f"""
          CASE WHEN size_bytes <= {HEAD_BYTES}
               THEN (SELECT data FROM content WHERE content.id = outbox.id * {PIECES_PER_MESSAGE}) ELSE '' END
"""
_RECIPIENTS = """
          (SELECT convert_to(CAST(json_agg(json_build_array(number, address, recipient.status, recipient.uncertain,
                                  CASE recipient.status WHEN 'refused' THEN response END)) AS TEXT), 'UTF8')
             FROM recipient WHERE outbox_id = outbox.id)
"""
# What a claim returns, in the order in which ``claimed.claimed`` reads it.
_CLAIMED = """
          id, account, retries, next_attempt_at, first_due_at, expires_at, uncertain, claimed_as, claim, claimed_at,
          convert_to(sender, 'UTF8'), convert_to(subject, 'UTF8'), needs_smtputf8, size_bytes,
          (SELECT drained_seconds FROM ledger WHERE id = 1),
          CASE WHEN drained_from IS NULL AND first_due_at <= claimed_at
          THEN (SELECT drained_seconds FROM ledger WHERE id = 1) ELSE drained_from END,
          convert_to(envelope_digest, 'UTF8'), convert_to(content_digest, 'UTF8'), own_message_id IS NOT NULL,
          convert_to(esmtp, 'UTF8'), {recipients}, {head}
"""
_READ = {"recipients": _RECIPIENTS, "head": _HEAD}

# What a drain takes now: what it may take, due and not expired.
_TAKEN_NEXT = f"{DUE} AND next_attempt_at <= :due_before AND (expires_at IS NULL OR expires_at > :now)"
_OF_CLASS = "SELECT id FROM outbox WHERE account = :account AND priority = '{priority}' AND " + _TAKEN_NEXT


def _by_class(search: str) -> str:
    """Join *search*, made for each class, the highest first."""
    return " UNION ALL ".join(f"(SELECT * FROM ({search.format(priority=priority)}) AS one)" for priority in Priority)


# The Message-ID of an attempt: ``lifecycle.message_id_for_attempt``.
_MADE_ID = "'<outbox-' || id || '-' || retries || '@' || :domain || '>'"
_MESSAGE_ID = f"coalesce(own_message_id, CASE WHEN uncertain THEN message_id END, {_MADE_ID})"
# What a claim writes.  All else of the row stays, so that giving it back is exact.
_CLAIM = f"""
       status = 'sending', run_id = :run, claimed_at = :now, claimed_as = {_MESSAGE_ID},
       claim = CAST(CAST(:numbers AS jsonb) ->> {{place}} AS BIGINT), claimed_by_hand = {{by_hand}}
"""


_FOUND_OF_CLASS = _OF_CLASS + " ORDER BY next_attempt_at, id LIMIT :most FOR UPDATE SKIP LOCKED"

# Has this transaction find its rows by their indexes, by plans made once, however wrong the server's statistics are:
# where it takes all messages for sent ones, or all for due ones, it would read every row to find one.
BY_INDEX = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', TRUE)"
    for name, value in {
        "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off",
        "enable_sort": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
    }.items()
)  # fmt: skip

# The same for a session that does nothing but look for what is due.
ALWAYS_BY_INDEX = BY_INDEX.replace("TRUE", "FALSE")

CLAIM_NEXT = f"""
-- pending|failed -> sending: if due, and neither held, given up, expired nor paused; the highest class first; what
-- others are claiming is passed by
WITH found AS MATERIALIZED (
         SELECT id FROM ({_by_class(_FOUND_OF_CLASS)}) AS each
          WHERE NOT EXISTS ({IS_PAUSED}) LIMIT :most),
     picked AS (SELECT id AS picked_id, CAST(row_number() OVER () - 1 AS INTEGER) AS place FROM found)
UPDATE outbox SET {_CLAIM.format(place="place", by_hand="FALSE")}
  FROM picked WHERE id = picked_id
RETURNING {_CLAIMED.format(**_READ)}
"""

CLAIM_ONE = f"""
-- pending|failed -> sending: the message that a person chose, also given up; due and not held, unless forced
UPDATE outbox SET {_CLAIM.format(place=0, by_hand="TRUE")}
 WHERE {BY_HAND}
RETURNING {_CLAIMED.format(**_READ)}
"""

CLAIMED_BEFORE = f"""
-- reads a message that a dead run holds, as that run claimed it, without its content
SELECT {_CLAIMED.format(recipients=_RECIPIENTS, head="CAST('' AS BYTEA)")} FROM outbox
 WHERE id = :id AND status = 'sending' AND run_id = :run
"""

OURS = """
-- reads which of these messages this run holds, each with its claim's number: one JSON list of pairs
SELECT CAST(coalesce(jsonb_agg(jsonb_build_array(id, claim)), '[]') AS TEXT) FROM
       (SELECT id, claim FROM outbox
         WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids)) AND status = 'sending' AND run_id = :run
           FOR UPDATE) AS held
"""

NEXT_ACCOUNT = f"""
-- reads the first account after :after that has messages for drains, due or not: a step of a skip scan over outbox_due
SELECT account FROM outbox WHERE account > :after AND {DUE}
 ORDER BY account, priority, next_attempt_at LIMIT 1
"""

COUNT_DUE = f"""
-- counts the messages that CLAIM_NEXT may take, up to :limit
SELECT count(*) FROM ({_by_class(_OF_CLASS + " ORDER BY next_attempt_at, id")} LIMIT :limit) AS found
"""

_NEXT_DUE_OF_CLASS = f"""
SELECT next_attempt_at FROM outbox
 WHERE account = :account AND priority = '{{priority}}' AND {DUE} ORDER BY next_attempt_at LIMIT 1
"""

_NEXT_DUE_OF_NAMED = _NEXT_DUE_OF_CLASS.replace(":account", "named.account")

NEXT_DUE_AT = f"""
-- reads when the account's next message is due, in Unix seconds; NULL when it has none for drains
SELECT min(next_attempt_at) FROM ({_by_class(_NEXT_DUE_OF_CLASS)}) AS each
"""

RECIPIENTS_OF_NEXT = f"""
-- counts the recipients that the message has left which CLAIM_NEXT would take
SELECT count(*) FROM recipient
 WHERE status = 'pending'
   AND outbox_id = ({_by_class(_OF_CLASS + " ORDER BY next_attempt_at, id LIMIT 1")} LIMIT 1)
"""

COUNT_ATTEMPTS = """
-- adds to the counts of attempts, which stay when prune deletes those
INSERT INTO attempted_slot ({columns}) VALUES {rows}
    ON CONFLICT (account, outcome, code_class, slot)
    DO UPDATE SET attempts = attempted_slot.attempts + excluded.attempts,
                  latest_at = greatest(attempted_slot.latest_at, excluded.latest_at)
"""

# Reads which outbox this is, where it was, where it is, and where it went.
LEDGER = f"SELECT identity, place, {HERE}, moved_to FROM ledger"

# Notes where the outbox is: a restored backup is accepted.
SET_PLACE = f"UPDATE ledger SET place = {HERE}"

# Lets ids go on above those that the restored backup gave; one jump more, for those who give some at this moment.
RAISE_IDS = f"SELECT setval('outbox_id', nextval('outbox_id') + 2 * {JUMP})"

# Reads whether a run has recorded this attempt.
ATTEMPT_OF_RUN = "SELECT 1 FROM attempt WHERE outbox_id = ? AND retries = ? AND run_id = ? AND outcome <> 'died'"

# Begins a run: it is dead unless its session holds the lock of its number.
NEXT_RUN = "SELECT nextval('run_number')"
LOCK_RUN = "SELECT pg_advisory_lock(?, ?)"
UNLOCK_RUN = "SELECT pg_advisory_unlock(?, ?)"
INSERT_RUN = "INSERT INTO run (run_id, number, started_at, host) VALUES (?, ?, ?, ?)"

# Ends a run.
DELETE_RUN = (
    "DELETE FROM run WHERE run_id = ? AND NOT EXISTS (SELECT 1 FROM outbox WHERE status = 'sending' AND run_id = ?)"
)

_LIVING = """
number IN (SELECT CAST(objid AS BIGINT) FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = CAST(:class AS OID)
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

# Reads the runs, and of each whether its session lives.
RUNS = f"SELECT run_id, {_LIVING} FROM run"

# Notes when somebody first saw that a run had died, and reads that and whose it was.
NOTE_DEATH = "UPDATE run SET died_at = coalesce(died_at, :now) WHERE run_id = :run RETURNING died_at, host, number"

# Keeps others from recovering the same run, until this transaction ends; tells whether that is so.
TRY_RECOVERING = "SELECT pg_try_advisory_xact_lock(?, ?)"

# Forgets the runs that died and hold nothing.
CLEAR_DEAD = """
DELETE FROM run WHERE run_id IN (SELECT value FROM json_each(:dead))
   AND NOT EXISTS (SELECT 1 FROM outbox WHERE status = 'sending' AND outbox.run_id = run.run_id)
"""

# Notes when a drain ended and what started it.
NOTE_DRAIN = "UPDATE ledger SET last_drain_at = ?, last_drain_by = ?"
LAST_DRAIN = "SELECT last_drain_at, coalesce(last_drain_by, '') FROM ledger"

# Notes that a person is told that nothing drains, if none was told within :seconds.
NOTE_TOLD = """
UPDATE ledger SET undrained_told_at = :now
 WHERE undrained_told_at IS NULL
    OR undrained_told_at NOT BETWEEN CAST(:now AS BIGINT) - CAST(:seconds AS BIGINT) + 1 AND :now
"""

# Reads what people were told lately, and keeps others from telling until the transaction ends; and notes it.
READ_TOLD = "SELECT coalesce(told, '') FROM ledger FOR UPDATE"
WRITE_TOLD = "UPDATE ledger SET told = ?"

# Reads and notes how far tidying came.
READ_NOTE = "SELECT coalesce(tidied, '') FROM ledger"
WRITE_NOTE = "UPDATE ledger SET tidied = ?"

# The lock of one of an account's connections.
_SLOT = "hashtextextended(chr(3) || {account} || chr(1) || {number}, 0)"

TAKE_SLOT = f"""
-- takes the first of :most connections of :account that nobody has; :ours, a JSON list, would be given to us once more
SELECT number FROM generate_series(1, CAST(:most AS INTEGER)) AS number
 WHERE CASE WHEN number IN (SELECT CAST(value AS INTEGER) FROM json_each(:ours)) THEN FALSE
            ELSE pg_try_advisory_lock({_SLOT.format(account=":account", number="number")}) END
 LIMIT 1
"""

# Gives a connection of an account back.
FREE_SLOT = f"SELECT pg_advisory_unlock({_SLOT.format(account='?', number='?')})"

# Keeps other machines from renewing the tokens of this login until the session ends.
LOCK_LOGIN = "SELECT pg_advisory_lock(hashtextextended(chr(4) || ?, 0))"

# Reads what is kept under a name: tokens, encrypted.
READ_TOKENS = "SELECT sealed FROM oauth_token WHERE name = ?"

KEEP_TOKENS = """
-- keeps encrypted tokens in place of those that were there :before, or of :any
INSERT INTO oauth_token (name, sealed) VALUES (:name, CAST(:sealed AS BYTEA))
    ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed
     WHERE CAST(:any AS BOOLEAN) OR oauth_token.sealed = CAST(:before AS BYTEA)
"""

# Reads whether there are tokens of a login, whatever they were got from.
HAS_TOKENS = "SELECT 1 FROM oauth_token WHERE starts_with(name, ? || '-') LIMIT 1"

# Forgets the tokens of a login, whatever they were got from.
REMOVE_TOKENS = "DELETE FROM oauth_token WHERE starts_with(name, ? || '-')"

CHANNEL = "prx_email"

# Tells followers that something may be to do.  Not inside a change: a COMMIT that tells makes all others that tell wait
# until it is on the disk, and this one changes nothing that would have to be there.
TELL_OTHERS = f"SELECT pg_notify('{CHANNEL}', '')"

# Reads the number of this transaction, and the time.
NUMBER_OF_TRANSACTION = f"SELECT CAST(pg_current_xact_id() AS TEXT), {SAID}"

# Reads whether the transaction of this number is durable.
STATUS_OF_TRANSACTION = "SELECT pg_xact_status(CAST(? AS xid8))"

# Tells the session that listens to this channel of its own.
PROVE = "SELECT pg_notify(:channel, '')"

LOOK = f"""
-- reads what a follower is not told of: whether a round is to be made, since something is due, a run died or an account
-- fails; whether messages are being sent; the time.  Notes that drains run, if :by is given and nobody has for a minute
WITH RECURSIVE clock AS MATERIALIZED (SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT) AS now),
     noted AS (UPDATE ledger SET last_drain_at = (SELECT now FROM clock), last_drain_by = CAST(:by AS TEXT)
                WHERE CAST(:by AS TEXT) IS NOT NULL AND last_drain_at NOT BETWEEN (SELECT now FROM clock) - 60
                                                                              AND (SELECT now FROM clock)),
     named AS ((SELECT account FROM outbox WHERE {DUE} ORDER BY account LIMIT 1) UNION ALL
               SELECT (SELECT account FROM outbox WHERE account > named.account AND {DUE}
 ORDER BY account, priority, next_attempt_at LIMIT 1)
                 FROM named WHERE named.account IS NOT NULL),
     alone AS (SELECT account, paused_at IS NOT NULL AS paused FROM account_state, clock
                WHERE (paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > now)) OR rests_until > now),
     held AS (SELECT DISTINCT run_id FROM outbox WHERE status = 'sending' ORDER BY run_id)
SELECT EXISTS (SELECT 1 FROM held WHERE run_id NOT IN (SELECT run_id FROM run WHERE {_LIVING}))
       OR (SELECT id FROM outbox WHERE expires_at <= (SELECT now FROM clock) AND {DUE}
            ORDER BY expires_at LIMIT 1) IS NOT NULL
       OR EXISTS (SELECT 1 FROM account_state WHERE failing_since IS NOT NULL)
       OR EXISTS (SELECT 1 FROM named WHERE account NOT IN (SELECT account FROM alone)
                     AND NOT EXISTS (SELECT 1 FROM alone WHERE account = '' AND paused)
                     AND (SELECT min(next_attempt_at) FROM ({_by_class(_NEXT_DUE_OF_NAMED)}) AS each)
                         <= (SELECT now FROM clock)),
       EXISTS (SELECT 1 FROM held), {SAID}
"""
