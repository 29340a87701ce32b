"""What is set for a server, a database or a role breaks nothing, or is an error that says what to change."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from ...conftest import Program
from ...support.faults import Fault
from ...support.postgres import USER, PostgresServer, database_of
from ...support.scripted import ScriptedServer
from ..messages import NOW, claim, new_message, sent, wish
from .conftest import Machine

PATIENCE_SECONDS = 60
SETTINGS = {
    "statement_timeout": "2s",
    "lock_timeout": "1ms",
    "idle_session_timeout": "1s",
    "idle_in_transaction_session_timeout": "1s",
    "transaction_timeout": "1s",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "synchronous_commit": "off",
    "search_path": '"$user", public',
    "client_encoding": "LATIN1",
    "timezone": "Asia/Kathmandu",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "enable_indexscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "row_security": "off",
    "client_min_messages": "debug5",
    "quote_all_identifiers": "on",
}
SINCE = {"idle_session_timeout": 14, "transaction_timeout": 17}
TEXT = "Grüße \N{SNOWMAN} 'quoted' \\n % {x}"


def settings_of(server: PostgresServer) -> dict[str, str]:
    """Those that this server knows."""
    with psycopg.connect(server.url("postgres")) as connection:
        version = connection.info.server_version // 10_000
    return {name: value for name, value in SETTINGS.items() if SINCE.get(name, 0) <= version}


def sessions(url: str) -> list[int]:
    """The server's processes of all others who use the database."""
    asked = (
        b"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY 1"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        return [pid for (pid,) in connection.execute(asked).fetchall()]


@pytest.fixture
def program_of_a_role(server: PostgresServer, program: Program) -> Iterator[Program]:
    """A program whose role has all these settings."""
    role = f"set{os.getpid()}"
    server.sql(f"CREATE ROLE {role} LOGIN SUPERUSER", *(
        f"ALTER ROLE {role} SET {name} = {value if name == 'search_path' else repr(value)}"
        for name, value in settings_of(server).items()
    ))  # fmt: skip
    direct = server.new_database()
    program.url = direct.replace(f"{USER}@", f"{role}@")
    yield program
    server.drop(direct)
    server.sql(f"DROP ROLE {role}")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_changes_nothing(server: PostgresServer, machine: Machine, name: str) -> None:
    if name not in settings_of(server):
        pytest.skip("this server does not know it")
    database = machine("one").where.conninfo
    value = SETTINGS[name] if name == "search_path" else repr(SETTINGS[name])
    server.sql(f"ALTER DATABASE {database_of(database)} SET {name} = {value}")
    store = machine("two")
    content = f"Subject: s\r\n\r\n{TEXT}\r\n".encode() + bytes(range(256)) * 8
    store.enqueue([new_message(content=content)._replace(subject=TEXT), new_message()])
    with store.start_run(NOW) as run:
        claimed = claim(run)
        assert (claimed.head or b"") + b"".join(run.content(claimed)) == content
        (((other,),)) = run.advance([sent(claimed)], [wish()]).claims
        run.advance([sent(other)], [])
    if name.endswith("_timeout") and name != "lock_timeout":
        with store.reading() as connection:
            assert connection.execute("SELECT current_setting(?)", (name,)).fetchone() == ("0",)
    row = store.row(1)
    assert (row.subject, row.status, row.sent_at) == (TEXT, "sent", NOW)


def test_a_follower_of_a_role_with_all_of_them_keeps_its_sessions_while_a_mail_server_takes_its_time(
    program_of_a_role: Program,
) -> None:
    program = program_of_a_role
    with ScriptedServer([Fault("after_dot", "pause", times=1)]) as host:
        program.configure(host.port)
        program.send(subject=TEXT, body=TEXT)
        process = program.start("drain", "--follow")
        host.wait_for(lambda: host.happened)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(before := sessions(str(program.url))) < 2:  # that of the run, and the one that listens
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(1.5)  # they are idle for longer than they may be
        assert set(before) <= set(sessions(str(program.url)))
        host.release()
        program.send()
        host.wait_for(lambda: len(host.messages) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=PATIENCE_SECONDS)[1] == ""
    shown = program.show(1)
    assert (shown["status"], shown["subject"]) == ("sent", TEXT)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("default_transaction_read_only = on", ("read-only transaction", "default_transaction_read_only")),
        ("search_path = weird", ("no schema of its search_path", "check search_path")),
    ],
)
def test_what_may_be_meant_so_is_an_error_that_names_it(
    server: PostgresServer, program: Program, setting: str, words: tuple[str, str]
) -> None:
    program.url = server.new_database()
    program.configure()
    server.sql(f"ALTER DATABASE {database_of(program.url)} SET {setting}")
    answer = program.run("send", "--to", "a@example.org", "--subject", "s", "--body", "b")
    assert answer.status == 74
    assert all(word in answer.err for word in words), answer.err


def test_a_role_that_only_reads_may_be_told_to(server: PostgresServer, program: Program) -> None:
    program.url = server.new_database()
    program.configure()
    program.send()
    server.sql(f"ALTER DATABASE {database_of(program.url)} SET default_transaction_read_only = on")
    for command in ("list", "show 1"):
        answer = program.run(*command.split())
        assert (answer.status, answer.err) == (0, ""), command
