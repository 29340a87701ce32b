"""The tables are brought up to date one migration a transaction, by one program at a time, and never by halves."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import psycopg
import pytest

from prx_email_cli.outbox.postgres import schema

from ...conftest import Program
from ...support.postgres import PostgresServer

SECOND = ("ALTER TABLE outbox ADD COLUMN colour TEXT", "CREATE TABLE shade (name TEXT)")
FAILS = (*SECOND, "SELECT 1 / 0")
KILLED = """
import sys
from prx_email_cli.outbox.postgres import migrating, schema
from prx_email_cli.outbox.postgres.connection import Where, connect
schema.MIGRATIONS += (("CREATE TABLE shade (name TEXT)", "SELECT pg_sleep(600)"),)
connect(Where(sys.argv[1], "the test's"), 5)
"""


def versions(url: str) -> tuple[int, bool]:
    """The version of the tables, and whether the second migration's are there."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT version, to_regclass('shade') IS NOT NULL FROM prx_email").fetchone()
        assert found is not None
        return found[0], found[1]


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let this process know one migration more; the number of the one before."""
    before = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, SECOND))
    return before


@pytest.fixture
def url(program: Program, server: PostgresServer) -> str:
    program.url = server.new_database()
    program.configure()
    return program.url


def test_migrate_says_from_where_to_where_and_a_second_time_nothing(program: Program, url: str, second: int) -> None:
    answer = program.call("outbox", "migrate")
    assert answer.out == f"migrated: from version {second} to {second + 1}\n"
    assert versions(url) == (second + 1, True)
    again = program.call("outbox", "migrate", "--json").data
    assert (again["version_before"], again["version"]) == (second + 1, second + 1)


def test_migrate_makes_the_tables(program: Program, server: PostgresServer) -> None:
    program.url = server.new_database(migrated=False)
    program.configure()
    assert program.run("outbox", "migrate").out == f"migrated: from version 0 to {len(schema.MIGRATIONS)}\n"
    assert program.send() == 1


def test_migrate_opens_a_file(program: Program) -> None:
    first = program.run("outbox", "migrate", "--json").data
    assert first["version_before"] == 0
    assert program.outbox.exists()
    assert program.run("outbox", "migrate").out == f"up to date: version {first['version']}\n"


def test_an_ordinary_command_of_the_owner_migrates(program: Program, url: str, second: int) -> None:
    assert program.send() == 1
    assert versions(url) == (second + 1, True)


def test_of_many_that_migrate_at_once_one_does_it(program: Program, url: str, second: int) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("SELECT pg_advisory_lock(%s, %s)", (schema.LOCK, schema.MIGRATING))
        answers: list[str] = []
        from prx_email_cli.outbox.postgres.connection import Where, connect  # on use
        from prx_email_cli.outbox.postgres.migrating import migrate  # on use

        def one() -> None:
            connection = connect(Where(url, "the test's"), 5, prepare=False)
            answers.append(str(migrate(connection, "the test's", by_hand=True).version))
            connection.connection.close()

        threads = [threading.Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        _wait_until(url, "SELECT count(*) = 3 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        assert versions(url) == (second, False)
        assert not answers
    for thread in threads:
        thread.join()
    assert answers == [str(second)] * 3
    assert versions(url) == (second + 1, True)


def test_a_migration_that_fails_leaves_the_version_before(
    program: Program, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(schema.MIGRATIONS)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, FAILS))
        answer = program.call("outbox", "migrate")
        assert (answer.status, "division by zero" in answer.err) == (74, True)
    assert versions(url) == (before, False)
    assert program.send() == 1


def test_a_program_killed_while_it_migrates_leaves_the_version_before(program: Program, url: str) -> None:
    migrating = subprocess.Popen([sys.executable, "-c", KILLED, url])
    try:
        _wait_until(url, "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()"
                    " AND query LIKE 'SELECT pg_sleep%' AND state = 'active'")  # fmt: skip
    finally:
        migrating.kill()
        migrating.wait(60)
    with psycopg.connect(url, autocommit=True) as connection:  # the server sees the end when the statement ends
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
    assert versions(url) == (len(schema.MIGRATIONS), False)
    assert program.send() == 1


def _wait_until(url: str, question: str) -> None:
    deadline = time.monotonic() + 60
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(question.encode()).fetchone() != (True,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
