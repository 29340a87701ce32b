"""Read what ``list``, ``show``, ``stats`` and ``doctor`` print; nothing here changes a row."""

from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar, cast

from prx_email_cli.errors import NotFound
from prx_email_cli.outbox.lifecycle import Ending, Priority, Reason, RecipientKind, RecipientStatus, Status, is_over
from prx_email_cli.outbox.relational.about import particulars
from prx_email_cli.outbox.relational.actions import ACTIONS_OF_MESSAGE
from prx_email_cli.outbox.relational.database import Connection
from prx_email_cli.outbox.relational.selecting import (
    COUNTED_AS,
    IsDead,
    abandoned_among,
    matching,
    repeated_among,
    run,
)
from prx_email_cli.outbox.relational.sql import DUE
from prx_email_cli.outbox.views import Action, Attempt, Failure, Figures, Filter, Health, Recipient, Row, Stats, tally

E = TypeVar("E", bound=StrEnum)

_COLUMNS = """
    id, account, status, retries, next_attempt_at, coalesce(claimed_as, message_id), acceptance, last_error, subject,
    size_bytes, created_at, sent_at, held_at, gave_up, uncertain, error_code, priority, pruned_at, dismissed_at,
    anonymised_at, run_id
"""
_ADDRESSES = """
SELECT outbox_id, address FROM recipient
 WHERE kind = 'to' AND outbox_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))
 ORDER BY outbox_id, number
"""
_RECIPIENTS = (
    "SELECT address, kind, status, code, response, uncertain FROM recipient WHERE outbox_id = ? ORDER BY number"
)
_ATTEMPTS = """
SELECT started_at, finished_at, run_id, message_id, outcome, code, enhanced, response, uncertain, dialogue
  FROM attempt WHERE outbox_id = ? ORDER BY retries
"""
_UNDER_WAY = """
SELECT claimed_at, NULL, run_id, coalesce(claimed_as, message_id), NULL, NULL, NULL, NULL, FALSE, NULL
  FROM outbox WHERE id = ? AND status = 'sending'
"""
# By account and what they count as: the unsent messages are counted, and sent are all others that are stored.
_COUNTS = f"""
WITH unsent (account, counted, messages) AS MATERIALIZED
     (SELECT account, {COUNTED_AS} AS counted, count(*) FROM outbox INDEXED BY outbox_unsent
       WHERE status <> 'sent' GROUP BY account, counted)
SELECT account, counted, messages FROM unsent
 UNION ALL
SELECT account, 'sent',
       messages - (SELECT coalesce(sum(messages), 0) FROM unsent WHERE unsent.account = stored.account)
  FROM stored WHERE messages > 0
 ORDER BY account
"""
# What nobody has received and drains are to deliver, due or not: neither held nor given up.
_UNDELIVERED = "status <> 'sent' AND held_at IS NULL AND gave_up IS NULL"
_FAILURES = """
SELECT account, by_account, error_code, last_error, gave_up, count(*), min(first_due_at), max(id),
       uncertain AND held_at IS NOT NULL AS doubtful
  FROM outbox INDEXED BY outbox_unsent
 WHERE status <> 'sent' AND (status = 'failed' OR gave_up IS NOT NULL) AND coalesce(gave_up, '') <> 'cancelled'
   AND dismissed_at IS NULL
 GROUP BY account, by_account, error_code, last_error, gave_up, doubtful ORDER BY max(id)
"""
_UNSENT = f"""
SELECT count(*) FILTER (WHERE {DUE} AND next_attempt_at <= :now),
       min(first_due_at) FILTER (WHERE {_UNDELIVERED} AND first_due_at <= :now),
       count(*) FILTER (WHERE gave_up IS NOT NULL), count(*) FILTER (WHERE held_at IS NOT NULL),
       count(*) FILTER (WHERE uncertain)
  FROM outbox WHERE status <> 'sent'
"""
_HEALTH = f"""
SELECT (SELECT max(created_at) FROM outbox), (SELECT max(finished_at) FROM attempt),
       (SELECT min(first_due_at) FROM outbox WHERE {_UNDELIVERED} AND first_due_at <= :now),
       (SELECT count(*) FROM outbox WHERE status <> 'sent' AND held_at IS NOT NULL AND uncertain),
       (SELECT count(*) FROM outbox WHERE status <> 'sent' AND gave_up IS NOT NULL AND dismissed_at IS NULL)
"""
_ACCOUNTS = "SELECT account FROM stored WHERE messages > 0 UNION SELECT account FROM attempted ORDER BY account"
_WAITING = f"""
SELECT account, count(*) FILTER (WHERE {_UNDELIVERED} AND first_due_at <= :now),
       count(*) FILTER (WHERE {_UNDELIVERED} AND first_due_at > :now), count(*) FILTER (WHERE held_at IS NOT NULL),
       count(*) FILTER (WHERE uncertain), count(*) FILTER (WHERE uncertain AND held_at IS NOT NULL),
       min(first_due_at) FILTER (WHERE {_UNDELIVERED} AND first_due_at <= :now)
  FROM outbox INDEXED BY outbox_unsent WHERE status <> 'sent' GROUP BY account
"""
_GAVE_UP = """
SELECT account, gave_up, count(*) FROM outbox INDEXED BY outbox_unsent
 WHERE status <> 'sent' AND gave_up IS NOT NULL AND dismissed_at IS NULL GROUP BY account, gave_up
"""
_ATTEMPTED = "SELECT account, outcome, code_class, attempts FROM attempted ORDER BY account, outcome, code_class"
_MISCOUNTED = """
SELECT account FROM (SELECT account, count(*) AS messages FROM outbox GROUP BY account
                     UNION ALL SELECT account, -messages FROM stored) AS counts
 GROUP BY account HAVING sum(messages) <> 0
"""
_SENDING = "SELECT DISTINCT run_id FROM outbox WHERE status = 'sending'"
_FAULTS_SHOWN = 5


