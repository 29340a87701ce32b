"""What the server cannot do, it says with a hint that fits; nothing is acknowledged, and it all goes on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from prx_email_cli.errors import Exit, NotPermitted, OutboxBusy, OutboxDamaged, StorageError
from prx_email_cli.listen.replies import refused
from prx_email_cli.outbox.postgres.faults import SessionLost
from prx_email_cli.outbox.postgres.store import PostgresStore

from ...conftest import Program
from ...support.mailhost import MailHost
from ...support.postgres import MISSING, USER, PostgresServer, database_of, programs
from ...support.small_disk import NoDisk, SmallDisk
from ..messages import NOW, claim, new_message
from .conftest import Machine

STORAGE, TRY_LATER = Exit.STORAGE, Exit.TRY_LATER
PATIENCE_SECONDS = 60
SEND = ("send", "--to", "a@example.org", "--subject", "s", "--body", "b")


class Refusal(NamedTuple):
    """How a refusal of the server is told: our error, its exit status, its hint, and what a client of listen hears."""

    kind: type[StorageError]
    status: Exit
    hint: str
    heard: str = "451 4.3.0 the message cannot be stored now"


BUSY = "451 4.3.0 the outbox is busy"
REFUSALS = {
    "25006": Refusal(StorageError, STORAGE, "name the primary"),
    "40001": Refusal(OutboxBusy, TRY_LATER, "try again", BUSY),
    "40P01": Refusal(OutboxBusy, TRY_LATER, "try again", BUSY),
    "42501": Refusal(NotPermitted, STORAGE, "Roles"),
    "42703": Refusal(StorageError, STORAGE, "name another database"),
    "42P01": Refusal(StorageError, STORAGE, "name another database"),
    "53000": Refusal(StorageError, STORAGE, "no room left"),
    "53100": Refusal(StorageError, STORAGE, "free some space", "452 4.3.1 no space"),
    "53200": Refusal(OutboxBusy, TRY_LATER, "max_locks_per_transaction", BUSY),
    "53300": Refusal(OutboxBusy, TRY_LATER, "max_connections", BUSY),
    "53400": Refusal(StorageError, STORAGE, "a limit of the server"),
    "55P03": Refusal(OutboxBusy, TRY_LATER, "try again", BUSY),
    "57014": Refusal(OutboxBusy, TRY_LATER, "statement_timeout", BUSY),
    "57P01": Refusal(SessionLost, STORAGE, "check that the server runs"),
    "58030": Refusal(StorageError, STORAGE, "cannot use its disk"),
    "P0001": Refusal(StorageError, STORAGE, "server's log"),
    "XX000": Refusal(StorageError, STORAGE, "server's log"),
    "XX001": Refusal(OutboxDamaged, STORAGE, "restore a backup"),
    "XX002": Refusal(OutboxDamaged, STORAGE, "restore a backup"),
}
_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'it is refused' USING ERRCODE = '{code}'; END $$;
CREATE TRIGGER refuse BEFORE {what} ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()
"""
_MEND = "DROP FUNCTION refuse CASCADE"


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def execute(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else None


def refusing(store: PostgresStore, code: str, what: str) -> None:
    execute(store.where.conninfo, _REFUSE.format(code=code, what=what))


@pytest.mark.parametrize("code", REFUSALS)
def test_what_the_server_refuses_is_told_as_what_it_is_and_mended_it_is_as_before(machine: Machine, code: str) -> None:
    store, expected = machine("one"), REFUSALS[code]
    (known,) = store.enqueue([new_message()])
    refusing(store, code, "INSERT OR UPDATE")
    with pytest.raises(StorageError) as stored:
        store.submit([new_message()])
    with store.start_run(NOW) as run, pytest.raises(StorageError) as claimed:
        claim(run)
    for error in (stored.value, claimed.value):
        assert (type(error), error.exit_code) == (expected.kind, expected.status)
        assert expected.hint in error.hint
        assert "it is refused" in error.message
    assert "was not stored" in stored.value.hint
    assert refused(stored.value).startswith(expected.heard)
    execute(store.where.conninfo, _MEND)
    assert execute(store.where.conninfo, "SELECT id FROM outbox") == [(known,)]
    assert store.enqueue([new_message()]) > [known]
    with store.start_run(NOW) as run:
        assert claim(run).outbox_id == known


# What a message that was delivered comes to if that cannot be recorded.
@pytest.mark.parametrize("code", ["53100", "58030", "42501"])
def test_a_result_that_the_server_refuses_is_told_and_recorded_by_the_next_drain(
    server: PostgresServer, program: Program, code: str
) -> None:
    program.url = server.new_database()
    with MailHost() as host:
        program.configure(host.port)
        outbox_id = program.send()
        execute(program.url, _REFUSE.format(code=code, what="INSERT").replace("ON outbox", "ON attempt"))
        answer = program.run("drain")
        assert answer.status == STORAGE
        assert f"outbox message {outbox_id} was delivered (" in answer.err
        assert "but that could not be recorded" in answer.err
        execute(program.url, _MEND)
        program.run("drain")
        assert len(host.messages) == 1
        assert program.show(outbox_id)["status"] == "sent"


# --- real shortages, of a server of one's own


@pytest.fixture(scope="module")
def narrow() -> Iterator[PostgresServer]:
    """A server with few connections and few locks."""
    if programs() is None:
        pytest.skip(MISSING)
    server = PostgresServer("max_connections=12", "max_locks_per_transaction=10")
    yield server
    server.close()


def test_no_connection_is_left(program: Program, narrow: PostgresServer) -> None:
    program.url = narrow.new_database()
    program.configure()
    with ExitStack() as others:
        with suppress(psycopg.OperationalError):
            while True:
                others.enter_context(psycopg.connect(program.url))
        for command in (SEND, ("drain",)):
            answer = program.run(*command)
            assert (answer.status, answer.out) == (TRY_LATER, "")
            assert "max_connections" in answer.err
    assert program.run(*SEND).status == 0


def test_no_lock_is_left(program: Program, narrow: PostgresServer) -> None:
    program.url = narrow.new_database()
    program.configure()
    with psycopg.connect(program.url, autocommit=True) as other:
        with pytest.raises(psycopg.errors.OutOfMemory):
            other.execute(b"SELECT pg_advisory_lock(one) FROM generate_series(1, 1000000) AS one")
        for command in (SEND, ("drain",)):
            answer = program.run(*command)
            assert (answer.status, answer.out) == (TRY_LATER, "")
            assert "hint: try again; if it stays so, raise max_locks_per_transaction" in answer.err
    assert program.run(*SEND).status == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        disk = SmallDisk(tmp_path / "small")
    except NoDisk as error:
        pytest.skip(f"no tmpfs without root: {error}")
    yield disk
    disk.unmount()


def test_a_full_disk_of_the_server(program: Program, small: SmallDisk) -> None:
    if programs() is None:
        pytest.skip(MISSING)
    server = PostgresServer()
    try:
        uid, gid = server.owner
        assert uid is not None
        assert gid is not None
        os.chown(small.directory, uid, gid)
        for directory in small.directory.parents:  # the server comes through
            if directory.stat().st_uid == os.getuid() and directory != Path("/"):
                directory.chmod(directory.stat().st_mode | 0o011)
        subprocess.run(["mount", "-o", "remount,size=40m", str(small.directory)], check=True)
        program.url = server.new_database()
        name = database_of(program.url)
        server.sql(f"CREATE TABLESPACE small LOCATION '{small.directory}'",
                   f"ALTER DATABASE {name} SET TABLESPACE small")  # fmt: skip
        with MailHost() as host:
            program.configure(host.port)
            (program.home / "text").write_text("a line of text\n" * 20_000)
            send = (*SEND[:-2], "--body-file", str(program.home / "text"))
            known = [program.run(*send).out.strip()]
            small.fill()
            while (answer := program.run(*send)).status == 0:  # a few have room in what the tables have already
                known.append(answer.out.strip())
            assert (answer.status, answer.out) == (STORAGE, "")
            assert "No space left on device" in answer.err
            assert "free some space on the disk of its server" in answer.err
            assert "was not stored" in answer.err
            drained = program.run("drain")
            assert "check that the server runs" not in drained.err
            small.free()
            server.restart()
            program.run("drain")
            rows = program.run("list", "--json").data
            assert sorted(str(row["outbox_id"]) for row in rows) == sorted(known)
            assert {row["status"] for row in rows} == {"sent"}
            assert len(host.messages) == len(known)
    finally:
        server.close()


# --- what changes under a follower


class Guarded(NamedTuple):
    """A database of a role that is let in by its password."""

    server: PostgresServer
    url: str
    role: str

    def end_sessions(self) -> None:
        self.server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self.role}'")


