"""Every statement that moves a message, each with the move it makes and its guard.

``outbox_message_id`` is the rule of ``lifecycle.message_id_for_attempt``, made known to SQLite.
"""

from prx_email_cli.outbox.schema import PIECES_PER_MESSAGE

# What the partial index outbox_due covers; claims and counts must say it in the same words to be served by it.
DUE = """
       status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
"""

LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'"

INSERT_MESSAGE = """
-- (new) -> pending; the id is the next one of the sequence, read in the same transaction
INSERT INTO outbox (id, account, sender, subject, created_at, next_attempt_at, first_due_at, expires_at,
                    needs_smtputf8, size_bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9)
"""

INSERT_RECIPIENT = "INSERT INTO recipient (outbox_id, number, address, kind) VALUES (?, ?, ?, ?)"

INSERT_PIECE = "INSERT INTO content (id, data) VALUES (?, ?)"

SET_SIZE = "UPDATE outbox SET size_bytes = ? WHERE id = ?"

FIND_KEY = """
-- a key is forgotten with its message's record
SELECT outbox_id, fingerprint FROM idempotency JOIN outbox ON outbox.id = outbox_id
 WHERE idempotency.account = ? AND key = ?
"""

INSERT_KEY = "INSERT OR REPLACE INTO idempotency (account, key, outbox_id, fingerprint) VALUES (?, ?, ?, ?)"

_BY_HAND = """
       id = :id AND status IN ('pending', 'failed') AND pruned_at IS NULL AND (next_attempt_at <= :now OR :force)
"""

CLAIMABLE = f"SELECT account FROM outbox WHERE {_BY_HAND}"

_CLAIMED = f"""
RETURNING id, account, retries, next_attempt_at, first_due_at, expires_at, uncertain, message_id, sender, subject,
          needs_smtputf8, size_bytes,
          (SELECT json_group_array(json_array(number, address, status)) FROM recipient WHERE outbox_id = outbox.id),
          (SELECT data FROM content WHERE content.id = outbox.id * {PIECES_PER_MESSAGE})
"""

CLAIM_NEXT = f"""
-- pending|failed -> sending, the longest due first; one statement, so two runs never take the same row
UPDATE outbox SET status = 'sending', run_id = :run, claimed_at = :now,
       message_id = outbox_message_id(id, retries, :domain, message_id, uncertain)
 WHERE id = (SELECT id FROM outbox
              WHERE account = :account AND {DUE} AND next_attempt_at <= :due_before
                AND (expires_at IS NULL OR expires_at > :now)
              ORDER BY next_attempt_at, id LIMIT 1)
{_CLAIMED}
"""

CLAIM_ONE = f"""
-- pending|failed -> sending for a person's retry: also what was given up or held; due, unless forced
UPDATE outbox SET status = 'sending', run_id = :run, claimed_at = :now,
       message_id = outbox_message_id(id, retries, :domain, message_id, uncertain)
 WHERE {_BY_HAND}
{_CLAIMED}
"""

PIECE = "SELECT data FROM content WHERE id = ?"

FINALIZE = """
-- sending -> sent|failed; matches no row unless state, run and attempt are still ours, and then ClaimLost is raised
UPDATE outbox SET status = :status, run_id = NULL, claimed_at = NULL, retries = :retries,
       next_attempt_at = :next_attempt_at, gave_up = :gave_up, told_at = CASE WHEN :gave_up IS gave_up THEN told_at END,
       uncertain = :uncertain, sent_at = :sent_at,
       held_at = CASE WHEN :sent_at THEN NULL WHEN :held THEN coalesce(held_at, :now) ELSE held_at END,
       acceptance = coalesce(:acceptance, acceptance), last_error = :last_error, error_code = :error_code
 WHERE id = :id AND status = 'sending' AND run_id = :run AND retries = :claimed_retries
"""

SETTLE_RECIPIENT = """
-- pending|refused -> what the provider said; an accepted recipient stays accepted
UPDATE recipient SET status = ?, code = ?, response = ? WHERE outbox_id = ? AND number = ? AND status <> 'accepted'
"""

RECORD_ATTEMPT = """
INSERT INTO attempt (outbox_id, retries, account, run_id, message_id, started_at, finished_at, outcome, code, enhanced,
                     response, uncertain, counts, dialogue)
VALUES (:outbox_id, :retries, :account, :run_id, :message_id, :started_at, :finished_at, :outcome, :code, :enhanced,
        :response, :uncertain, :counts, :dialogue)
"""

RUNS_SENDING = "SELECT DISTINCT run_id FROM outbox WHERE status = 'sending'"

ROWS_OF_RUN = """
SELECT id, account, retries, next_attempt_at, first_due_at, expires_at, uncertain, message_id, claimed_at
  FROM outbox WHERE status = 'sending' AND run_id = ?
"""