def rows(connection: Connection, wanted: Filter, is_dead: IsDead) -> list[Row]:
    """Return the messages that match, newest first.  is_dead: tells of a run's id whether the run died."""
    statement = f"SELECT {_COLUMNS} FROM {matching(wanted)} ORDER BY id DESC LIMIT :limit"
    found = _rows(connection, run(connection, statement, wanted).fetchall(), is_dead)
    to = _addresses(connection, [one.outbox_id for one in found])
    return [replace(one, to=to.get(one.outbox_id, [])) for one in found]


def _rows(connection: Connection, found: list[tuple[Any, ...]], is_dead: IsDead) -> list[Row]:
    """Make the rows of the *found* columns, with what these alone do not tell, but for recipients."""
    ids = [columns[0] for columns in found]
    repeated = repeated_among(connection, ids)
    runs = {columns[0]: columns[-1] for columns in found if columns[2] == Status.SENDING}
    abandoned = abandoned_among(connection, runs, is_dead)
    return [replace(one, repeated=one.outbox_id in repeated, run_died=one.outbox_id in abandoned)
            for one in map(_row, found)]  # fmt: skip


def row(connection: Connection, outbox_id: int, is_dead: IsDead) -> Row:
    """Return one message with recipients and attempts.  Raises NotFound."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM outbox WHERE id = ?", (outbox_id,)).fetchone()
    if found is None:
        raise NotFound("outbox record not found", hint=f"there is no {outbox_id}: prx-email list shows the ids")
    recipients = [
        Recipient(
            address, _member(RecipientKind, kind), _member(RecipientStatus, status), code, response, bool(uncertain)
        )
        for address, kind, status, code, response, uncertain in _readable(connection, _RECIPIENTS, outbox_id)
    ]
    attempts = [
        _attempt(values)
        for statement in (_ATTEMPTS, _UNDER_WAY)
        for values in _readable(connection, statement, outbox_id)
    ]
    actions = [Action(*columns) for columns in _readable(connection, ACTIONS_OF_MESSAGE, outbox_id)]
    (one,) = _rows(connection, [found], is_dead)
    to = [recipient.address for recipient in recipients if recipient.kind == RecipientKind.TO]
    about = particulars(connection, outbox_id)
    return replace(one, to=to, recipients=recipients, attempts=attempts, actions=actions, particulars=about)


def _readable(connection: Connection, statement: str, outbox_id: int) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, or those before a damaged page: the rest of a message is still shown."""
    found: list[tuple[Any, ...]] = []
    with connection.passing_damage():
        found.extend(connection.execute(statement, (outbox_id,)))
    return found


