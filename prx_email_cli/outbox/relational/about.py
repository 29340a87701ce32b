"""Read what only ``show`` tells of a message."""

import json
from contextlib import suppress
from typing import Any

from prx_email_cli.errors import NotFound
from prx_email_cli.outbox.messages import Caller
from prx_email_cli.outbox.relational.database import Connection
from prx_email_cli.outbox.views import Particulars

_PARTICULARS = """
SELECT sender, next_attempt_at, first_due_at, expires_at, by_account,
       coalesce((SELECT drained_seconds FROM ledger) - drained_from, 0), run_id, enqueued_by, account
  FROM outbox WHERE id = ?
"""

# Reads the key of a message, by a scan of its account's keys: one look in a while needs no index.
_KEY_OF = "SELECT key FROM idempotency WHERE account = ? AND outbox_id = ?"


def particulars(connection: Connection, outbox_id: int) -> Particulars:
    """Return what only ``show`` tells of a message.  Raises NotFound."""
    found = connection.execute(_PARTICULARS, (outbox_id,)).fetchone()
    if found is None:  # deleted since it was first read
        raise NotFound("outbox record not found", hint=f"there is no {outbox_id}: prx-email list shows the ids")
    (sender, due_at, first_due_at, expires_at, by_account, drained, run_id,
     caller, account) = found  # fmt: skip
    return Particulars(
        sender, due_at, first_due_at, expires_at, bool(by_account),
        max(0, drained), run_id, _key_of(connection, account, outbox_id), _caller(caller),
    )  # fmt: skip


def _key_of(connection: Connection, account: str, outbox_id: int) -> str | None:
    """Return a message's idempotency key; None without one, and where damage hides it."""
    found = None
    with connection.passing_damage():
        found = connection.execute(_KEY_OF, (account, outbox_id)).fetchone()
    return None if found is None else str(found[0])


def _caller(stored: Any) -> Caller | None:
    """Read who enqueued a message; None where that was not recorded, or is damaged."""
    with suppress(TypeError, ValueError):
        return Caller(**json.loads(stored))
    return None
