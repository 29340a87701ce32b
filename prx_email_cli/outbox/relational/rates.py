"""Count what left lately, and how much of its limits an account has used, at the cost of what left in the span."""

from collections.abc import Sequence

from prx_email_cli.outbox.messages import Limit
from prx_email_cli.outbox.relational import sql
from prx_email_cli.outbox.relational.database import Connection
from prx_email_cli.outbox.views import Usage

_ACCOUNTS = "SELECT account FROM stored WHERE messages > 0 ORDER BY account"

# Counts the attempts that began after :since and delivered a message to all that were left.
_DELIVERED = """
SELECT count(*) FROM attempt INDEXED BY attempt_counting
 WHERE account = :account AND counts AND started_at > :since AND outcome = 'sent'
"""

# Reads the attempts that a limit counts, the oldest first: when each leaves the span, and how much it then frees.
_TAKEN = """
SELECT started_at, CASE WHEN :of_recipients AND recipients > 1 THEN recipients ELSE 1 END
  FROM attempt INDEXED BY attempt_counting
 WHERE account = :account AND counts AND started_at > :since ORDER BY started_at
"""


def delivered(connection: Connection, since: int) -> dict[str, int]:
    """Return how many messages of each account were delivered after *since*, sorted by its name."""
    return {
        name: int(connection.execute(_DELIVERED, {"account": name, "since": since}).fetchone()[0])
        for (name,) in connection.execute(_ACCOUNTS).fetchall()
    }


def usage(connection: Connection, account: str, limits: Sequence[Limit], now: int) -> list[Usage]:
    """Return how much of its *limits* an account has used by *now*."""
    return [_usage(connection, account, limit, now) for limit in limits]


def _usage(connection: Connection, account: str, limit: Limit, now: int) -> Usage:
    values = {"account": account, "since": now - limit.seconds, "of_recipients": limit.of_recipients}
    statement = sql.COUNT_RECIPIENTS_TAKEN if limit.of_recipients else sql.COUNT_TAKEN
    taken = left = int(connection.execute(statement, values).fetchone()[0])
    if left < limit.most:
        return Usage(limit, taken, None)
    for started_at, freed in connection.execute(_TAKEN, values):
        left -= freed
        if left < limit.most:
            return Usage(limit, taken, started_at + limit.seconds)
    return Usage(limit, taken, now + limit.seconds)  # all of it is under way