def stats(connection: Connection, now: int) -> Stats:
    """Count messages by account and status, and due, given up, held and uncertain ones; ages in seconds."""
    accounts, totals = tally(connection.execute(_COUNTS))
    due, oldest, gave_up, held, uncertain = connection.execute(_UNSENT, {"now": now}).fetchone()
    latest = connection.execute(connection.spelling.latest_attempt_at).fetchone()
    return Stats(
        **totals,
        total=sum(totals.values()),
        due=due,
        oldest_due_age_seconds=None if oldest is None else max(0, now - oldest),
        gave_up=gave_up,
        held=held,
        uncertain=uncertain,
        last_attempt_at=latest and latest[0],
        accounts=accounts,
    )


def figures(connection: Connection, now: int) -> dict[str, Figures]:
    """Return the figures of each account that has or had messages, sorted by its name; no sent message is counted."""
    found = {name: Figures() for (name,) in connection.execute(_ACCOUNTS)}
    for name, waiting, scheduled, held, uncertain, both, oldest in connection.execute(_WAITING, {"now": now}):
        age = None if oldest is None else now - oldest
        found[name] = Figures(waiting, scheduled, held, uncertain, both, age)
    for name, reason, messages in connection.execute(_GAVE_UP):  # an account may have come since the first statement
        found.setdefault(name, Figures()).gave_up[_member(Reason, reason)] = messages
    for name, outcome, code_class, attempts in connection.execute(_ATTEMPTED):
        found.setdefault(name, Figures()).attempts[_member(Ending, outcome), code_class] = attempts
    return dict(sorted(found.items()))


def failures(connection: Connection) -> list[Failure]:
    """Return why unsent messages have failed, those of the same words as one; not what a person cancelled."""
    found = []
    for account, by_account, code, error, reason, many, oldest_at, latest, doubtful in connection.execute(_FAILURES):
        gave_up = None if reason is None else _member(Reason, reason)
        found.append(Failure(account, bool(by_account), code, error, gave_up, many, oldest_at, latest, bool(doubtful)))
    return found


def health(connection: Connection, now: int) -> Health:
    """Check whether the database is intact and whether messages wait for a person; reads the whole file."""
    faults = connection.faults(_FAULTS_SHOWN)
    faults += [f"the count of messages of account {name} is wrong" for (name,) in connection.execute(_MISCOUNTED)]
    created, finished, first_due, waiting, gave_up = connection.execute(_HEALTH, {"now": now}).fetchone()
    return Health(
        faults=faults[:_FAULTS_SHOWN],
        repair=connection.spelling.repair,
        schema_version=connection.execute(connection.spelling.schema_version).fetchone()[0],
        newest_at=max((moment for moment in (created, finished) if moment is not None), default=None),
        unsent_for_seconds=None if first_due is None else now - first_due,
        sending_runs=[run_id for (run_id,) in connection.execute(_SENDING)],
        waiting_for_a_person=waiting,
        gave_up=gave_up,
    )


def _addresses(connection: Connection, ids: list[int]) -> dict[int, list[str]]:
    to: dict[int, list[str]] = {}
    for outbox_id, address in connection.execute(_ADDRESSES, (str(ids),)):
        to.setdefault(outbox_id, []).append(address)
    return to


def _member(enum: type[E], stored: str) -> E:
    """What *stored* is a name of; damage may have left another word, which is shown as it stands."""
    try:
        return enum(stored)
    except ValueError:
        return cast(E, stored)


def _attempt(values: tuple[Any, ...]) -> Attempt:
    started_at, finished_at, run_id, message_id, outcome, code, enhanced, response, uncertain, dialogue = values
    return Attempt(
        started_at, finished_at, run_id, message_id, outcome and _member(Ending, outcome), code, enhanced, response,
        bool(uncertain), dialogue,
    )  # fmt: skip


def _row(columns: tuple[Any, ...]) -> Row:
    (outbox_id, account, status, retries, due, message_id, acceptance, last_error, subject, size, created, sent_at,
     held_at, gave_up, uncertain, error_code, priority, pruned_at, dismissed_at, anonymised_at,
     _) = columns  # fmt: skip
    status = _member(Status, status)
    return Row(
        outbox_id=outbox_id, account=account, status=status, retries=retries,
        next_attempt_at=None if is_over(status, gave_up) else due, message_id=message_id,
        provider_message_id=acceptance, last_error=last_error, subject=subject, to=[],
        size_bytes=size, created_at=created, sent_at=sent_at, held=held_at is not None,
        gave_up=gave_up and _member(Reason, gave_up), uncertain=bool(uncertain), error_code=error_code,
        priority=_member(Priority, priority), pruned_at=pruned_at, anonymised_at=anonymised_at,
        dismissed_at=dismissed_at,
    )  # fmt: skip
