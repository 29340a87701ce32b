"""What a look reads does not grow with what was sent: counted in steps of SQLite, which depend on no clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.outbox.history import Span
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.relational import selecting
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.views import Filter, Pruning

from ..messages import NOW, open_store

FEW, MANY, UNSENT = 50, 5000, 40
STEPS = 10  # of SQLite's machine between two calls
_SENT = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO outbox (account, status, next_attempt_at, first_due_at, created_at, sent_at, message_id, sender, subject,
                    size_bytes) SELECT 'work', 'sent', i, i, i, i, '<outbox-' || i || '-0@x>', 'ops@x', 's', 9 FROM n
"""
_UNSENT = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO outbox (account, status, next_attempt_at, first_due_at, created_at, sender, subject, size_bytes, held_at,
                    gave_up, uncertain, last_error)
SELECT 'work', 'failed', i, i, i, 'ops@x', 's', 9, CASE i % 4 WHEN 1 THEN 1 END, CASE i % 4 WHEN 2 THEN 'refused' END,
       i % 4 = 3, 'why' FROM n
"""
_RECIPIENTS = "INSERT INTO recipient (outbox_id, number, address, kind) SELECT id, 0, 'a@x', 'to' FROM outbox"
_ATTEMPTS = """
INSERT INTO attempt (outbox_id, retries, account, run_id, message_id, started_at, finished_at, outcome,
                     uncertain, counts)
SELECT id, 0, account, '1-1-x', '<m>', created_at, created_at, 'sent', 0, 1 FROM outbox WHERE status = 'sent'
"""
LOOKS: dict[str, Callable[[SqliteStore], object]] = {
    "list": lambda store: store.rows(Filter()),
    "list --account": lambda store: store.rows(Filter(account="work")),
    "list --account another": lambda store: store.rows(Filter(account="another")),
    **{
        f"list --status {status}": lambda store, status=status: store.rows(Filter(statuses=(status,)))  # type: ignore[misc]
        for status in Status
    },
    "list --due": lambda store: store.rows(Filter(due_at=NOW)),
    "list --gave-up": lambda store: store.rows(Filter(gave_up=True)),
    "list --held": lambda store: store.rows(Filter(held=True)),
    "list --uncertain": lambda store: store.rows(Filter(uncertain=True)),
    "list --repeated": lambda store: store.rows(Filter(repeated=True)),
    "list --error": lambda store: store.rows(Filter(error="nothing")),
    "list --cause": lambda store: store.rows(Filter(failures=tuple(store.failures()))),
    "its total": lambda store: store.count(Filter()),
    "its total of the sent": lambda store: store.count(Filter(statuses=(Status.SENT,))),
    "status": lambda store: (store.figures(NOW), store.failures(), store.account_states(), store.delivered(NOW)),
    "check, stats --prometheus": lambda store: store.figures(NOW),
    "stats": lambda store: store.stats(NOW),
    "show": lambda store: store.row(7),
    "prune 7": lambda store: store.prunable(Pruning(NOW, NOW, ids=(7,))),
    "what an empty drain asks": lambda store: (store.accounts_due(0), store.next_due_at()),
    "log": lambda store: store.log(Span(most=50), NOW),
}


def filled(path: Path, sent: int) -> SqliteStore:
    """An outbox with so many sent messages, and the same others."""
    store = open_store(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_SENT, (sent,))
        connection.execute(_UNSENT, (UNSENT,))
        connection.execute(_RECIPIENTS)
        connection.execute(_ATTEMPTS)
    return store


def steps(store: SqliteStore, look: Callable[[SqliteStore], object]) -> int:
    count = 0

    def step() -> int:
        nonlocal count
        count += STEPS
        return 0

    store._connection.set_progress_handler(step, STEPS)
    look(store)
    store._connection.set_progress_handler(None, STEPS)
    return count


@pytest.fixture(scope="module")
def outboxes(tmp_path_factory: pytest.TempPathFactory) -> list[SqliteStore]:
    directory = tmp_path_factory.mktemp("costs")
    return [filled(directory / f"{sent}.db", sent) for sent in (FEW, MANY)]


@pytest.mark.parametrize("what", LOOKS)
def test_a_look_costs_no_more_with_a_hundred_times_as_many_sent_messages(
    outboxes: list[SqliteStore], what: str
) -> None:
    few, many = (steps(store, LOOKS[what]) for store in outboxes)
    assert many <= 2 * few + 1000, (few, many)


@pytest.mark.parametrize("name", ["recipient", "sender", "subject", "since", "until"])
def test_what_must_read_messages_one_by_one_reads_the_latest_by_their_ids(
    outboxes: list[SqliteStore], name: str
) -> None:
    wanted = Filter(**{name: NOW if name in ("since", "until") else "nobody"})  # type: ignore[arg-type]
    statement = f"EXPLAIN QUERY PLAN SELECT id FROM {selecting.matching(wanted)} ORDER BY id DESC LIMIT :limit"
    plan = [step[3] for step in selecting.run(outboxes[1]._connection, statement, wanted)]
    assert any("SEARCH outbox USING INTEGER PRIMARY KEY (rowid>?)" in step for step in plan), plan