RECOVER = """
-- sending -> failed for a run that died: due at once, uncertain; a reason for which it was given up stays
UPDATE outbox SET status = 'failed', run_id = NULL, claimed_at = NULL, retries = :retries,
       next_attempt_at = :next_attempt_at, uncertain = 1,
       held_at = CASE WHEN :held THEN coalesce(held_at, :now) ELSE held_at END,
       last_error = :last_error, error_code = 'network'
 WHERE id = :id AND status = 'sending' AND run_id = :run
"""

NEXT_ACCOUNT = f"""
-- a step of a skip scan over outbox_due: the first account after :after that a drain may ever take something of
SELECT account FROM outbox WHERE account > :after AND {DUE} ORDER BY account LIMIT 1
"""

COUNT_DUE = f"""
SELECT count(*) FROM (SELECT 1 FROM outbox WHERE account = :account AND {DUE} AND next_attempt_at <= :now
                        AND (expires_at IS NULL OR expires_at > :now) LIMIT :limit)
"""

NEXT_DUE_AT = f"SELECT min(next_attempt_at) FROM outbox WHERE account = :account AND {DUE}"

STATUS_OF = "SELECT status, next_attempt_at, pruned_at FROM outbox WHERE id = ?"

COUNT_TAKEN = """
-- what the provider may count against the account since :since: finished attempts, and those under way
SELECT (SELECT count(*) FROM attempt WHERE account = :account AND counts AND started_at > :since)
     + (SELECT count(*) FROM outbox WHERE status = 'sending' AND account = :account AND claimed_at > :since)
"""

HOLD = """
-- pending|failed stay what they are, and no drain takes them
UPDATE outbox SET held_at = :now WHERE id = :id AND status IN ('pending', 'failed')
"""

HOLD_ALL = f"UPDATE outbox SET held_at = :now WHERE {DUE} AND account = coalesce(:account, account) RETURNING id"

RELEASE = "UPDATE outbox SET held_at = NULL WHERE id = :id AND held_at IS NOT NULL"

RELEASE_ALL = """
UPDATE outbox SET held_at = NULL
 WHERE status <> 'sent' AND held_at IS NOT NULL AND account = coalesce(:account, account)
RETURNING id
"""

CANCEL = """
-- pending|failed stay what they are, given up on a person's word, of which nobody needs to be told
UPDATE outbox SET gave_up = 'cancelled', told_at = :now WHERE id = :id AND status IN ('pending', 'failed')
"""

RESOLVE_SENT = """
-- failed -> sent on a person's word, only while the outcome is uncertain and nobody was refused
UPDATE outbox SET status = 'sent', sent_at = :now, uncertain = 0, held_at = NULL, gave_up = NULL, last_error = NULL,
       error_code = NULL, acceptance = coalesce(acceptance, 'resolved as sent by hand')
 WHERE id = :id AND status = 'failed' AND uncertain
   AND NOT EXISTS (SELECT 1 FROM recipient WHERE outbox_id = :id AND status = 'refused')
"""

RESOLVE_PARTLY_SENT = """
-- failed stays failed on a person's word: it arrived at some, and only recipients refused for good remain
UPDATE outbox SET uncertain = 0, held_at = NULL, gave_up = 'refused', told_at = :now
 WHERE id = :id AND status = 'failed' AND uncertain
"""

RESOLVE_RECIPIENTS = "UPDATE recipient SET status = 'accepted' WHERE outbox_id = :id AND status = 'pending'"

RESOLVE_NOT_SENT = """
-- failed stays failed; certain now, so the next attempt gets a Message-ID of its own
UPDATE outbox SET uncertain = 0, held_at = NULL WHERE id = :id AND status = 'failed' AND uncertain
"""

EXPIRE = """
-- pending|failed stay what they are, given up because their time has passed before a drain took them
UPDATE outbox SET gave_up = 'expired', last_error = coalesce(last_error, 'expired before it was attempted')
 WHERE expires_at <= :now AND status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
RETURNING id
"""

EXPIRING = """
SELECT 1 FROM outbox
 WHERE expires_at <= :now AND status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL LIMIT 1
"""

UNTOLD = "SELECT id FROM outbox WHERE gave_up IS NOT NULL AND told_at IS NULL ORDER BY id"

TELL = "UPDATE outbox SET told_at = :now WHERE id = :id AND gave_up IS NOT NULL AND told_at IS NULL"

PRUNABLE = """
SELECT id FROM outbox
 WHERE id > :after AND (status = 'sent' AND sent_at <= :before
                        OR status <> 'sending' AND gave_up IS NOT NULL AND max(created_at, next_attempt_at) <= :before)
   AND (pruned_at IS NULL OR :records)
 ORDER BY id LIMIT :limit
"""

DROP_CONTENT = "DELETE FROM content WHERE id >= :first AND id < :beyond"

MARK_PRUNED = "UPDATE outbox SET pruned_at = :now WHERE id = :id"

DROP_RECORD = "DELETE FROM outbox WHERE id = :id"  # recipients and attempts go with it
