"""Every statement that moves a message, each with the move it makes and its guard.

``outbox_message_id`` is the rule of ``lifecycle.message_id_for_attempt``, made known to SQLite.
"""

from prx_email_cli.outbox.sqlite.schema import PIECES_PER_MESSAGE

# The condition of the partial index outbox_due; SQLite uses the index only for statements with the same words.
DUE = """
       status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
"""

LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'"

INSERT_MESSAGE = """
-- (new) -> pending; the id is the next one of the sequence, read in the same transaction
INSERT INTO outbox (id, account, sender, subject, created_at, next_attempt_at, first_due_at, expires_at,
                    needs_smtputf8, size_bytes, content_digest, envelope_digest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

INSERT_RECIPIENT = "INSERT INTO recipient (outbox_id, number, address, kind) VALUES (?, ?, ?, ?)"

INSERT_PIECE = "INSERT INTO content (id, data) VALUES (?, ?)"

FIND_KEY = """
-- a key is forgotten with its message's record
SELECT outbox_id, fingerprint FROM idempotency JOIN outbox ON outbox.id = outbox_id
 WHERE idempotency.account = ? AND key = ?
"""

INSERT_KEY = "INSERT OR REPLACE INTO idempotency (account, key, outbox_id, fingerprint) VALUES (?, ?, ?, ?)"

_BY_HAND = """
       id = :id AND status IN ('pending', 'failed') AND pruned_at IS NULL
       AND (:force OR (held_at IS NULL AND next_attempt_at <= :now))
"""

CLAIMABLE = f"SELECT account FROM outbox WHERE {_BY_HAND}"

# A value that damage may have made undecodable, or of another type, is read as bytes or cast to its type: it must not
# keep a run from all other messages.
_HEAD = f"(SELECT CAST(data AS BLOB) FROM content WHERE content.id = outbox.id * {PIECES_PER_MESSAGE})"
_RECIPIENTS = """
          CAST((SELECT json_group_array(json_array(CAST(number AS INTEGER), CAST(address AS TEXT),
                                                   CAST(status AS TEXT), uncertain IS NOT 0,
                                                   CASE status WHEN 'refused' THEN CAST(response AS TEXT) END))
                  FROM recipient WHERE outbox_id = outbox.id) AS BLOB)
"""
_CLAIMED = """
RETURNING id, account, retries, next_attempt_at, first_due_at, expires_at, uncertain, message_id,
          CAST(sender AS BLOB), CAST(subject AS BLOB),
          needs_smtputf8, size_bytes, coalesce((SELECT drained_seconds FROM ledger) - drained_from, 0),
          CAST(envelope_digest AS BLOB), CAST(content_digest AS BLOB), {recipients}, {head}
"""

# A message ages from its first attempt at its time on; one that is forced earlier does not count.
_DRAINED_FROM = """
       drained_from = CASE WHEN drained_from IS NULL AND first_due_at <= :now
                           THEN (SELECT drained_seconds FROM ledger) ELSE drained_from END
"""

_TAKEN_NEXT = f"{DUE} AND next_attempt_at <= :due_before AND (expires_at IS NULL OR expires_at > :now)"

NEXT = f"SELECT id FROM outbox WHERE account = :account AND {_TAKEN_NEXT} ORDER BY next_attempt_at, id LIMIT 1"

_CLAIM_NEXT = f"""
-- pending|failed -> sending, the longest due first; one statement, so two runs never take the same row
-- The row is asked as well as the index, which may be damaged: what was sent or held is not taken on its word.
UPDATE outbox SET status = 'sending', run_id = :run, claimed_at = :now, claimed_by_hand = 0,
       message_id = outbox_message_id(id, retries, :domain, message_id, uncertain), {_DRAINED_FROM}
 WHERE id = {{which}} AND {_TAKEN_NEXT}
{_CLAIMED}
"""

_CLAIM_ONE = f"""
-- pending|failed -> sending for a person's retry: also what was given up; due and not held, unless forced
UPDATE outbox SET status = 'sending', run_id = :run, claimed_at = :now, claimed_by_hand = 1,
       message_id = outbox_message_id(id, retries, :domain, message_id, uncertain), {_DRAINED_FROM}
 WHERE {_BY_HAND}
{_CLAIMED}
"""

_READ = {"recipients": _RECIPIENTS, "head": _HEAD}
_UNREAD = {"recipients": "NULL", "head": "NULL"}  # for a message of which only the row can be read: it is given up

CLAIM_NEXT = _CLAIM_NEXT.format(which=f"({NEXT})", **_READ)
CLAIM_THIS, CLAIM_THIS_UNREAD = (_CLAIM_NEXT.format(which=":id", **read) for read in (_READ, _UNREAD))
CLAIM_ONE, CLAIM_ONE_UNREAD = (_CLAIM_ONE.format(**read) for read in (_READ, _UNREAD))

_DUE_BY_INDEX = f"""
       outbox INDEXED BY outbox_due
 WHERE account = :account AND {DUE} AND next_attempt_at <= :due_before AND id NOT IN (SELECT value FROM json_each(:but))
