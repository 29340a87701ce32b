"""What commands say of an outbox that is a database, and do to it as a whole."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from prx_email_cli.outbox.history import host_name
from prx_email_cli.outbox.messages import ClaimOne

from ...cli.outside import assert_error
from ...cli.test_interrupts import signalled
from ...conftest import Answer, Program
from ...listen.conftest import Listener
from ...support.postgres import PostgresServer

HERE = host_name()


@pytest.fixture
def on_postgres(server: PostgresServer) -> bool:
    """Tell ``program`` to use a database of the server."""
    return True


def checks(program: Program) -> dict[str, str]:
    """What ``doctor`` says, by the names of its checks."""
    return {one["name"]: one["detail"] for one in program.run("doctor", "--json").data["checks"]}


def tables_of(program: Program) -> bytes:
    """The files of the outbox's tables, as they are on the disk."""
    with psycopg.connect(str(program.url), autocommit=True) as database:
        database.execute(b"CHECKPOINT")
        (directory,) = database.execute(b"SHOW data_directory").fetchone() or ("",)
        files = database.execute(
            b"SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 't') AND relfilenode <> 0"
        ).fetchall()
    return b"".join(Path(directory, file).read_bytes() for (file,) in files)


class TestDoctor:
    def test_tells_of_a_machine_that_has_never_drained_without_a_word_of_files(self, program: Program) -> None:
        told = checks(program)
        assert told["database"].startswith("its server answers")
        assert told["disk"].endswith("MiB free for flight records")
        assert told["permissions"] == "nobody else can change the files that prx-email obeys"
        assert [file.name for file in program.home.iterdir()] == ["config.toml"]

    def test_names_the_machine_of_a_run_that_died(self, program: Program) -> None:
        died = abandoned(program, HERE)
        assert died in checks(program)["messages"]
        assert died.endswith(f"@{HERE}")


class TestCompact:
    def test_leaves_nothing_of_what_was_deleted_and_gives_its_room_back(self, program: Program) -> None:
        secret = "in-nobody-elses-mail"
        program.send(body="".join(f"{secret} {number * number}\n" for number in range(100_000)))
        program.send(subject=secret)
        assert program.run("cancel", "1", "2").status == 0
        assert program.run("prune", "--older-than", "0s", "--all").status == 0
        assert secret.encode() in tables_of(program)
        told = program.run("outbox", "compact", "--json").data
        assert told["bytes"] < told["bytes_before"] - 1_000_000
        assert secret.encode() not in tables_of(program)

    def test_says_when_somebody_still_sees_what_was_deleted(self, program: Program) -> None:
        program.configure(outbox="busy_timeout_seconds = 0")
        program.send()
        with psycopg.connect(str(program.url)) as looking:
            looking.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            looking.execute(b"SELECT 1")  # takes a snapshot, and no lock of a table
            assert program.run("cancel", "1").status == 0
            assert_error(program.run("outbox", "compact"), 75, "another process reads the outbox")
        assert program.run("outbox", "compact").status == 0

    def test_does_not_wait_longer_than_the_busy_timeout_for_those_who_use_a_table(self, program: Program) -> None:
        program.configure(outbox="busy_timeout_seconds = 0")
        program.send()
        with psycopg.connect(str(program.url)) as looking:
            looking.execute(b"SELECT * FROM recipient")
            assert_error(program.run("outbox", "compact"), 75, "locked by others")

    def test_by_a_role_that_does_not_own_the_tables_says_so(self, program: Program, server: PostgresServer) -> None:
        program.send()
        role = f"reader{os.getpid()}"
        program.execute(f"CREATE ROLE {role} LOGIN")
        try:
            program.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
            program.execute(f"GRANT EXECUTE ON FUNCTION pg_control_system() TO {role}")
            program.config.write_text(program.config.read_text().replace("prx@/", f"{role}@/"))
            assert_error(program.run("outbox", "compact"), 74, "was not rewritten", "owns the tables")
        finally:
            program.execute(f"DROP OWNED BY {role}")
            program.execute(f"DROP ROLE {role}")


def abandoned(program: Program, host: str) -> str:
    """Message 1 is in the hands of a run that died on *host*; the run's name."""
    program.send()
    store = program.store()
    run = store.start_run(int(time.time()))
    run.claim_by_id(ClaimOne(1, int(time.time()), force=False))
    store.close()  # and the session with it, which is what a run dies of
    died = run.run_id.replace(f"@{HERE}", f"@{host}")
    program.execute(f"UPDATE outbox SET run_id = '{died}'")
    program.execute(f"UPDATE run SET run_id = '{died}', host = '{host}/0123456789abcdef'")
    return died


class TestShow:
    def test_of_a_message_whose_run_died_elsewhere_names_the_machine_that_knows_more(self, program: Program) -> None:
        abandoned(program, "web2")
        told = " ".join(program.run("show", "1").out.split())
        assert "a drain on web2 settles it at once" in told

    def test_of_one_whose_run_died_here_does_not(self, program: Program) -> None:
        abandoned(program, HERE)
        told = " ".join(program.run("show", "1").out.split())
        assert "the next drain settles it" in told
        assert f"a drain on {HERE}" not in told


def test_top_names_the_machine_of_each_run(program: Program) -> None:
    program.send()
    with closing(program.store()) as store, store.start_run(int(time.time())) as run:
        told = program.run("top", "--once", "--json")
        assert [one["run_id"] for one in told.data["runs"]] == [run.run_id]
        assert f"run of process {os.getpid()} on {HERE} for" in program.run("top", "--once").out


def test_listen_has_its_socket_in_the_data_directory_where_no_outbox_is(program: Program) -> None:
    with TemporaryDirectory(prefix="prx-listen-", dir="/tmp") as home:  # short: the path of a socket fits in 108 bytes
        program.environment["HOME"] = home
        with Listener(program) as listener:
            client = listener.unix()
            assert client.recv(100).startswith(b"220 ")
            client.close()
            assert Path(listener.address).parent == Path(home, ".local", "share", "prx-email")
            assert Path(listener.address).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("module", ["psycopg", "psycopg._queries", "prx_email_cli.outbox.postgres.store"])
def test_ctrl_c_while_the_driver_is_loaded_ends_it_quietly_and_stores_nothing(program: Program, module: str) -> None:
    words = ("send", "--to", "a@example.org", "--subject", "s", "--body", "b")
    assert signalled(program, signal.SIGINT, module, *words) == Answer(130, "", "")
    assert program.execute("SELECT count(*) FROM outbox") == [(0,)]


def test_a_dumped_and_restored_outbox_is_told_by_show_and_doctor(program: Program, server: PostgresServer) -> None:
    program.send()
    program.url = server.copy_of(str(program.url))
    program.configure()
    assert "restored" in checks(program)["database"]
    assert "restored" in program.run("show", "1").out
