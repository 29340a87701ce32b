"""What a claim costs in a large outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.outbox.relational import sql as moves
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, claim, new_message, open_store

ROWS = """
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :rows)
INSERT INTO outbox (account, status, next_attempt_at, first_due_at, created_at, sent_at, sender, subject, size_bytes)
SELECT CASE n % 3 WHEN 0 THEN 'home' ELSE 'work' END, :status, :now - n, :now - n, :now, :sent_at, '', 's', 1
  FROM number
"""


def fill(path: Path, status: str, rows: int) -> None:
    sent_at = NOW if status == "sent" else None
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(ROWS, {"rows": rows, "status": status, "now": NOW, "sent_at": sent_at})


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """20,000 sent messages and 2,000 due ones, of two accounts."""
    store = open_store(tmp_path_factory.mktemp("large") / "outbox.db")
    fill(store.path, "sent", 20_000)
    fill(store.path, "pending", 2_000)
    yield store
    store.close()


def plan(store: SqliteStore, statement: str) -> list[str]:
    """How SQLite would carry *statement* out."""
    values = {"run": "r", "domain": "d", "account": "work", "due_before": NOW, "now": NOW, "limit": 10, "after": "",
              "most": 3, "numbers": "[1, 2, 3]", "but": "[]"}  # fmt: skip
    with closing(sqlite3.connect(store.path)) as connection:
        return [str(step[-1]) for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]


def steps_of_a_claim(store: SqliteStore) -> int:
    """Instructions of SQLite's virtual machine for one claim: the same on every machine, unlike time."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    with store.start_run(NOW) as run:
        claim(run)  # what a run's first claim costs once
        store._connection.set_progress_handler(tick, 1)
        claim(run)
        store._connection.set_progress_handler(None, 1)
    return count


IN_TURN = [sql.CLAIM_NEXT, sql.NEXT, sql.NEXT_BY_INDEX, sql.COUNT_DUE, sql.COUNT_DUE_BY_INDEX, sql.RECIPIENTS_OF_NEXT]


@pytest.mark.parametrize("statement", IN_TURN)
def test_what_is_due_is_found_by_one_search_for_each_class_and_never_sorted(large: SqliteStore, statement: str) -> None:
    steps = plan(large, statement)
    search = "SEARCH outbox USING INDEX outbox_due (account=? AND priority=? AND next_attempt_at<?)"
    assert steps.count(search) == len(Priority), steps
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN outbox") for step in steps), steps


@pytest.mark.parametrize("statement", [sql.COUNT_DUE, sql.NEXT_ACCOUNT])
def test_counting_what_is_due_reads_only_what_is_due(large: SqliteStore, statement: str) -> None:
    steps = plan(large, statement)
    assert any("outbox_due" in step for step in steps), steps
    assert not any("SCAN outbox" in step and "outbox_due" not in step for step in steps), steps


def test_recovery_does_not_read_what_was_sent(large: SqliteStore) -> None:
    steps = plan(large, moves.RUNS_SENDING)
    assert all("outbox_sending" in step for step in steps), steps


def test_a_claim_costs_as_much_among_many_as_among_few(large: SqliteStore, outbox: SqliteStore) -> None:
    fill(outbox.path, "pending", 20)
    assert steps_of_a_claim(large) <= 1.2 * steps_of_a_claim(outbox)


def test_a_message_of_a_lower_class_costs_as_much_among_many_of_higher_ones_that_are_not_due(
    large: SqliteStore, outbox: SqliteStore
) -> None:
    fill(outbox.path, "pending", 20)
    before = steps_of_a_claim(outbox)
    later = [new_message(due_at=NOW + 60, priority=priority) for priority in (Priority.HIGH, Priority.NORMAL)]
    outbox.enqueue(later * 500)
    with closing(sqlite3.connect(outbox.path)) as connection, connection:
        connection.execute("UPDATE outbox SET priority = 'bulk' WHERE next_attempt_at <= ?", (NOW,))
    assert steps_of_a_claim(outbox) <= 1.5 * before
