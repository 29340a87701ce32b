"""Find a message by what else names it, and read what only ``show`` tells of it."""

import json
import re
import sqlite3
from contextlib import suppress
from typing import Any

from prx_email_cli.outbox.lifecycle import message_id_for_attempt
from prx_email_cli.outbox.messages import Caller
from prx_email_cli.outbox.sqlite.database import OpenDatabase
from prx_email_cli.outbox.sqlite.runs import Runs
from prx_email_cli.outbox.views import LivingRun, Particulars

_OUR_ID = re.compile(r"<outbox-(\d{1,18})-\d{1,18}@.*>")

# Reads the message that an id of ours names, if it is of :account.
_NAMED = """
SELECT retries, message_id, claimed_as, uncertain FROM outbox WHERE id = :id AND account = coalesce(:account, account)
"""

# Reads whether the message was attempted under this Message-ID.
_WAS_ATTEMPTED_AS = "SELECT 1 FROM attempt WHERE outbox_id = ? AND message_id = ?"

_WITH_KEY = """
-- reads the messages with this idempotency key, one search for each account
SELECT outbox_id FROM stored JOIN idempotency ON idempotency.account = stored.account AND key = :key
  JOIN outbox ON outbox.id = outbox_id
 WHERE stored.account = coalesce(:account, stored.account) ORDER BY outbox_id
"""

_PARTICULARS = """
SELECT sender, next_attempt_at, first_due_at, expires_at, dismissed_at, by_account,
       coalesce((SELECT drained_seconds FROM ledger) - drained_from, 0), run_id, enqueued_by, account
  FROM outbox WHERE id = ?
"""

# Reads the key of a message, by a scan of its account's keys: one look in a while needs no index.
_KEY_OF = "SELECT key FROM idempotency WHERE account = ? AND outbox_id = ?"


class Finding(OpenDatabase):
    """See ``Reports`` for what each method promises.  message_id_domain: of the Message-IDs."""

    _message_id_domain: str

    def with_message_id(self, message_id: str, account: str | None) -> int | None:
        """Return the message (of *account*) that was attempted under this Message-ID, or is to be next."""
        ours = _OUR_ID.fullmatch(message_id)
        if ours is None:
            return None
        outbox_id = int(ours[1])
        with self.reading() as connection:
            found = connection.execute(_NAMED, {"id": outbox_id, "account": account}).fetchone()
            if found is None:
                return None
            retries, latest, claimed_as, uncertain = found
            following = message_id_for_attempt(outbox_id, retries, self._message_id_domain, latest, bool(uncertain))
            if message_id in (latest, claimed_as, following):
                return outbox_id
            attempted = connection.execute(_WAS_ATTEMPTED_AS, (outbox_id, message_id)).fetchone()
            return None if attempted is None else outbox_id

    def with_key(self, key: str, account: str | None) -> list[int]:
        """Return the messages (of *account*) with this idempotency key."""
        with self.reading() as connection:
            return [outbox_id for (outbox_id,) in connection.execute(_WITH_KEY, {"key": key, "account": account})]

    def living_runs(self) -> list[LivingRun]:
        """Return the runs that are alive, the oldest first."""
        found = (LivingRun(run_id, int(run_id.partition("-")[0])) for run_id in Runs(self.path).living())
        return sorted(found, key=lambda run: (run.started_at, run.run_id))


def particulars(connection: sqlite3.Connection, outbox_id: int) -> Particulars:
    """Return what only ``show`` tells of a message, which is there."""
    found = connection.execute(_PARTICULARS, (outbox_id,)).fetchone()
    (sender, due_at, first_due_at, expires_at, dismissed_at, by_account, drained, run_id,
     caller, account) = found  # fmt: skip
    return Particulars(
        sender, due_at, first_due_at, expires_at, dismissed_at, bool(by_account),
        max(0, drained), run_id, _key_of(connection, account, outbox_id), _caller(caller),
    )  # fmt: skip


def _key_of(connection: sqlite3.Connection, account: str, outbox_id: int) -> str | None:
    """Return a message's idempotency key; None without one, and where damage hides it."""
    try:
        found = connection.execute(_KEY_OF, (account, outbox_id)).fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        return None
    return None if found is None else str(found[0])


def _caller(stored: Any) -> Caller | None:
    """Read who enqueued a message; None where that was not recorded, or is damaged."""
    with suppress(TypeError, ValueError):
        return Caller(**json.loads(stored))
    return None
