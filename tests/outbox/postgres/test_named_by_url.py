"""The commands work on a database that the config names, or the environment, and no password is shown."""

from __future__ import annotations

import pytest

from ...conftest import Answer, Program
from ...support.mailhost import MailHost
from ...support.postgres import PostgresServer


@pytest.fixture
def database(server: PostgresServer) -> str:
    return server.new_database()


def test_the_config_names_it(program: Program, database: str) -> None:
    program.url = database
    with MailHost() as host:
        program.configure(host.port)
        assert program.send() == 1
        assert program.run("drain") == Answer(0, "", "")
        assert [message.recipients for message in host.messages] == [["a@example.org"]]
    assert program.run("show", "1", "--json").data["status"] == "sent"
    assert not program.outbox.exists()
    assert program.run("config", "check", "--json").data["outbox"] == database


def test_the_environment_names_it_unless_the_config_does(program: Program, database: str) -> None:
    program.configure()
    program.run("send", "--to", "a@example.org", "--subject", "s", "--body", "b", PRX_EMAIL_OUTBOX=database)
    assert program.outbox.exists()
    program.config.write_text(program.config.read_text().replace('path = "outbox.db"\n', ""))
    assert program.run("list", "--json", PRX_EMAIL_OUTBOX=database).data == []
    assert (
        program.run("send", "--to", "a@example.org", "--subject", "s", "--body", "b", PRX_EMAIL_OUTBOX=database).out
        == "1\n"
    )
    assert len(program.run("list", "--json", PRX_EMAIL_OUTBOX=database).data) == 1


def test_a_first_config_names_it(program: Program, database: str) -> None:
    program.config.unlink()
    account = ("--host", "localhost:25", "--tls", "none", "--from", "a@example.org")
    assert program.run("init", *account, "--outbox", database).status == 0
    assert program.send() == 1
    assert [file.name for file in program.home.iterdir()] == ["config.toml"]
    program.url = database
    assert program.execute("SELECT count(*) FROM outbox") == [(1,)]


def test_a_first_config_takes_no_password_from_the_command_line(program: Program) -> None:
    program.config.unlink()
    account = ("--host", "localhost:25", "--tls", "none", "--from", "a@example.org")
    for url in (
        "postgresql://u:very-secret@h/db",
        "postgresql://u@h/db?password=very-secret",
        "mysql://u:very-secret@h",
    ):
        answer = program.run("init", *account, "--outbox", url)
        assert answer.status in (65, 78)
        assert "very-secret" not in answer.err
        assert not program.config.exists()


def test_what_works_on_files_names_the_tool_of_databases(program: Program, database: str) -> None:
    program.url = database
    program.configure()
    program.send()
    tools = {
        "backup x.db": "pg_dump -Fc", "restore x.db": "pg_restore", "adopt": "outbox copy", "adopt x.db": "outbox copy",
        "move x.db": "outbox copy", "move --undo": "outbox copy --undo", "verify x.db": "--config NAME",
    }  # fmt: skip
    for words, tool in tools.items():
        answer = program.run("outbox", *words.split(), "--json")
        assert answer.status == 65, words
        assert tool in answer.json["error"]["hint"], words


def test_no_error_shows_the_password(program: Program, server: PostgresServer) -> None:
    program.url = f"postgresql://prx:very-secret@/missing?host={server.directory}"
    program.configure()
    answer = program.run("list")
    assert answer.status == 78
    assert 'database "missing" does not exist' in answer.err
    assert "very-secret" not in answer.out + answer.err
