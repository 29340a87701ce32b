"""The statements by which a person marks what a run has claimed, each with a comment: from -> to, under what guard."""

from prx_email_cli.outbox.accounts import EVERY_ACCOUNT
from prx_email_cli.outbox.relational.accounts import PAUSED

MARK_HELD = """
-- sending stays, held: if a drain has claimed it, which gives it back if it has not begun it
UPDATE outbox SET held_at = :now WHERE id = :id AND status = 'sending' AND NOT claimed_by_hand AND held_at IS NULL
"""

UNMARK_HELD = """
-- sending stays, no longer held: if it is being sent
UPDATE outbox SET held_at = NULL WHERE id = :id AND status = 'sending' AND held_at = :now
"""

MARK_ALL_HELD = """
-- sending stays, held: all that drains have claimed, of :account if given
UPDATE outbox SET held_at = :now
 WHERE status = 'sending' AND NOT claimed_by_hand AND held_at IS NULL AND account = coalesce(:account, account)
RETURNING id
"""

MARKED = f"""
-- reads which messages that a drain has claimed a person has held or cancelled since, or whose account is paused
WITH paused AS ({PAUSED})
SELECT id FROM outbox
 WHERE status = 'sending' AND run_id = :run AND NOT claimed_by_hand
   AND (held_at IS NOT NULL OR gave_up IS NOT NULL OR account IN (SELECT account FROM paused)
        OR '{EVERY_ACCOUNT}' IN (SELECT account FROM paused))
"""

# Reads one of these messages that is being sent or about to be.
SENDING_AMONG = """
SELECT id FROM outbox WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids)) AND status = 'sending' LIMIT 1
"""

# Reads which of these messages are held and not being sent.
HELD_AMONG = """
SELECT id FROM outbox
 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
   AND status IN ('pending', 'failed') AND held_at IS NOT NULL
"""

MARK_CANCELLED = """
-- sending stays, given up: if a drain has claimed it, which gives it back if it has not begun it
UPDATE outbox SET gave_up = 'cancelled', told_at = :now
 WHERE id = :id AND status = 'sending' AND NOT claimed_by_hand AND gave_up IS NULL
"""

UNMARK_CANCELLED = """
-- sending stays, no longer given up: if it is being sent
UPDATE outbox SET gave_up = NULL, told_at = NULL WHERE id = :id AND status = 'sending' AND gave_up = 'cancelled'
"""