"""

NEXT_BY_INDEX = f"""
-- the longest due, by the index alone: no row is read, so none that cannot be read is in the way
SELECT id FROM {_DUE_BY_INDEX} ORDER BY next_attempt_at, id LIMIT 1
"""

COUNT_DUE_BY_INDEX = f"SELECT count(*) FROM (SELECT 1 FROM {_DUE_BY_INDEX} LIMIT :limit)"

ROW = "SELECT * FROM outbox WHERE id = ?"

PIECE = "SELECT CAST(data AS BLOB) FROM content WHERE id = ?"

FINALIZE = """
-- sending -> sent|failed; matches no row unless state, run and attempt are still ours, and then ClaimLost is raised
UPDATE outbox SET status = :status, run_id = NULL, claimed_at = NULL, retries = :retries,
       next_attempt_at = :next_attempt_at, gave_up = :gave_up, told_at = CASE WHEN :gave_up IS gave_up THEN told_at END,
       uncertain = :uncertain, sent_at = :sent_at,
       held_at = CASE WHEN :sent_at THEN NULL WHEN :held THEN coalesce(held_at, :now) ELSE held_at END,
       acceptance = coalesce(:acceptance, acceptance), last_error = :last_error, error_code = :error_code
 WHERE id = :id AND status = 'sending' AND run_id = :run AND retries = :claimed_retries
"""

GIVE_BACK = """
-- sending -> pending|failed as before its claim, if that is still this run's; every failure raises retries, so a
-- message without one was pending; the Message-ID is the latest recorded attempt's, and the first one at the message's
-- time is where its age begins
UPDATE outbox SET status = CASE WHEN retries = 0 THEN 'pending' ELSE 'failed' END, run_id = NULL, claimed_at = NULL,
       claimed_by_hand = 0,
       drained_from = CASE WHEN (SELECT max(started_at) FROM attempt WHERE outbox_id = outbox.id) >= first_due_at
                           THEN drained_from END,
       message_id = (SELECT message_id FROM attempt WHERE outbox_id = outbox.id ORDER BY attempt.retries DESC LIMIT 1)
 WHERE id = :id AND status = 'sending' AND run_id = :run AND retries = :retries
"""

SETTLE_RECIPIENT = """
-- pending|refused -> what the provider said; an accepted recipient stays accepted, an uncertain one is so until then
UPDATE recipient SET status = :status, code = :code, response = :response,
       uncertain = CASE WHEN :status = 'accepted' THEN 0 ELSE max(uncertain, :uncertain) END
 WHERE outbox_id = :id AND number = :number AND status <> 'accepted'
"""

RECORD_ATTEMPT = """
INSERT INTO attempt (outbox_id, retries, account, run_id, message_id, started_at, finished_at, outcome, code, enhanced,
                     response, uncertain, counts, recipients, dialogue)
VALUES (:outbox_id, :retries, :account, :run_id, :message_id, :started_at, :finished_at, :outcome, :code, :enhanced,
        :response, :uncertain, :counts, :recipients, :dialogue)
"""

RUNS_SENDING = "SELECT DISTINCT run_id FROM outbox WHERE status = 'sending'"

ROWS_OF_RUN = """
SELECT id, account, retries, next_attempt_at, expires_at, uncertain, message_id, claimed_at
  FROM outbox WHERE status = 'sending' AND run_id = :run AND (:only IS NULL OR id = :only)
"""

SENDING_BY_INDEX = "SELECT id FROM outbox INDEXED BY outbox_sending WHERE status = 'sending' AND run_id = ?"

RECOVER = """
-- sending -> failed for a run that died: due at once, uncertain; a reason for which it was given up stays
UPDATE outbox SET status = 'failed', run_id = NULL, claimed_at = NULL, retries = :retries,
       next_attempt_at = :next_attempt_at, uncertain = 1,
       held_at = CASE WHEN :held THEN coalesce(held_at, :now) ELSE held_at END,
       last_error = :last_error, error_code = 'network'
 WHERE id = :id AND status = 'sending' AND run_id = :run
"""

DOUBT_RECIPIENTS = """
-- pending, and refused where a person's retry addressed those too: the run that died may have reached them
UPDATE recipient SET uncertain = 1
 WHERE outbox_id = :id
   AND (status = 'pending' OR status = 'refused' AND (SELECT claimed_by_hand FROM outbox WHERE id = :id))
"""

NEXT_ACCOUNT = f"""
-- a step of a skip scan over outbox_due: the first account after :after that a drain may ever take something of
SELECT account FROM outbox WHERE account > :after AND {DUE} ORDER BY account LIMIT 1
"""

COUNT_DUE = f"""
SELECT count(*) FROM (SELECT 1 FROM outbox WHERE account = :account AND {_TAKEN_NEXT} LIMIT :limit)
"""

NEXT_DUE_AT = f"SELECT min(next_attempt_at) FROM outbox WHERE account = :account AND {DUE}"

STATUS_OF = "SELECT status, next_attempt_at, pruned_at, held_at FROM outbox WHERE id = ?"

COUNT_TAKEN = """
-- what the provider may count against the account since :since: finished attempts, and those under way
SELECT (SELECT count(*) FROM attempt WHERE account = :account AND counts AND started_at > :since)
     + (SELECT count(*) FROM outbox WHERE status = 'sending' AND account = :account AND claimed_at > :since)
