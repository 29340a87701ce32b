"""The statements that move messages, each with a comment: from -> to, and under what guard."""

from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.outbox.sqlite.storing import PIECES_PER_MESSAGE

HEAD_BYTES = 16 * 1024  # a content up to so many is read with its claim: what is claimed ahead stays in memory

# What drains may take, now or later: pending|failed, neither held nor given up.  These are the words of the partial
# index outbox_due, which SQLite uses only for statements that repeat them.
DUE = """
       status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
"""

FIND_KEY = """
-- reads the message that an idempotency key belongs to; none once the message's record is deleted
SELECT outbox_id, fingerprint FROM idempotency JOIN outbox ON outbox.id = outbox_id
 WHERE idempotency.account = ? AND key = ?
"""

# Reads the key of the pseudonyms, NULL before its first use.
PSEUDONYM_KEY = "SELECT pseudonym_key FROM ledger"

# Stores an idempotency key, in place of one that belonged to a deleted record.
INSERT_KEY = "INSERT OR REPLACE INTO idempotency (account, key, outbox_id, fingerprint) VALUES (?, ?, ?, ?)"

# What a person's retry may take: pending|failed, also given up, with its content; due and not held, unless forced.
_BY_HAND = """
       id = :id AND status IN ('pending', 'failed') AND pruned_at IS NULL
       AND (:force OR (held_at IS NULL AND next_attempt_at <= :now))
"""

# Reads the account of the message that CLAIM_ONE would take.
CLAIMABLE = f"SELECT account FROM outbox WHERE {_BY_HAND}"

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
 WHERE {_BY_HAND}
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

# Reads whether there is such a piece of content.
HAS_PIECE = "SELECT 1 FROM content WHERE id = ?"

OURS = """
-- reads which of these messages this run holds, each with its claim's number: one JSON list of pairs
SELECT json_group_array(json_array(id, CAST(claim AS INTEGER))) FROM outbox
 WHERE id IN (SELECT value FROM json_each(:ids)) AND status = 'sending' AND run_id = :run
"""

FINALIZE = """
-- sending -> sent|failed: each whose claim this run still holds
WITH ended ({columns}) AS (VALUES {rows})
UPDATE outbox SET status = ended.status, run_id = NULL, claimed_at = NULL, claim = NULL, claimed_as = NULL,
       claimed_by_hand = 0, message_id = ended.message_id, retries = ended.retries,
       drained_from = coalesce(outbox.drained_from, ended.drained_from), next_attempt_at = ended.next_attempt_at,
       gave_up = ended.gave_up, told_at = CASE WHEN ended.gave_up IS outbox.gave_up THEN told_at END,
       uncertain = ended.uncertain, sent_at = ended.sent_at,
       held_at = CASE WHEN ended.sent_at THEN NULL WHEN ended.held THEN coalesce(held_at, ended.now) ELSE held_at END,
       acceptance = coalesce(ended.acceptance, outbox.acceptance), last_error = ended.last_error,
       error_code = ended.error_code, by_account = ended.by_account, dismissed_at = NULL
  FROM ended
 WHERE outbox.id = ended.id AND outbox.status = 'sending' AND run_id = ended.run AND outbox.claim = ended.claim
"""

# Every failure raises retries, so without one the message was pending.
GIVE_BACK = """
-- sending -> pending|failed, as before the claim: if this run still holds this claim
UPDATE outbox SET status = CASE WHEN retries = 0 THEN 'pending' ELSE 'failed' END, run_id = NULL, claimed_at = NULL,
       claim = NULL, claimed_as = NULL, claimed_by_hand = 0
 WHERE id = :id AND status = 'sending' AND run_id = :run AND claim = :claim
"""

SETTLE_RECIPIENTS = """
-- pending|refused -> pending|accepted|refused: by the server's answer, if not accepted yet; uncertain until accepted
WITH answer ({columns}) AS (VALUES {rows})
UPDATE recipient SET status = answer.status, code = answer.code, response = answer.response,
       uncertain = CASE WHEN answer.status = 'accepted' THEN 0 ELSE max(recipient.uncertain, answer.uncertain) END
  FROM answer
 WHERE outbox_id = answer.id AND recipient.number = answer.number AND recipient.status <> 'accepted'
"""

# Reads the runs that hold a claim.
RUNS_SENDING = "SELECT DISTINCT run_id FROM outbox WHERE status = 'sending'"

