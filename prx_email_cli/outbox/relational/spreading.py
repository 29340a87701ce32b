"""Let drains take messages again that a person chose, one after the other."""

from collections.abc import Iterator, Sequence

from prx_email_cli.errors import NotAllowedForStatus
from prx_email_cli.outbox.decisions import Decided, Spread
from prx_email_cli.outbox.messages import ClaimOne
from prx_email_cli.outbox.relational import accounts, queue
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import Connection, Database
from prx_email_cli.outbox.relational.slices import in_slices

# Reads whether a message expires by a time.
_EXPIRES = "SELECT 1 FROM outbox WHERE id = :id AND expires_at <= :due"

# It is one of many from now on: that its account works again makes it due no earlier.
_SPREAD = """
-- pending|failed stay, due at :due for drains, neither held nor given up
UPDATE outbox SET next_attempt_at = :due, gave_up = NULL, told_at = NULL, held_at = NULL, by_account = FALSE,
       dismissed_at = NULL WHERE id = :id
"""

# refused -> pending: all refused recipients of a message, which a person's retry addresses, too.
_ADDRESS = "UPDATE recipient SET status = 'pending' WHERE outbox_id = :id AND status = 'refused'"


def spread(database: Database, ids: Sequence[int], spread: Spread, who: str) -> Iterator[list[Decided]]:
    """Make these messages due one after the other, and end the rests of their accounts; yields as ``in_slices``."""
    dues = {outbox_id: spread.due_at(number, len(ids)) for number, outbox_id in enumerate(ids)}
    awake: set[str] = set()

    def act(connection: Connection, outbox_id: int) -> None:
        account = queue.check_one(connection, ClaimOne(outbox_id, spread.now, spread.force))
        values = {"id": outbox_id, "due": dues[outbox_id]}
        if connection.execute(_EXPIRES, values).fetchone() is not None:
            raise NotAllowedForStatus(
                f"outbox message {outbox_id} expires before its turn comes", hint="retry it at once, without --spread"
            )
        connection.execute(_SPREAD, values)
        connection.execute(_ADDRESS, values)
        if account not in awake:
            accounts.wake(connection, account)
            awake.add(account)

    return in_slices(database, ids, act, Deed("spread", spread.now, who, f"over {spread.seconds} s"))
