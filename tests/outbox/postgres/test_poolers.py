"""A pooler in transaction mode is refused, however its sessions are shared out; one in session mode works."""

from __future__ import annotations

import threading

import psycopg
import pytest

from ...conftest import Program
from ...support.mailhost import MailHost
from ...support.pgbouncer import MISSING, PgBouncer, unpacked
from ...support.postgres import PostgresServer, database_of

pytestmark = pytest.mark.skipif(unpacked() is None, reason=MISSING)


@pytest.fixture
def database(server: PostgresServer) -> str:
    return database_of(server.new_database())


@pytest.mark.parametrize("round_robin", [0, 1])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pool_of_less_than_sessions_is_refused(
    program: Program, server: PostgresServer, database: str, mode: str, round_robin: int
) -> None:
    with PgBouncer(server, f"pool_mode = {mode}", f"server_round_robin = {round_robin}") as pooler:
        url = pooler.url(database)
        held = [psycopg.connect(url, autocommit=True) for _ in range(4)]
        if mode == "transaction":  # so that several sessions lie idle in the pool
            for one in held:
                one.execute("BEGIN")
            for one in held:
                one.execute("ROLLBACK")
        program.url = url
        program.configure()
        try:
            for command in (("list",), ("drain",), ("outbox", "migrate")):
                answer = program.call(*command)
                assert answer.status == 78, answer
                assert "is in transaction mode" in answer.err
                assert "pool_mode = session" in answer.err
        finally:
            for one in held:
                one.close()


def test_a_busy_pool_of_transactions_is_refused_each_time(
    program: Program, server: PostgresServer, database: str
) -> None:
    with PgBouncer(server, "pool_mode = transaction", "default_pool_size = 5") as pooler:
        url = pooler.url(database)
        over = threading.Event()

        def work() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                while not over.is_set():
                    connection.execute(b"BEGIN; SELECT pg_sleep(0.002); COMMIT")

        workers = [threading.Thread(target=work) for _ in range(3)]
        for one in workers:
            one.start()
        program.url = url
        program.configure()
        try:
            answers = [program.call("list") for _ in range(20)]
            assert {one.status for one in answers} == {78}, answers
        finally:
            over.set()
            for one in workers:
                one.join()


@pytest.mark.parametrize("size", [20, 1])
def test_a_pool_of_sessions_works_also_when_it_has_no_other_free(
    program: Program, server: PostgresServer, database: str, size: int
) -> None:
    with PgBouncer(server, "pool_mode = session", f"default_pool_size = {size}") as pooler, MailHost() as host:
        program.url = pooler.url(database)
        program.configure(host.port)
        program.send()
        if size > 1:  # a drain needs a second session beside
            assert program.run("drain").status == 0
            assert len(host.messages) == 1
        assert len(program.call("list", "--json").data) == 1
