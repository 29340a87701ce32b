"""Say in SQL which messages a filter means, count them, and find what their rows alone do not tell."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from prx_email_cli.errors import ChangeableByOthers
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.sqlite.sql import DUE
from prx_email_cli.outbox.views import Filter

IsDead = Callable[[str], bool]
MOST_COUNTED = 100_000

# A given-up message counts as that, whatever its status: cancelled, or expired before it was ever attempted.
COUNTED_AS = """
    CASE WHEN status IN ('pending', 'failed') AND gave_up = 'cancelled' OR status = 'pending' AND gave_up IS NOT NULL
         THEN gave_up ELSE status END
"""
_OF_STATUSES = f"{COUNTED_AS} IN (SELECT value FROM json_each(:statuses))"
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
    }
    chosen = "".join(f" AND ({text})" for text, value in conditions.items() if value is not None)
    if wanted.repeated:  # few, and found by an index of their own
        return f"outbox NOT INDEXED WHERE 1{chosen}"
    if _only_unsent(wanted):
        return f"{_UNSENT}{chosen}"
    return f"outbox WHERE 1{chosen}"  # by id, or for an account by the index outbox_account


def values(wanted: Filter) -> dict[str, Any]:
    """Return the values of the parameters in the conditions."""
    return {
        "statuses": json.dumps(wanted.statuses),
        "account": wanted.account,
        "due_at": wanted.due_at,
        "limit": wanted.limit,
    }


def count(connection: sqlite3.Connection, wanted: Filter) -> int | None:
    """Count the messages that match; None where more than MOST_COUNTED would have to be read.

    How many are stored is known without reading them.  Of these, the sent are all but the unsent, which are counted.
    """
    at_most = replace(wanted, limit=MOST_COUNTED + 1)
    if _only_unsent(wanted) or wanted.repeated:
        found = _count(connection, matching(wanted), at_most)
        return found if found <= MOST_COUNTED else None
    stored = int(connection.execute(_STORED, {"account": wanted.account}).fetchone()[0])
    if not wanted.statuses:
        return stored
    of_account = "" if wanted.account is None else " AND account = :account"
    others = _count(connection, f"{_UNSENT}{of_account} AND NOT ({_OF_STATUSES})", at_most)
    return stored - others if others <= MOST_COUNTED else None


def _count(connection: sqlite3.Connection, source: str, wanted: Filter) -> int:
    statement = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT :limit)"
    return int(connection.execute(statement, values(wanted)).fetchone()[0])


def _only_unsent(wanted: Filter) -> bool:
    unsent = wanted.due_at is not None or wanted.gave_up or wanted.held or wanted.uncertain
    return unsent or Status.SENT not in (wanted.statuses or Status)


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
