"""Say in SQL which messages a filter means, count them, and find what their rows alone do not tell."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from prx_email_cli.errors import ChangeableByOthers
from prx_email_cli.outbox.pattern import resembles
from prx_email_cli.outbox.sqlite.sql import DUE
from prx_email_cli.outbox.views import MOST_SEARCHED, Fact, Filter

IsDead = Callable[[str], bool]
MOST_COUNTED = 100_000

# A given-up message counts as that, whatever its status: cancelled, or expired before it was ever attempted.
COUNTED_AS = """
    CASE WHEN status IN ('pending', 'failed') AND gave_up = 'cancelled' OR status = 'pending' AND gave_up IS NOT NULL
         THEN gave_up ELSE status END
"""
_OF_STATUSES = f"{COUNTED_AS} IN (SELECT value FROM json_each(:statuses))"
# The messages that ``reports.failures`` counted under one of :failures.
_OF_FAILURES = """
    (status = 'failed' OR gave_up IS NOT NULL) AND gave_up IS NOT 'cancelled' AND dismissed_at IS NULL
    AND (account, by_account, coalesce(error_code, ''), coalesce(last_error, ''), coalesce(gave_up, ''),
         uncertain AND held_at IS NOT NULL) IN
        (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
                json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]')
           FROM json_each(:failures))
"""
_OF_RECIPIENT = """
    EXISTS (SELECT 1 FROM recipient WHERE outbox_id = outbox.id AND resembles(:recipient, CAST(address AS BLOB)))
"""
_FACTS = {
    Fact.SENT: "status = 'sent'",
    Fact.SENDING: "status = 'sending'",
    Fact.HELD: "held_at IS NOT NULL",
    Fact.GAVE_UP: "gave_up IS NOT NULL",
    Fact.CANCELLED: "gave_up IS 'cancelled'",
    Fact.DISMISSED: "dismissed_at IS NOT NULL",
}
_UNSENT = "outbox INDEXED BY outbox_unsent WHERE status <> 'sent'"
_STORED = "SELECT coalesce(sum(messages), 0) FROM stored WHERE account = coalesce(:account, account)"
_STILL_SENDING = "SELECT id, run_id FROM outbox WHERE status = 'sending' AND id IN (SELECT value FROM json_each(?))"
# The messages that may have arrived twice: an attempt under the same Message-ID followed an uncertain one.
_REPEATED = """
SELECT DISTINCT one.outbox_id FROM attempt AS one INDEXED BY attempt_uncertain
  JOIN attempt AS later ON later.outbox_id = one.outbox_id AND later.retries > one.retries
       AND later.counts AND later.message_id = one.message_id
 WHERE one.uncertain
"""
_REPEATED_AMONG = f"{_REPEATED} AND one.outbox_id IN (SELECT value FROM json_each(?))"


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
        _OF_FAILURES: wanted.failures or None,
        "resembles(:error, CAST(last_error AS BLOB))": wanted.error,
        "resembles(:sender, CAST(sender AS BLOB))": wanted.sender,
        "resembles(:subject, CAST(subject AS BLOB))": wanted.subject,
        _OF_RECIPIENT: wanted.recipient,
        f"id > (SELECT max(id) FROM outbox) - {MOST_SEARCHED}": wanted.is_bounded or None,
        **dict.fromkeys((f"NOT ({_FACTS[fact]})" for fact in wanted.without), True),
    }
    chosen = "".join(f" AND ({text})" for text, value in conditions.items() if value is not None)
    if wanted.repeated:  # few, and found by an index of their own
        return f"outbox NOT INDEXED WHERE 1{chosen}"
    if wanted.only_unsent:
        return f"{_UNSENT}{chosen}"
    return f"outbox WHERE 1{chosen}"  # by id, or for an account by the index outbox_account


def values(wanted: Filter) -> dict[str, Any]:
    """Return the values of the parameters in the conditions."""
    reasons = [
        [one.account, one.by_account, one.error_code or "", one.last_error or "", one.gave_up or "", one.uncertain]
        for one in wanted.failures
    ]
    names = ("account", "due_at", "limit", "since", "until", "error", "sender", "subject", "recipient")
    return {
        "statuses": json.dumps(wanted.statuses),
        "failures": json.dumps(reasons),
        **{name: getattr(wanted, name) for name in names},
    }


def run(
    connection: sqlite3.Connection, select: str, wanted: Filter, more: Mapping[str, Any] = MappingProxyType({})
) -> sqlite3.Cursor:
    """Run a statement with ``matching(wanted)`` in it.  more: values of its own."""
    if any(one is not None for one in (wanted.error, wanted.sender, wanted.subject, wanted.recipient)):
        connection.create_function("resembles", 2, _resembles, deterministic=True)
    return connection.execute(select, {**values(wanted), **more})


def _resembles(pattern: str, text: bytes | None) -> bool:
    """Compare a text with a pattern; damage may have made it undecodable."""
    return text is not None and resembles(pattern, text.decode("utf-8", "replace"))


def ids(connection: sqlite3.Connection, wanted: Filter) -> list[int]:
    """Return the ids of the messages that match, newest first."""
    found = run(connection, f"SELECT id FROM {matching(wanted)} ORDER BY id DESC LIMIT :limit", wanted)
    return [outbox_id for (outbox_id,) in found]


def count(connection: sqlite3.Connection, wanted: Filter) -> int | None:
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


def _count(connection: sqlite3.Connection, source: str, wanted: Filter) -> int:
    found = run(connection, f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT :limit)", wanted)
    return int(found.fetchone()[0])


def repeated_among(connection: sqlite3.Connection, ids: list[int]) -> set[int]:
    """Return which of these messages may have arrived twice; none where damage hides it."""
    try:
        return {outbox_id for (outbox_id,) in connection.execute(_REPEATED_AMONG, (str(ids),))}
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        return set()


def abandoned_among(connection: sqlite3.Connection, runs: dict[int, str], is_dead: IsDead) -> set[int]:
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
