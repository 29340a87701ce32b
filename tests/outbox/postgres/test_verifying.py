"""``outbox verify`` on a database: what was changed behind the program's back is found and named."""

from __future__ import annotations

import psycopg
import pytest

from prx_email_cli.outbox.postgres.store import PostgresStore
from prx_email_cli.outbox.postgres.verifying import AT_ONCE, verify
from prx_email_cli.outbox.views import Verified

from ...conftest import Program
from ...support.postgres import PostgresServer
from ..messages import NOW, claim, new_message, sent
from .conftest import Machine

LARGE = b"x" * 700_000  # three pieces


@pytest.fixture
def store(machine: Machine) -> PostgresStore:
    """Three messages, of which 1 is sent; 2 has a large content."""
    store = machine("one")
    store.submit([new_message(), new_message(content=LARGE), new_message()])
    with store.start_run(NOW) as run:
        run.advance([sent(claim(run))], [])
    return store


def verified(store: PostgresStore) -> Verified:
    with store.reading() as connection:
        return verify(connection, lambda messages: None)


def damage(store: PostgresStore, *statements: str) -> None:
    """Change rows as no command would: no rule and no trigger is asked."""
    with psycopg.connect(store.where.conninfo, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


def test_an_intact_outbox_has_no_faults_and_every_message_is_counted(store: PostgresStore) -> None:
    assert verified(store) == Verified({"pending": 2, "sent": 1}, 3, 0, 3, [])


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE content SET data = 'other' WHERE id = 65536", "outbox message 1: its content is not as submitted"),
        ("UPDATE content SET data = data || 'x' WHERE id = 2 * 65536 + 2",
         "outbox message 2: its content is not as submitted"),
        ("DELETE FROM content WHERE id = 3 * 65536", "outbox message 3: its content is missing"),
        ("UPDATE recipient SET address = 'eve@example.org' WHERE outbox_id = 2",
         "outbox message 2: its sender and recipients are not as submitted"),
        ("UPDATE outbox SET size_bytes = 1 WHERE id = 1", "outbox message 1: its content has another size"),
        ("INSERT INTO content VALUES (9 * 65536, 'x')", "1 contents without their message"),
        ("INSERT INTO recipient VALUES (7, 0, 'a@example.org', 'to')", "a row of recipient without its message"),
        ("UPDATE stored_slot SET messages = messages + 1", "3 messages of account work are stored, and 4 are counted"),
        ("SELECT setval('outbox_id', 2)", "the next id would not be above 3, which was given already"),
    ],
)  # fmt: skip
def test_damage_is_named(store: PostgresStore, statement: str, fault: str) -> None:
    damage(store, statement)
    assert verified(store).faults == [fault]


def test_a_row_that_breaks_a_rule_of_the_tables_is_found(store: PostgresStore) -> None:
    with psycopg.connect(store.where.conninfo) as connection:
        found = connection.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = CAST('outbox' AS regclass) AND pg_get_expr(conbin, conrelid) LIKE '%sent_at%'"
        ).fetchone()
    assert found is not None
    name, definition = found
    damage(store, f"ALTER TABLE outbox DROP CONSTRAINT {name}", "UPDATE outbox SET sent_at = NULL WHERE id = 1",
           f"ALTER TABLE outbox ADD CONSTRAINT {name} {definition} NOT VALID")  # fmt: skip
    (fault,) = verified(store).faults
    assert fault.startswith("1 rows of outbox break the rule")
    assert "sent_at" in fault


def test_all_of_it_is_one_moment_while_others_store(store: PostgresStore, machine: Machine) -> None:
    store.submit([new_message() for _ in range(2 * AT_ONCE)])
    other, steps = machine("other"), []

    def disturb(messages: int) -> None:
        other.submit([new_message()])
        steps.append(messages)

    with store.reading() as connection:
        found = verify(connection, disturb)
    assert (found.contents, found.faults) == (3 + 2 * AT_ONCE, [])
    assert len(steps) == 3


def test_the_command_says_what_is_wrong_and_ends_with_74(program: Program, server: PostgresServer) -> None:
    program.url = server.new_database()
    program.configure()
    program.send()
    answer = program.run("outbox", "verify")
    assert (answer.status, answer.err) == (0, "")
    assert "intact: 1 messages (1 pending)" in answer.out
    with psycopg.connect(program.url) as connection:
        connection.execute("UPDATE content SET data = 'other'")
    answer = program.run("outbox", "verify", "--json")
    assert (answer.status, answer.json["ok"]) == (74, False)
    assert answer.data["faults"] == ["outbox message 1: its content is not as submitted"]
    assert "pg_amcheck" in answer.json["error"]["hint"]
    assert answer.data["file"] == program.url
