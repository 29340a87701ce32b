"""How the server finds what is due: by the index of that, also when it has a wrong idea of the table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg
import pytest

from prx_email_cli.outbox.messages import ClaimNext
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.dialect import PostgresConnection, spelled
from prx_email_cli.outbox.postgres.schema import LOCK
from prx_email_cli.outbox.postgres.store import PostgresStore
from prx_email_cli.outbox.relational import sql as moves

from ..messages import NOW, POLICY, sent
from .conftest import Machine

MANY = 20_000
FEW_PAGES = 250  # of 8 KiB; the outbox has 400 and more
WISH = ClaimNext("work", NOW, NOW, most=8)
SENT = f"UPDATE outbox SET status = 'sent', sent_at = {NOW} WHERE id <= {MANY}"
CLAIM = {"run": "r", "domain": "d", "numbers": "[1, 2, 3, 4, 5, 6, 7, 8]", "account": "work", "due_before": NOW,
         "now": NOW, "most": 8}  # fmt: skip
STATEMENTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "claim": (sql.CLAIM_NEXT, CLAIM),
    "count what is due": (sql.COUNT_DUE, {"account": "work", "due_before": NOW, "now": NOW, "limit": 10}),
    "the next account": (sql.NEXT_ACCOUNT, {"after": ""}),
    "the next time": (sql.NEXT_DUE_AT, {"account": "work"}),
    "a moment to record": (moves.TO_RECORD, {"now": NOW, "least": 60}),
    "what expires": (moves.EXPIRING, {"now": NOW, "limit": 1}),
    "the runs that hold claims": (moves.RUNS_SENDING, {}),
    "what nobody tells of": (sql.LOOK, {"class": LOCK, "by": None}),
}
STATISTICS = {
    "there are none": (),
    "all was due, and is sent": ("ANALYZE outbox", SENT),
    "all was sent, and more is due": (SENT, "ANALYZE outbox"),
}


def fill(connection: PostgresConnection, first: int, many: int) -> None:
    connection.execute_as_it_is(
        "INSERT INTO outbox (id, account, next_attempt_at, first_due_at, created_at, sender, subject, size_bytes)"
        f" SELECT i, 'work', {NOW}, {NOW}, {NOW}, 'a@example.com', 's', 0"
        f" FROM generate_series({first}, {first + many - 1}) AS i"
    )


def explain(store: PostgresStore, statement: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the statement does, in a transaction that is undone."""

    def make(connection: PostgresConnection) -> None:
        connection.execute(sql.BY_INDEX)
        text = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {spelled(statement)}"
        with connection.transaction():
            plans.extend(connection.connection.execute(text.encode(), values).fetchall()[0][0])
            raise psycopg.Rollback

    plans: list[dict[str, Any]] = []
    store.change(make, tell=False)
    return plans[0]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for one in plan.get("Plans", ()):
        yield from nodes(one)


def pages(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.fixture
def store(machine: Machine) -> PostgresStore:
    """An outbox in which nothing vacuums and analyses but what a test asks for."""
    store = machine("one")
    store.change(lambda connection: connection.execute_as_it_is("ALTER TABLE outbox SET (autovacuum_enabled = off)"))
    return store


@pytest.mark.parametrize("statistics", STATISTICS)
def test_what_is_due_is_found_by_its_index_whatever_the_statistics_say(store: PostgresStore, statistics: str) -> None:
    store.change(lambda connection: fill(connection, 1, MANY), tell=False)
    for statement in STATISTICS[statistics]:
        store.change(lambda connection, statement=statement: connection.execute_as_it_is(statement))  # type: ignore[misc]
    store.change(lambda connection: fill(connection, MANY + 1, 100 if statistics.startswith("all was due") else MANY))

    explain(store, *STATEMENTS["claim"])  # who first meets what is dead looks it up, and marks it in the index
    dead = MANY // 100 if SENT in STATISTICS[statistics] else 0  # pages of the index that have such marks
    for what, (statement, values) in STATEMENTS.items():
        told = explain(store, statement, values)
        found = [
            one for one in nodes(told["Plan"]) if one.get("Relation Name") == "outbox" and "Scan" in one["Node Type"]
        ]
        indexes = {one.get("Index Name", one["Node Type"]) for one in found}
        assert "JIT" not in told, what
        assert indexes <= {"outbox_due", "outbox_pkey", "outbox_expiring", "outbox_sending"}, what
        assert pages(told["Plan"]) < FEW_PAGES + dead, what
        if what == "claim":
            assert indexes == {"outbox_due", "outbox_pkey"}


def test_whatever_looks_for_what_is_due_has_it_found_by_index(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.change(lambda connection: fill(connection, 1, 10), tell=False)
    heeded: dict[str, bool] = {}
    original = PostgresConnection.execute

    def execute(connection: PostgresConnection, statement: str, values: Any = (), /) -> Any:
        for what, (one, _) in STATEMENTS.items():
            if statement == one:
                (sorts,) = original(connection, "SHOW enable_sort").fetchone()
                heeded[what] = heeded.get(what, True) and sorts == "off"
        return original(connection, statement, values)

    monkeypatch.setattr(PostgresConnection, "execute", execute)
    assert store.accounts_due(NOW) == ["work"]
    assert (store.count_due("work", NOW), store.next_due_at()) == (10, NOW)
    with store.start_run(NOW) as run:
        run.recover(POLICY, NOW)
        run.begin_drain(NOW)
        run.expire(NOW)
    with closing(store.watch()) as watch:
        deadline = time.monotonic() + 60
        while "what nobody tells of" not in heeded:
            watch.changed()  # asks itself until the thread listens; that looks first after a second
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert heeded == dict.fromkeys(STATEMENTS.keys() - {"claim"}, True)


def test_claims_touch_few_more_pages_when_thousands_of_messages_have_gone(store: PostgresStore) -> None:
    store.change(lambda connection: fill(connection, 1, 4000), tell=False)
    before = pages(explain(store, *STATEMENTS["claim"])["Plan"])
    with store.start_run(NOW) as run:
        claims = run.advance([], [WISH._replace(most=200)]).claims[0]
        while claims and claims[0].outbox_id < 3600:
            claims = run.advance([sent(one) for one in claims], [WISH._replace(most=200)]).claims[0]
        run.advance([], [], claims)
    explain(store, *STATEMENTS["claim"])  # marks what is dead
    after = pages(explain(store, *STATEMENTS["claim"])["Plan"])

    assert after < before + 100