ROWS_OF_RUN = """
-- reads the messages that :run holds, :only one of them if given; where schema 2 claimed, claim and claimed_as are NULL
SELECT id, account, retries, coalesce(claimed_as, message_id), claimed_at, claimed_by_hand, claim
  FROM outbox WHERE status = 'sending' AND run_id = :run AND (:only IS NULL OR id = :only)
"""

# Reads the ids of the messages that a run holds, from the index alone.
SENDING_BY_INDEX = "SELECT id FROM outbox INDEXED BY outbox_sending WHERE status = 'sending' AND run_id = ?"

RECOVER = """
-- sending -> failed, uncertain, due at once or held: if the dead run still holds the claim; gave_up stays
UPDATE outbox SET status = 'failed', run_id = NULL, claimed_at = NULL, claim = NULL, claimed_as = NULL,
       claimed_by_hand = 0, message_id = coalesce(claimed_as, message_id), retries = :retries,
       drained_from = CASE WHEN drained_from IS NULL AND first_due_at <= claimed_at
                           THEN (SELECT drained_seconds FROM ledger) ELSE drained_from END,
       next_attempt_at = :next_attempt_at, uncertain = 1,
       held_at = CASE WHEN :held THEN coalesce(held_at, :now) ELSE held_at END,
       last_error = :last_error, error_code = 'network', by_account = 0, dismissed_at = NULL
 WHERE id = :id AND status = 'sending' AND run_id = :run
"""

DOUBT_RECIPIENTS = """
-- every status stays, uncertain: the recipients of :numbers, a JSON list; if NULL, all that the dead run addressed
UPDATE recipient SET uncertain = 1
 WHERE outbox_id = :id
   AND CASE WHEN :numbers IS NULL THEN status = 'pending' OR status = 'refused' AND :by_hand
            ELSE status <> 'accepted' AND number IN (SELECT value FROM json_each(:numbers)) END
"""

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

# Reads why a message is not claimed or changed.
STATUS_OF = "SELECT status, next_attempt_at, pruned_at, held_at FROM outbox WHERE id = ?"

COUNT_TAKEN = """
-- counts the attempts after :since that the provider may count: the ended ones, and every claim, which may begin one at
-- any moment
SELECT (SELECT count(*) FROM attempt WHERE account = :account AND counts AND started_at > :since)
     + (SELECT count(*) FROM outbox INDEXED BY outbox_sending WHERE status = 'sending' AND account = :account)
"""

COUNT_RECIPIENTS_TAKEN = """
-- counts the recipients of those attempts, at least one for each that has ended
SELECT (SELECT coalesce(sum(max(recipients, 1)), 0) FROM attempt
         WHERE account = :account AND counts AND started_at > :since)
     + (SELECT count(*) FROM outbox INDEXED BY outbox_sending JOIN recipient ON outbox_id = outbox.id
         WHERE outbox.status = 'sending' AND account = :account
           AND recipient.status <> 'accepted')
"""

RECIPIENTS_OF_NEXT = f"""
-- counts the recipients that the message has left which CLAIM_NEXT would take
SELECT count(*) FROM recipient
 WHERE status = 'pending'
   AND outbox_id = ({NEXT})
"""

# Counts the recipients that a person's retry of this message would address: also refused ones.
RECIPIENTS_OF_ONE = "SELECT count(*) FROM recipient WHERE outbox_id = :id AND status <> 'accepted'"

HOLD = """
-- pending|failed stay, held: no drain takes the message
UPDATE outbox SET held_at = :now WHERE id = :id AND status IN ('pending', 'failed')
"""

# pending|failed stay, held: all that drains may take, of :account if given.
HOLD_ALL = f"UPDATE outbox SET held_at = :now WHERE {DUE} AND account = coalesce(:account, account) RETURNING id"

# Every status stays: if held, the message is open to drains again.
RELEASE = "UPDATE outbox SET held_at = NULL WHERE id = :id AND held_at IS NOT NULL"

RELEASE_ALL = """
-- every status stays: all held messages, of :account if given, are open to drains again
UPDATE outbox SET held_at = NULL
 WHERE status <> 'sent' AND held_at IS NOT NULL AND account = coalesce(:account, account)
RETURNING id
"""

CANCEL = """
-- pending|failed stay, given up: by a person, so it counts as reported
UPDATE outbox SET gave_up = 'cancelled', told_at = :now WHERE id = :id AND status IN ('pending', 'failed')
"""