"""

COUNT_RECIPIENTS_TAKEN = """
-- the same in recipients: those of finished attempts, and those whom the messages under way address
SELECT (SELECT coalesce(sum(max(recipients, 1)), 0) FROM attempt
         WHERE account = :account AND counts AND started_at > :since)
     + (SELECT count(*) FROM outbox JOIN recipient ON outbox_id = outbox.id
         WHERE outbox.status = 'sending' AND account = :account AND claimed_at > :since
           AND recipient.status <> 'accepted')
"""

RECIPIENTS_OF_NEXT = f"""
-- how many recipients the message has that CLAIM_NEXT would give
SELECT count(*) FROM recipient
 WHERE status = 'pending'
   AND outbox_id = (SELECT id FROM outbox
                     WHERE account = :account AND {DUE} AND next_attempt_at <= :due_before
                       AND (expires_at IS NULL OR expires_at > :now)
                     ORDER BY next_attempt_at, id LIMIT 1)
"""

RECIPIENTS_OF_ONE = "SELECT count(*) FROM recipient WHERE outbox_id = :id AND status <> 'accepted'"

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

RESOLVE = """
-- failed stays failed for now, certain on a person's word: the next attempt gets a Message-ID of its own
UPDATE outbox SET uncertain = 0, held_at = NULL WHERE id = :id AND status = 'failed' AND uncertain
"""

RESOLVE_RECIPIENTS = """
-- the uncertain ones alone: pending|refused -> accepted where it arrived, else they stay what they are, and certain
UPDATE recipient SET status = CASE WHEN :sent THEN 'accepted' ELSE status END, uncertain = 0
 WHERE outbox_id = :id AND uncertain
"""

RESOLVE_SENT = """
-- failed -> sent once a person's word has left nobody but accepted recipients
UPDATE outbox SET status = 'sent', sent_at = :now, gave_up = NULL, last_error = NULL, error_code = NULL,
       acceptance = coalesce(acceptance, 'resolved as sent by hand')
 WHERE id = :id AND status = 'failed'
   AND NOT EXISTS (SELECT 1 FROM recipient WHERE outbox_id = :id AND status <> 'accepted')
"""

RESOLVE_PARTLY_SENT = """
-- failed stays failed: what is told is why the others did not get it; given up when only refused ones remain
UPDATE outbox
   SET last_error = coalesce((SELECT address || ': ' || response FROM recipient
                               WHERE outbox_id = :id AND status <> 'accepted' AND response IS NOT NULL
                               ORDER BY number LIMIT 1), last_error),
       gave_up = CASE WHEN :refused THEN 'refused' ELSE gave_up END,
       told_at = CASE WHEN :refused THEN :now ELSE told_at END
 WHERE id = :id AND status = 'failed'
"""

STATUSES_OF_RECIPIENTS = "SELECT DISTINCT status FROM recipient WHERE outbox_id = :id"

RECORDED_AT = """
-- the last moment that a drain recorded, else that of the first message: neither moves with the clock
SELECT coalesce(recorded_at, (SELECT created_at FROM outbox ORDER BY id LIMIT 1)) FROM ledger
"""

_TO_RECORD = f"""
       (recorded_at IS NULL OR recorded_at NOT BETWEEN :now - :least AND :now)
       AND EXISTS (SELECT 1 FROM outbox WHERE {DUE})
"""

TO_RECORD = f"SELECT 1 FROM ledger WHERE {_TO_RECORD}"

RECORD_MOMENT = f"""
-- a drain begins: the time since the last one counts as drained time; only while something waits for drains
UPDATE ledger SET drained_seconds = drained_seconds + drained_since(recorded_at, :now), recorded_at = :now
 WHERE {_TO_RECORD}
"""

EXPIRE = """
-- pending|failed stay what they are, given up because their time has passed before a drain took them
UPDATE outbox SET gave_up = 'expired', last_error = coalesce(last_error, 'expired before it was attempted')
 WHERE expires_at <= :now AND status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
   AND (:only IS NULL OR id = :only)
RETURNING id
"""

EXPIRING = f"SELECT id FROM outbox INDEXED BY outbox_expiring WHERE expires_at <= :now AND {DUE} LIMIT :limit"

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

LEDGER = "SELECT identity, generation FROM ledger"

COUNT_CLAIM = "UPDATE ledger SET generation = generation + 1"

SET_GENERATION = "UPDATE ledger SET generation = ?"

HOLD_SENDING = """
-- sending stays sending, and once it is recovered no drain takes it: in a restored backup nobody has it in hand
UPDATE outbox SET held_at = :now WHERE status = 'sending' AND held_at IS NULL RETURNING id
"""

DROP_RECORD = "DELETE FROM outbox WHERE id = :id"  # recipients and attempts go with it
