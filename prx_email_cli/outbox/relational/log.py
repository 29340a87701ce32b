"""Read attempts and what people did by time, through indexes: the cost is that of what is read."""

from typing import Any

from prx_email_cli.outbox.accounts import EVERY_ACCOUNT
from prx_email_cli.outbox.history import Entry, InHand, Log, Span
from prx_email_cli.outbox.relational.database import Connection

_ACCOUNTS = "SELECT account FROM stored WHERE account = coalesce(:account, account) ORDER BY account"

_ATTEMPT = """
SELECT finished_at, outbox_id, retries, account, outcome, code, response, uncertain, message_id, run_id, started_at
  FROM attempt
"""

# An attempt is found by when it began: it ended later.
_OF_ACCOUNT = f"""
{_ATTEMPT} INDEXED BY {{index}}
 WHERE account = :account AND {{counts}} AND started_at BETWEEN :begun_from AND :until
   AND finished_at BETWEEN :since AND :until
 ORDER BY started_at DESC LIMIT :most
"""
_STATEMENTS = (
    _OF_ACCOUNT.format(index="attempt_counting", counts="counts"),
    _OF_ACCOUNT.format(index="attempt_uncounted", counts="NOT counts"),
)

_DIED = f"""
-- reads what dead runs left, whose attempts may have begun long before
{_ATTEMPT} INDEXED BY attempt_uncertain
 WHERE uncertain AND started_at < :begun_from AND finished_at BETWEEN :since AND :until
   AND account = coalesce(:account, account)
 ORDER BY finished_at DESC LIMIT :most
"""

_ACTIONS = """
SELECT at, outbox_id, id, account, what, who, detail FROM action INDEXED BY action_at
 WHERE at BETWEEN :since AND :until AND (account = coalesce(:account, account) OR account = :everyone)
 ORDER BY at DESC, id DESC LIMIT :most
"""

_UNENDED_FROM = "SELECT min(claimed_at) FROM outbox INDEXED BY outbox_sending WHERE status = 'sending'"

_IN_HAND = """
SELECT id, account, run_id, claimed_at, subject,
       coalesce((SELECT address FROM recipient WHERE outbox_id = outbox.id AND recipient.status <> 'accepted'
                  ORDER BY number LIMIT 1), ''), size_bytes
  FROM outbox INDEXED BY outbox_sending WHERE status = 'sending' ORDER BY claimed_at, id LIMIT ?
"""


def read(connection: Connection, span: Span, now: int) -> Log:
    """Return the entries of *span*."""
    begun = connection.execute(_UNENDED_FROM).fetchone()[0]
    values = {**span._asdict(), "everyone": EVERY_ACCOUNT}
    found = [_did(row) for row in connection.execute(_ACTIONS, values)]
    for (account,) in connection.execute(_ACCOUNTS, values).fetchall():
        for statement in _STATEMENTS:
            found += map(_attempted, connection.execute(statement, {**values, "account": account}))
    if span.begun_from:
        found += map(_attempted, connection.execute(_DIED, values))
    found.sort(key=lambda one: (one.at, one.kind, one.number))
    return Log(found[-span.most :], now if begun is None else min(begun, now))


def in_hand(connection: Connection, most: int) -> list[InHand]:
    """Return the messages that runs have in hand, those first that they have had for longest."""
    return [InHand(*row) for row in connection.execute(_IN_HAND, (most,))]


def _did(row: tuple[Any, ...]) -> Entry:
    at, outbox_id, number, account, what, who, detail = row
    return Entry(at, "action", outbox_id, number, account, what, who, detail)


def _attempted(row: tuple[Any, ...]) -> Entry:
    at, outbox_id, retries, account, outcome, code, response, uncertain, message_id, run_id, began_at = row
    return Entry(
        at, "attempt", outbox_id, retries, account, outcome, None, None, code, response, bool(uncertain), message_id,
        run_id, began_at,
    )  # fmt: skip
