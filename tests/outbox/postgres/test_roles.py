"""The roles of docs/scaling.md, made by what it shows: each can do its work, and the server refuses the rest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ...conftest import Answer, Program
from ...support.mailhost import MailHost
from ...support.postgres import USER, PostgresServer

_PAGE = Path(__file__).parents[3] / "docs/scaling.md"
_HINT = 'hint: this role may not do that, the one that drains may: see "Roles" in docs/scaling.md'
ROLES = ("mail_enqueue", "mail_drain", "mail_read")
SEND = ("send", "--to", "b@example.org", "--subject", "s", "--body", "b")
RAW = "From: c@example.org\nTo: ops@example.com\nSubject: raw\nMessage-ID: <in@x.org>\n\nbody\n"
# The status with which each command ends under each role, in this order; 74: it may not, and says so.
COMMANDS: dict[tuple[str, ...], tuple[int, int, int]] = {
    SEND: (0, 0, 74),
    (*SEND, "--json"): (0, 0, 74),
    ("send", "--batch", "lines.jsonl"): (0, 0, 74),
    ("run", "--to", "a@x.org", "--", "false"): (1, 1, 1),  # the job's status
    ("import", "in.eml"): (74, 0, 74),
    ("reply", "<in@x.org>", "--body", "b"): (74, 0, 74),
    ("messages", "list"): (74, 0, 74),
    ("list",): (74, 0, 0),
    ("list", "--json"): (74, 0, 0),
    ("show", "1"): (74, 0, 0),
    ("show", "1", "--json"): (74, 0, 0),
    ("show", "1", "--body"): (74, 0, 74),
    ("export", "1"): (74, 0, 74),
    ("status",): (74, 0, 0),
    ("stats",): (74, 0, 0),
    ("stats", "--prometheus"): (74, 0, 0),
    ("log",): (74, 0, 0),
    ("top", "--once"): (74, 0, 0),
    ("check",): (3, 0, 0),  # unknown
    ("doctor", "--offline"): (0, 0, 0),
    ("hold", "1"): (74, 0, 74),
    ("release", "--all"): (74, 0, 74),
    ("edit", "1", "--replace", "a@example.org=z@example.org"): (74, 0, 74),
    ("pause", "--account", "work"): (74, 0, 74),
    ("resume", "--account", "work"): (74, 0, 74),
    ("retry", "1", "--force"): (74, 0, 74),
    ("drain",): (74, 0, 74),
    ("cancel", "1"): (74, 65, 74),  # it is sent
    ("outbox", "verify"): (74, 0, 74),
    ("prune", "--older-than", "0d"): (74, 0, 0),  # nothing of this role's
    ("outbox", "compact"): (74, 74, 74),
    ("outbox", "migrate"): (0, 0, 0),  # nothing to do
}


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
    assert program.call("drain").status == 0
    assert program.send("--idempotency-key", "first") == 1
    return url


def as_role(program: Program, database: str, role: str, port: int = 9) -> None:
    program.url = database.replace(f"//{USER}@", f"//{role}@")
    program.configure(port, outbox='message_id_domain = "example.com"')


def refuses(answer: Answer) -> None:
    assert answer.status == 74, answer
    assert "permission denied for" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("role", ROLES)
def test_each_command_works_under_a_role_or_says_that_it_may_not(program: Program, database: str, role: str) -> None:
    (program.home / "in.eml").write_text(RAW)
    (program.home / "lines.jsonl").write_text('{"to": "a@x.org", "subject": "s", "body_text": "b"}\n')
    with MailHost() as host:
        as_role(program, database, role, host.port)
        for words, statuses in COMMANDS.items():
            answer = program.call(*words)
            said = answer.out + answer.err
            assert answer.status == statuses[ROLES.index(role)], (words, answer)
            assert "Traceback" not in said
            if answer.status == 74 and words != ("outbox", "compact"):
                assert "this role may not do that" in said, (words, answer)
                assert answer.out == "" or not answer.json["ok"], (words, answer)
            elif answer.status not in (1, 3, 74):  # no half of an answer that looks whole
                assert "permission denied" not in said, (words, answer)


def test_the_enqueuing_role_enqueues_and_reads_nothing(program: Program, database: str) -> None:
    as_role(program, database, "mail_enqueue")
    assert program.run(*SEND).out == "2\n"
    assert program.call(*SEND, "--idempotency-key", "mine").out == "3\n"
    assert program.call(*SEND, "--idempotency-key", "mine").out == "3\n"
    lines = '{"to": "a@x.org", "subject": "s", "body_text": "b"}\n' * 3
    assert program.call("send", "--batch", "-", text=lines).status == 0
    raw = "From: ops@example.com\nTo: c@example.org\nSubject: raw\n\nbody\n"
    assert program.run("sendmail", "-t", text=raw).status == 0
    answer = program.call("drain")
    refuses(answer)
    assert _HINT in answer.err
    program.url = database
    program.configure()
    assert len(program.call("list", "--json").data) == 7


def test_a_restored_backup_is_enqueued_into_and_accepted_under_the_roles_and_its_ids_jump(
    program: Program, database: str, server: PostgresServer
) -> None:
    copy = server.copy_of(database)
    as_role(program, copy, "mail_enqueue")
    assert program.send() > 100_000
    as_role(program, copy, "mail_drain")
    assert program.call("hold", "--all").out == "2 held\n"
    assert program.send() > 200_000
    assert program.call("outbox", "verify").status == 0


def test_the_enqueuing_role_is_answered_with_the_id_of_what_was_stored(program: Program, database: str) -> None:
    as_role(program, database, "mail_enqueue")
    keyed = (*SEND, "--json", "--idempotency-key", "mine")
    assert program.call(*keyed).data["outbox_id"] == 2
    again = program.call(*keyed)
    assert (again.status, again.data) == (0, {"outbox_id": 2, "duplicate": True})  # its status is not to be read
    answer = program.call(*SEND, "--now")
    refuses(answer)
    assert answer.out == "3\n"
    assert f"{_HINT}; message 3 is stored, and a drain sends it" in answer.err
    answer = program.call(*SEND, "--now", "--json")
    assert (answer.status, answer.json["ok"], answer.data) == (74, False, {"outbox_id": 4, "duplicate": False})


def test_doctor_says_what_the_enqueuing_role_may_not_read(
    program: Program, server: PostgresServer, database: str
) -> None:
    as_role(program, database, "mail_enqueue")
    answer = program.call("doctor", "--offline")
    assert "its server answers; its role may not read messages, so another one has to check those" in answer.out
    assert "the last drain ended" in answer.out
    server.sql("UPDATE ledger SET place = 'elsewhere'", database=database)
    assert "is a restored backup" in program.call("doctor", "--offline").out


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
    lines = program.call("show", "1").out
    assert "cannot be told: the outbox's role may not read contents" in lines
    assert "a@example.org" in lines
    assert program.call("show", "1", "--json").data["attachments"] is None
    refuses(program.call("show", "1", "--body"))
    refuses_to_alter(server, database, "mail_read")
    assert server.dump(database) == before


@pytest.mark.parametrize("role", ROLES)
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
