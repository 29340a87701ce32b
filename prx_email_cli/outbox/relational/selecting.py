"""Say in SQL which messages a filter means, count them, and find what their rows alone do not tell."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from prx_email_cli.errors import ChangeableByOthers
from prx_email_cli.outbox.relational.database import Connection, Cursor
from prx_email_cli.outbox.relational.sql import DUE
from prx_email_cli.outbox.views import MOST_SEARCHED, Fact, Filter

IsDead = Callable[[str], bool]
MOST_COUNTED = 100_000

# A given-up message counts as that, whatever its status: cancelled, or expired before it was ever attempted.
COUNTED_AS = """
    CASE WHEN status IN ('pending', 'failed') AND gave_up = 'cancelled' OR status = 'pending' AND gave_up IS NOT NULL
         THEN gave_up ELSE status END
"""
_OF_STATUSES = f"{COUNTED_AS} IN (SELECT value FROM json_each(:statuses))"
# The messages that ``reports.failures`` counted under one of some failures.
_OF_FAILURES = """
    (status = 'failed' OR gave_up IS NOT NULL) AND coalesce(gave_up, '') <> 'cancelled' AND dismissed_at IS NULL
    AND (account, by_account, coalesce(error_code, ''), coalesce(last_error, ''), coalesce(gave_up, ''),
         uncertain AND held_at IS NOT NULL) IN
        (VALUES {failures})
"""
_OF_RECIPIENT = """
    EXISTS (SELECT 1 FROM recipient WHERE outbox_id = outbox.id AND resembles(:recipient, CAST(address AS BLOB)))
"""
_FACTS = {
    Fact.SENT: "status = 'sent'",
    Fact.SENDING: "status = 'sending'",
    Fact.HELD: "held_at IS NOT NULL",
    Fact.GAVE_UP: "gave_up IS NOT NULL",
    Fact.CANCELLED: "coalesce(gave_up, '') = 'cancelled'",
    Fact.DISMISSED: "dismissed_at IS NOT NULL",
}
_UNSENT = "outbox INDEXED BY outbox_unsent WHERE status <> 'sent'"
_STORED = "SELECT coalesce(sum(messages), 0) FROM stored WHERE account = coalesce(:account, account)"
_STILL_SENDING = (
    "SELECT id, run_id FROM outbox WHERE status = 'sending' AND id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"
)
# The messages that may have arrived twice: an attempt under the same Message-ID followed an uncertain one.
_REPEATED = """
SELECT DISTINCT one.outbox_id FROM attempt AS one INDEXED BY attempt_uncertain
  JOIN attempt AS later ON later.outbox_id = one.outbox_id AND later.retries > one.retries
       AND later.counts AND later.message_id = one.message_id
 WHERE one.uncertain