DISMISS = """
-- pending|failed stay, dismissed: a person has seen that it was given up
UPDATE outbox SET dismissed_at = :now WHERE id = :id AND status IN ('pending', 'failed') AND gave_up IS NOT NULL
"""

RESOLVE = """
-- failed stays, no longer uncertain nor held: if uncertain; the next attempt gets a new Message-ID
UPDATE outbox SET uncertain = 0, held_at = NULL WHERE id = :id AND status = 'failed' AND uncertain
"""

RESOLVE_RECIPIENTS = """
-- pending|refused -> accepted if :sent, else they stay: uncertain recipients only, which are then certain
UPDATE recipient SET status = CASE WHEN :sent THEN 'accepted' ELSE status END, uncertain = 0
 WHERE outbox_id = :id AND uncertain
"""

RESOLVE_SENT = """
-- failed -> sent: if every recipient is accepted
UPDATE outbox SET status = 'sent', sent_at = :now, gave_up = NULL, last_error = NULL, error_code = NULL,
       acceptance = coalesce(acceptance, 'resolved as sent by hand')
 WHERE id = :id AND status = 'failed'
   AND NOT EXISTS (SELECT 1 FROM recipient WHERE outbox_id = :id AND status <> 'accepted')
"""

RESOLVE_PARTLY_SENT = """
-- failed stays, with the answer for a recipient that is not accepted; given up if the others are all :refused
UPDATE outbox
   SET last_error = coalesce((SELECT address || ': ' || response FROM recipient
                               WHERE outbox_id = :id AND status <> 'accepted' AND response IS NOT NULL
                               ORDER BY number LIMIT 1), last_error),
       gave_up = CASE WHEN :refused THEN 'refused' ELSE gave_up END,
       told_at = CASE WHEN :refused THEN :now ELSE told_at END
 WHERE id = :id AND status = 'failed'
"""

# Reads which statuses the recipients of a message have.
STATUSES_OF_RECIPIENTS = "SELECT DISTINCT status FROM recipient WHERE outbox_id = :id"

RECORDED_AT = """
-- reads the last moment that a drain recorded, else when the first message was made: neither follows the clock
SELECT coalesce(recorded_at, (SELECT created_at FROM outbox ORDER BY id LIMIT 1)) FROM ledger
"""

# When a moment is to be recorded: something waits for drains, and the last one is :least seconds old or in the future.
_TO_RECORD = f"""
       (recorded_at IS NULL OR recorded_at NOT BETWEEN :now - :least AND :now)
       AND EXISTS (SELECT 1 FROM outbox WHERE {DUE})
"""

# Reads whether RECORD_MOMENT would record anything.
TO_RECORD = f"SELECT 1 FROM ledger WHERE {_TO_RECORD}"

RECORD_MOMENT = f"""
-- records the moment when a drain begins, and adds the time since the last one to drained_seconds
UPDATE ledger SET drained_seconds = drained_seconds + drained_since(recorded_at, :now), recorded_at = :now
 WHERE {_TO_RECORD}
"""

EXPIRE = """
-- pending|failed stay, given up: if expired, and neither held nor given up
UPDATE outbox SET gave_up = 'expired', last_error = coalesce(last_error, 'expired before it was attempted')
 WHERE expires_at <= :now AND status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
   AND (:only IS NULL OR id = :only)
RETURNING id
"""

# Reads the ids of messages that EXPIRE would give up.
EXPIRING = f"SELECT id FROM outbox INDEXED BY outbox_expiring WHERE expires_at <= :now AND {DUE} LIMIT :limit"

# Reads the ids of given-up messages that are not reported yet.
UNTOLD = "SELECT id FROM outbox WHERE gave_up IS NOT NULL AND told_at IS NULL ORDER BY id"

# Every status stays: a given-up message is marked as reported, if it was not.
TELL = "UPDATE outbox SET told_at = :now WHERE id = :id AND gave_up IS NOT NULL AND told_at IS NULL"

# Counts claims, in their transaction.
COUNT_CLAIMS = "UPDATE ledger SET generation = generation + ?"

# Sets the count of claims above the high-water mark: a restored backup is accepted.
SET_GENERATION = "UPDATE ledger SET generation = ?"

HOLD_SENDING = """
-- sending stays, held: if not held yet; in a restored backup no run has it, and once recovered no drain takes it
UPDATE outbox SET held_at = :now WHERE status = 'sending' AND held_at IS NULL RETURNING id
"""
