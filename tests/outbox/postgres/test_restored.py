"""What comes back from a backup sends nothing until a person decides, as far as it can be known as one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest

from prx_email_cli.errors import RestoredBackup
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import Patience, PostgresStore

from ...conftest import Program
from ...support.mailhost import MailHost
from ...support.postgres import PostgresServer, programs
from ..messages import DOMAIN, NOW, claim, new_message, sent, wish
from .conftest import Machine


@pytest.fixture
def url(machine: Machine) -> str:
    """An outbox with one message."""
    store = machine("one")
    store.submit([new_message()])
    return store.where.conninfo


def run(server: PostgresServer, program: str, *words: str, given: bytes | None = None) -> bytes:
    where = programs()
    assert where is not None
    return subprocess.run([str(where / program), *words], input=given, capture_output=True, check=True).stdout


def is_known_as_restored(server: PostgresServer, url: str) -> bool:
    with closing(PostgresStore(Where(url, "it"), server.directory / "records", DOMAIN, Patience())) as store:
        try:
            store.refuse_restored()
        except RestoredBackup:
            with store.start_run(NOW) as one, pytest.raises(RestoredBackup):
                one.advance([], [wish()])
            return True
        return False


def plain(server: PostgresServer, url: str) -> str:
    copy = server.new_database(migrated=False)
    run(server, "psql", "-q", copy, given=run(server, "pg_dump", url))
    return copy


def custom(server: PostgresServer, url: str) -> str:
    copy = server.new_database(migrated=False)
    run(server, "pg_restore", "--no-owner", "--dbname", copy, given=run(server, "pg_dump", "-Fc", url))
    return copy


def in_place(server: PostgresServer, url: str) -> str:
    run(server, "pg_restore", "--clean", "--if-exists", "--dbname", url, given=run(server, "pg_dump", "-Fc", url))
    return url


def template(server: PostgresServer, url: str) -> str:
    copy = url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(  # of a session that has just been closed
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", (copy,)
        )
        connection.execute(f"CREATE DATABASE copy_of_{copy} TEMPLATE {copy}".encode())
    return server.url(f"copy_of_{copy}")


@pytest.mark.parametrize("restored", [plain, custom, in_place, template])
def test_a_copy_of_the_databases_own_tools_waits_for_a_decision(
    server: PostgresServer, machine: Machine, url: str, restored: Callable[[PostgresServer, str], str]
) -> None:
    assert not is_known_as_restored(server, url)
    machine("one").close()
    assert is_known_as_restored(server, restored(server, url))


@pytest.fixture
def own_server(server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped."""
    own = PostgresServer()
    yield own
    own.close()


def test_the_files_of_a_stopped_server_are_not_known_as_restored(own_server: PostgresServer) -> None:
    """All its numbers are the same: docs/scaling.md says what a person must do then."""
    url, records = own_server.new_database(), own_server.directory / "records"
    with closing(PostgresStore(Where(url, "it"), records, DOMAIN, Patience())) as store:
        store.submit([new_message()])
    data = own_server.directory / "data"
    own_server.stop()
    subprocess.run(["cp", "-a", str(data), f"{data}.backup"], check=True)
    own_server.start()
    with closing(PostgresStore(Where(url, "it"), records, DOMAIN, Patience())) as store, store.start_run(NOW) as one:
        one.advance([sent(claim(one))], [])
    own_server.stop()
    shutil.rmtree(data)
    shutil.move(f"{data}.backup", data)
    own_server.start()
    with closing(PostgresStore(Where(url, "it"), records, DOMAIN, Patience())) as store:
        store.refuse_restored()
        assert store.hold_all(None, NOW) == [1]  # what is to be said before a drain starts
        with store.start_run(NOW) as one:
            assert one.advance([], [wish()]).claims == [[]]


@pytest.mark.parametrize("decision", ["hold --all", "outbox accept-restore"])
def test_a_person_decides_as_with_a_file(program: Program, server: PostgresServer, decision: str) -> None:
    program.url = server.new_database()
    with MailHost() as host:
        program.configure(host.port)
        program.send()
        dump = run(server, "pg_dump", "-Fc", program.url)
        assert program.run("drain").status == 0
        program.url = server.new_database(migrated=False)
        run(server, "pg_restore", "--dbname", program.url, given=dump)
        program.configure(host.port)
        refused = program.run("drain")
        assert (refused.status, "is a restored backup" in refused.err) == (75, True)
        assert "is a restored backup" in program.run("doctor", "--offline").out
        later = program.send()  # storing goes on
        assert program.run(*decision.split()).status == 0
        if decision == "hold --all":
            assert program.run("release", str(later)).status == 0
        assert program.run("drain").status == 0
        assert len(host.messages) == (2 if decision == "hold --all" else 3)
