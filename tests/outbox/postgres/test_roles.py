"""The roles of docs/scaling.md, made by what it shows: each can do its work, and the server refuses the rest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ...conftest import Answer, Program
from ...support.mailhost import MailHost
from ...support.postgres import USER, PostgresServer

_PAGE = Path(__file__).parents[3] / "docs/scaling.md"
_HINT = 'hint: this role may not do that: see "Roles" in docs/scaling.md'


def shown() -> list[str]:
    """The statements that the page shows."""
    text = _PAGE.read_text().partition("## Roles")[2].partition("```sql\n")[2].partition("```")[0]
    return [one.strip() for one in re.sub("--.*", "", text).split(";") if one.strip()]


@pytest.fixture
def database(program: Program, server: PostgresServer) -> str:
    """The URL of a database with the page's roles and one message, which the owner has enqueued."""
    url = server.new_database()
    for statement in shown():
        if statement.startswith("CREATE ROLE"):  # they are of all databases of the server
            name = statement.split()[2]
            statement = f"DO $$ BEGIN {statement}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            assert name.startswith("mail_")
        server.sql(statement, database=url)
    program.url = url
    program.configure()
    assert program.send("--idempotency-key", "first") == 1
    return url


def as_role(program: Program, database: str, role: str, port: int = 9) -> None:
    program.url = database.replace(f"//{USER}@", f"//{role}@")
    program.configure(port)


def refuses(answer: Answer) -> None:
    assert answer.status == 74, answer
    assert "permission denied for" in answer.err
    assert "Traceback" not in answer.err


SEND = ("send", "--to", "b@example.org", "--subject", "s", "--body", "b")


def test_the_enqueuing_role_enqueues_and_reads_nothing(program: Program, database: str) -> None:
    as_role(program, database, "mail_enqueue")
    assert program.run(*SEND).out == "2\n"
    assert program.call(*SEND, "--idempotency-key", "mine").out == "3\n"
    assert program.call(*SEND, "--idempotency-key", "mine").out == "3\n"
    lines = '{"to": "a@x.org", "subject": "s", "body_text": "b"}\n' * 3
    assert program.call("send", "--batch", "-", text=lines).status == 0
    raw = "From: ops@example.com\nTo: c@example.org\nSubject: raw\n\nbody\n"
    assert program.run("sendmail", "-t", text=raw).status == 0
    for command in (["show", "1"], ["show", "1", "--body"], ["list"], ["drain"], ["retry", "1"], ["hold", "1"],
                    ["cancel", "1"], ["export", "1"], ["prune", "--older-than", "0d"], ["log"],
                    [*SEND, "--now"]):  # fmt: skip
        refuses(program.call(*command))
    answer = program.call("drain")
    assert _HINT in answer.err
    program.url = database
    program.configure()
    assert len(program.call("list", "--json").data) in (7, 8)  # send --now has stored its message


def test_the_draining_role_does_all_but_change_the_tables(
    program: Program, server: PostgresServer, database: str
) -> None:
    with MailHost() as host:
        as_role(program, database, "mail_drain", host.port)
        assert program.run("drain").status == 0
        assert len(host.messages) == 1
        assert program.send() == 2
        everyday = ("hold 2", "release 2", "show 2 --body", "pause --account work", "resume --account work",
                    "retry 2 --force", "list", "stats", "prune --older-than 0d")  # fmt: skip
        for words in everyday:
            assert program.call(*words.split()).status in (0, 75), words
        assert len(host.messages) == 2
        refuses_to_alter(server, database, "mail_drain")


def refuses_to_alter(server: PostgresServer, database: str, role: str) -> None:
    import psycopg  # on use

    with psycopg.connect(database.replace(f"//{USER}@", f"//{role}@"), autocommit=True) as connection:
        for statement in (b"ALTER TABLE outbox ADD COLUMN x INTEGER", b"DROP TABLE content", b"TRUNCATE outbox",
                          b"UPDATE prx_email SET version = 9", b"CREATE TABLE theirs (x INTEGER)"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_reading_role_looks_and_changes_nothing(program: Program, server: PostgresServer, database: str) -> None:
    before = server.dump(database)
    as_role(program, database, "mail_read")
    for command in (["list"], ["show", "1"], ["status"], ["stats"], ["log"], ["check"], ["list", "--json"]):
        answer = program.call(*command)
        assert answer.status in (0, 1, 2), (command, answer)  # status and check say that nothing drains
        assert "permission denied" not in answer.err
    for command in (["show", "1", "--body"], ["export", "1"], [*SEND], ["drain"], ["hold", "1"], ["cancel", "1"],
                    ["pause", "--account", "work"], ["retry", "1"]):  # fmt: skip
        refuses(program.call(*command))
    refuses_to_alter(server, database, "mail_read")
    assert server.dump(database) == before


@pytest.mark.parametrize("role", ["mail_enqueue", "mail_drain", "mail_read"])
def test_no_role_but_the_owner_migrates(program: Program, server: PostgresServer, database: str, role: str) -> None:
    server.sql("UPDATE prx_email SET version = 0", database=database)
    as_role(program, database, role)
    for command in (["list"], ["drain"], ["send", "--to", "a@x.org", "--subject", "s", "--body", "b"]):
        answer = program.call(*command)
        assert answer.status == 74
        assert "hint: prx-email outbox migrate, as the role that owns" in answer.err
    answer = program.call("outbox", "migrate")
    assert answer.status == 74
    assert "--config FILE" in answer.err
    server.sql("UPDATE prx_email SET version = 1", database=database)
    assert "up to date: version" in program.call("outbox", "migrate").out
