"""The statements that move messages, each with a comment: from -> to, and under what guard.

They are written so that SQLite and PostgreSQL understand them.
"""

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

# What a person's retry may take: pending|failed, also given up, with its content; due and not held, unless forced.
BY_HAND = """
       id = :id AND status IN ('pending', 'failed') AND pruned_at IS NULL
       AND (:force OR (held_at IS NULL AND next_attempt_at <= :now))
"""

# Reads the account of the message that CLAIM_ONE would take.
CLAIMABLE = f"SELECT account FROM outbox WHERE {BY_HAND}"

# Reads whether there is such a piece of content.
HAS_PIECE = "SELECT 1 FROM content WHERE id = ?"

# What ends claims, those of the rows in ``ended``, each only while its run still holds it.
END_CLAIMS = """
UPDATE outbox SET status = ended.status, run_id = NULL, claimed_at = NULL, claim = NULL, claimed_as = NULL,
       claimed_by_hand = FALSE, message_id = ended.message_id, retries = ended.retries,
       drained_from = coalesce(outbox.drained_from, CAST(ended.drained_from AS BIGINT)),
       next_attempt_at = ended.next_attempt_at,
       gave_up = ended.gave_up, told_at = CASE WHEN ended.gave_up = outbox.gave_up THEN told_at END,
       uncertain = ended.uncertain, sent_at = CAST(ended.sent_at AS BIGINT),
       held_at = CASE WHEN ended.sent_at IS NOT NULL THEN NULL WHEN ended.held THEN coalesce(held_at, ended.now)
                      ELSE held_at END,
       acceptance = coalesce(ended.acceptance, outbox.acceptance), last_error = ended.last_error,
       error_code = ended.error_code, by_account = ended.by_account, dismissed_at = NULL
  FROM ended
 WHERE outbox.id = ended.id AND outbox.status = 'sending' AND run_id = ended.run AND outbox.claim = ended.claim
"""

FINALIZE = f"""
-- sending -> sent|failed: each whose claim this run still holds
WITH ended ({{columns}}) AS (VALUES {{rows}})
{END_CLAIMS}
"""

# Every failure raises retries, so without one the message was pending.
GIVE_BACK = """
-- sending -> pending|failed, as before the claim: if this run still holds this claim
UPDATE outbox SET status = CASE WHEN retries = 0 THEN 'pending' ELSE 'failed' END, run_id = NULL, claimed_at = NULL,
       claim = NULL, claimed_as = NULL, claimed_by_hand = FALSE
 WHERE id = :id AND status = 'sending' AND run_id = :run AND claim = :claim
"""

# What records the answers for recipients, those in ``answer``, of whoever is not accepted yet.
RECORD_ANSWERS = """
UPDATE recipient SET status = answer.status, code = CAST(answer.code AS INTEGER), response = answer.response,
       uncertain = CASE WHEN answer.status = 'accepted' THEN FALSE ELSE recipient.uncertain OR answer.uncertain END
  FROM answer
 WHERE outbox_id = answer.id AND recipient.number = answer.number AND recipient.status <> 'accepted'
"""

SETTLE_RECIPIENTS = f"""
-- pending|refused -> pending|accepted|refused: by the server's answer, if not accepted yet; uncertain until accepted
WITH answer ({{columns}}) AS (VALUES {{rows}})
{RECORD_ANSWERS}
"""

# Reads the runs that hold a claim.
RUNS_SENDING = "SELECT DISTINCT run_id FROM outbox WHERE status = 'sending' ORDER BY run_id"

ROWS_OF_RUN = """
-- reads the messages that :run holds, :only one of them if given; where schema 2 claimed, claim and claimed_as are NULL
SELECT id, account, retries, coalesce(claimed_as, message_id), claimed_at, claimed_by_hand, claim
  FROM outbox WHERE status = 'sending' AND run_id = :run AND id = coalesce(CAST(:only AS BIGINT), id)
"""

RECOVER = """
-- sending -> failed, uncertain, due at once or held: if the dead run still holds the claim; gave_up stays
UPDATE outbox SET status = 'failed', run_id = NULL, claimed_at = NULL, claim = NULL, claimed_as = NULL,
       claimed_by_hand = FALSE, message_id = coalesce(claimed_as, message_id), retries = :retries,
       drained_from = CASE WHEN drained_from IS NULL AND first_due_at <= claimed_at
                           THEN (SELECT drained_seconds FROM ledger) ELSE drained_from END,
       next_attempt_at = :next_attempt_at, uncertain = TRUE,
       held_at = CASE WHEN :held THEN coalesce(held_at, :now) ELSE held_at END,
       last_error = :last_error, error_code = 'network', by_account = FALSE, dismissed_at = NULL
 WHERE id = :id AND status = 'sending' AND run_id = :run
"""

DOUBT_RECIPIENTS = """
-- every status stays, uncertain: the recipients of :numbers, a JSON list; or :all that the dead run addressed
UPDATE recipient SET uncertain = TRUE
 WHERE outbox_id = :id
   AND CASE WHEN :all THEN status = 'pending' OR status = 'refused' AND :by_hand
            ELSE status <> 'accepted' AND number IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) END
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
SELECT (SELECT coalesce(sum(CASE WHEN recipients > 1 THEN recipients ELSE 1 END), 0) FROM attempt
         WHERE account = :account AND counts AND started_at > :since)
     + (SELECT count(*) FROM outbox INDEXED BY outbox_sending JOIN recipient ON outbox_id = outbox.id
         WHERE outbox.status = 'sending' AND account = :account
           AND recipient.status <> 'accepted')
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
UPDATE outbox SET uncertain = FALSE, held_at = NULL WHERE id = :id AND status = 'failed' AND uncertain
"""

RESOLVE_RECIPIENTS = """
-- pending|refused -> accepted if :sent, else they stay: uncertain recipients only, which are then certain
UPDATE recipient SET status = CASE WHEN :sent THEN 'accepted' ELSE status END, uncertain = FALSE
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
# Asked for in the order of outbox_due, that is looked up there, whatever a planner takes for likely.
_TO_RECORD = f"""
       (recorded_at IS NULL OR recorded_at NOT BETWEEN CAST(:now AS BIGINT) - CAST(:least AS BIGINT) AND :now)
       AND (SELECT id FROM outbox WHERE {DUE} ORDER BY account, priority, next_attempt_at LIMIT 1) IS NOT NULL
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
   AND id = coalesce(CAST(:only AS BIGINT), id)
RETURNING id
"""

EXPIRING = f"""
-- reads the ids of messages that EXPIRE would give up
SELECT id FROM outbox INDEXED BY outbox_expiring WHERE expires_at <= :now AND {DUE} ORDER BY expires_at LIMIT :limit
"""

# Reads the ids of given-up messages that are not reported yet.
UNTOLD = "SELECT id FROM outbox WHERE gave_up IS NOT NULL AND told_at IS NULL ORDER BY id"

# Every status stays: a given-up message is marked as reported, if it was not.
TELL = "UPDATE outbox SET told_at = :now WHERE id = :id AND gave_up IS NOT NULL AND told_at IS NULL"

HOLD_SENDING = """
-- sending stays, held: if not held yet; in a restored backup no run has it, and once recovered no drain takes it
UPDATE outbox SET held_at = :now WHERE status = 'sending' AND held_at IS NULL RETURNING id
"""