@pytest.fixture
def guarded(server: PostgresServer) -> Iterator[Guarded]:
    url = server.new_database()
    role = database_of(url) + "_follower"
    hba = server.directory / "data" / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(f"local all {role} scram-sha-256\n{before}")
    server.sql("SELECT pg_reload_conf()", f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'before'")
    yield Guarded(server, url, role)
    hba.write_text(before)
    server.sql("SELECT pg_reload_conf()")


CHANGES = {
    "its password": (
        "ALTER ROLE {role} PASSWORD 'after'", "ALTER ROLE {role} PASSWORD 'before'", "password authentication failed"
    ),
    "its database": (
        "ALTER DATABASE {name} RENAME TO {name}_gone", "ALTER DATABASE {name}_gone RENAME TO {name}", "does not exist"
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_follower_that_is_not_let_in_any_more_says_why_and_goes_on_when_it_is(
    guarded: Guarded, program: Program, change: str
) -> None:
    names = {"role": guarded.role, "name": database_of(guarded.url)}
    worse, better, why = (statement.format(**names) for statement in CHANGES[change])
    with MailHost() as host:
        program.url = guarded.url.replace(f"//{USER}@", f"//{guarded.role}@")
        program.configure(host.port, outbox='password = "before"')
        follower = program.start(
            "--config", str(program.config.rename(program.home / "role.toml")), "drain", "--follow"
        )
        program.url = guarded.url
        program.configure(host.port)
        program.send()
        until(lambda: len(host.messages) == 1)
        until(lambda: program.call("list", "--json").data[0]["status"] == "sent")
        until(lambda: _changed(guarded, worse))
        assert follower.stderr is not None
        said = follower.stderr.readline()
        while "is gone: waiting for it: " not in said:
            assert "is gone: waiting for it" in said, "the first is said before it is known why"
            said = follower.stderr.readline()
        assert why in said
        guarded.server.sql(better)
        program.send()
        until(lambda: len(host.messages) == 2)
        follower.send_signal(signal.SIGTERM)
        _, err = follower.communicate(timeout=PATIENCE_SECONDS)
    assert (follower.returncode, err) == (0, "")


def _changed(guarded: Guarded, statement: str) -> bool:
    """Change it and end the sessions; a database is renamed only while nobody is in it."""
    guarded.end_sessions()
    try:
        guarded.server.sql(statement)
    except psycopg.errors.ObjectInUse:
        return False
    guarded.end_sessions()
    return True


@pytest.mark.parametrize("damage", ["DROP TABLE attempt CASCADE", "ALTER TABLE outbox RENAME COLUMN sender TO who"])
def test_tables_that_are_not_ours_are_told_as_that(server: PostgresServer, program: Program, damage: str) -> None:
    program.url = server.new_database()
    with MailHost() as host:
        program.configure(host.port)
        program.send()
        execute(program.url, damage)
        for command in (("drain",), ("log",)) if "attempt" in damage else (SEND, ("drain",)):
            answer = program.run(*command)
            assert answer.status == STORAGE
            assert "its tables are not those of prx-email" in answer.err
            assert "name another database in [outbox] url" in answer.err
        assert not host.messages or damage.startswith("DROP")


@pytest.mark.parametrize("code", ["53100", "40P01", "42501"])
def test_a_program_that_calls_sendmail_is_told_to_try_again(
    server: PostgresServer, program: Program, code: str
) -> None:
    program.url = server.new_database()
    program.configure()
    program.run("list")
    execute(program.url, _REFUSE.format(code=code, what="INSERT"))
    command = [str(Path(sys.executable).with_name("prx-sendmail")), "a@example.org"]
    done = subprocess.run(
        command, input="Subject: s\n\nb\n", env=program.environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (TRY_LATER, ""), done
    assert "it is refused" in done.stderr
    execute(program.url, _MEND)
    assert program.run("list", "--json").data == []