"""
_REPEATED_AMONG = f"{_REPEATED} AND one.outbox_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"


def matching(wanted: Filter) -> str:
    """Name the table, with the index that serves best, and the conditions; ``values`` go with it."""
    conditions = {
        _OF_STATUSES: wanted.statuses or None,
        "account = :account": wanted.account,
        f"{DUE} AND next_attempt_at <= :due_at": wanted.due_at,
        "gave_up IS NOT NULL": wanted.gave_up or None,
        "held_at IS NOT NULL": wanted.held or None,
        "uncertain": wanted.uncertain or None,
        f"id IN ({_REPEATED})": wanted.repeated or None,
        "created_at >= :since": wanted.since,
        "created_at <= :until": wanted.until,
        _OF_FAILURES.format(failures=", ".join(_reasons(wanted))): wanted.failures or None,
        "resembles(:error, CAST(last_error AS BLOB))": wanted.error,
        "resembles(:sender, CAST(sender AS BLOB))": wanted.sender,
        "resembles(:subject, CAST(subject AS BLOB))": wanted.subject,
        _OF_RECIPIENT: wanted.recipient,
        f"id > (SELECT max(id) FROM outbox) - {MOST_SEARCHED}": wanted.is_bounded or None,
        **dict.fromkeys((f"NOT ({_FACTS[fact]})" for fact in wanted.without), True),
    }
    chosen = "".join(f" AND ({text})" for text, value in conditions.items() if value is not None)
    if wanted.repeated:  # few, and found by an index of their own
        return f"outbox NOT INDEXED WHERE TRUE{chosen}"
    if wanted.only_unsent:
        return f"{_UNSENT}{chosen}"
    return f"outbox WHERE TRUE{chosen}"  # by id, or for an account by the index outbox_account


def _reasons(wanted: Filter) -> list[str]:
    """Return the rows of parameters for the failures."""
    names = "account", "by_account", "code", "why", "gave_up", "doubtful"
    return [f"({', '.join(f':{name}{number}' for name in names)})" for number in range(len(wanted.failures))]


def values(wanted: Filter) -> dict[str, Any]:
    """Return the values of the parameters in the conditions."""
    reasons = {
        name: value
        for number, one in enumerate(wanted.failures)
        for name, value in (
            (f"account{number}", one.account), (f"by_account{number}", one.by_account),
            (f"code{number}", one.error_code or ""), (f"why{number}", one.last_error or ""),
            (f"gave_up{number}", one.gave_up or ""), (f"doubtful{number}", one.uncertain),
        )
    }  # fmt: skip
    names = ("account", "due_at", "limit", "since", "until", "error", "sender", "subject", "recipient")
    return {
        "statuses": json.dumps(wanted.statuses),
        **reasons,
        **{name: getattr(wanted, name) for name in names},
    }


def run(connection: Connection, select: str, wanted: Filter, more: Mapping[str, Any] = MappingProxyType({})) -> Cursor:
    """Run a statement with ``matching(wanted)`` in it.  more: values of its own."""
    if any(one is not None for one in (wanted.error, wanted.sender, wanted.subject, wanted.recipient)):
        connection.search()
    return connection.execute(select, {**values(wanted), **more})


def ids(connection: Connection, wanted: Filter) -> list[int]:
    """Return the ids of the messages that match, newest first."""
    found = run(connection, f"SELECT id FROM {matching(wanted)} ORDER BY id DESC LIMIT :limit", wanted)
    return [outbox_id for (outbox_id,) in found]


def count(connection: Connection, wanted: Filter) -> int | None:
    """Count the messages that match; None where more than MOST_COUNTED would have to be read.

    How many are stored is known without reading them.  Of these, the sent are all but the unsent, which are counted.
    """
    at_most = replace(wanted, limit=MOST_COUNTED + 1)
    stored = int(connection.execute(_STORED, {"account": wanted.account}).fetchone()[0])
    if wanted.only_unsent or wanted.repeated or wanted.searches:
        if wanted.is_bounded and stored > MOST_SEARCHED:
            return None
        found = _count(connection, matching(wanted), at_most)
        return found if found <= MOST_COUNTED else None
    if not wanted.statuses:
        return stored
    of_account = "" if wanted.account is None else " AND account = :account"
    others = _count(connection, f"{_UNSENT}{of_account} AND NOT ({_OF_STATUSES})", at_most)
    return stored - others if others <= MOST_COUNTED else None


def _count(connection: Connection, source: str, wanted: Filter) -> int:
    found = run(connection, f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT :limit) AS found", wanted)
    return int(found.fetchone()[0])


def repeated_among(connection: Connection, ids: list[int]) -> set[int]:
    """Return which of these messages may have arrived twice; none where damage hides it."""
    with connection.passing_damage():
        return {outbox_id for (outbox_id,) in connection.execute(_REPEATED_AMONG, (str(ids),))}
    return set()


def abandoned_among(connection: Connection, runs: dict[int, str], is_dead: IsDead) -> set[int]:
    """Return which messages are in the hands of a dead run.

    runs: the run of each message that is ``sending``.  is_dead: tells of a run's id whether the run died.
    """
    dead = {run_id for run_id in set(runs.values()) if _died(run_id, is_dead)}
    if not dead:
        return set()
    # A run that ended after its messages were read has let go of them by now.
    return {outbox_id for outbox_id, run_id in connection.execute(_STILL_SENDING, (str(list(runs)),)) if run_id in dead}


def _died(run_id: str, is_dead: IsDead) -> bool:
    """Tell whether a run died; False where other users could have made it look so."""
    try:
        return is_dead(run_id)
    except ChangeableByOthers:
        return False
