"""``prx-email outbox copy``: what a person says and sees."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from ...conftest import Program
from ...support.mailhost import MailHost
from ...support.postgres import MISSING, programs, the_server


@pytest.fixture
def database() -> str:
    if programs() is None:
        pytest.skip(MISSING)
    return the_server().new_database()


def test_the_configs_outbox_goes_to_a_database_and_is_sent_from_there_once(program: Program, database: str) -> None:
    with MailHost() as host:
        program.configure(host.port)
        program.send(subject="one")
        assert program.run("drain").status == 0
        program.send(subject="two")
        answer = program.run("outbox", "copy", "--to", database)
        assert (answer.status, answer.out) == (0, f"copied: 2 messages from {program.outbox} to {database}\n"), answer
        assert f"next: name {database} in the config of every machine" in answer.err
        for words in ("drain", "retry 2", "send --to a@example.org --subject s --body b", "hold --all"):
            refused = program.run(*words.split(), "--json")
            assert (refused.status, refused.json["error"]["code"]) == (74, "moved")
            assert "[outbox] url" in refused.json["error"]["hint"]
        program.url = database
        program.configure(host.port)
        assert program.run("drain").status == 0
        assert len(host.messages) == 2
        assert program.send() == 3
        again = program.run("outbox", "copy", "--from", str(program.outbox), "--json")
        assert (again.status, again.data["went_on"], again.data["tables"][0]["copied_rows"]) == (0, True, 3)


def test_a_database_goes_into_a_file_and_an_unfinished_copy_can_be_undone(program: Program, database: str) -> None:
    program.url = database
    program.configure()
    program.send()
    answer = program.run("outbox", "copy", "--to", "sqlite:///" + str(program.outbox).lstrip("/"), "--json")
    assert answer.data["tables"][0] == {"table": "outbox", "copied_rows": 1}
    assert answer.data["warnings"] == []
    assert program.outbox.stat().st_mode & 0o777 == 0o600
    refused = program.run("outbox", "copy", "--undo", "--to", str(program.outbox), "--json")
    assert (refused.status, refused.json["error"]["code"]) == (65, "validation")
    assert "was finished" in refused.json["error"]["message"]
    undone = program.run("outbox", "copy", "--undo", "--lost", "--json")
    assert undone.data == {"original": database, "undone": True}
    assert program.send() == 2


def test_a_place_that_cannot_be_is_refused_and_no_password_is_shown(program: Program) -> None:
    program.configure()
    program.send()
    for url in ("postgresql://mail:very-secret@db/outbox", "postgres://mail@db/outbox?password=very-secret"):
        answer = program.run("outbox", "copy", "--to", url)
        assert answer.status == 65
        assert "can be seen by others" in answer.err
        assert "very-secret" not in answer.out + answer.err
    assert program.run("outbox", "copy", "--to", "postgresql://mail@[::1/outbox").status == 78
    assert "no outbox can be in mysql:" in program.run("outbox", "copy", "--to", "mysql://db/outbox").err
    assert program.run("outbox", "copy").status == 2
    assert program.run("outbox", "copy", "--to", "x.db", "--lost").status == 2
    assert program.send() == 2


def test_a_database_without_an_outbox_is_no_original_and_stays_as_it_is(program: Program, database: str) -> None:
    program.configure()
    empty = the_server().new_database(migrated=False)
    answer = program.run("outbox", "copy", "--from", empty, "--to", "x.db")
    assert (answer.status, "there is no outbox in the database" in answer.err) == (74, True), answer
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_a_message_id_domain_that_differs_from_the_originals_is_told(program: Program, database: str) -> None:
    with MailHost() as host:
        program.configure(host.port, outbox='message_id_domain = "mail.example.com"')
        program.send()
        assert program.run("drain").status == 0
    program.configure()
    answer = program.run("outbox", "copy", "--to", database)
    assert "warning: the newest Message-ID is of mail.example.com" in answer.err


def test_what_postgresql_cannot_hold_is_replaced_and_told(program: Program, database: str) -> None:
    program.configure()
    program.send()
    with sqlite3.connect(program.outbox) as connection:
        connection.execute("UPDATE outbox SET last_error = 'a' || char(0) || 'b'")
    connection.close()
    answer = program.run("outbox", "copy", "--to", database)
    assert "warning: 1 rows had NUL characters in a text" in answer.err
    program.url = database
    program.configure()
    assert program.show(1)["last_error"] == "a\\x00b"


def test_what_it_may_not_replace_is_refused_and_the_original_goes_on(program: Program, database: str) -> None:
    program.configure()
    program.send()
    with sqlite3.connect(program.outbox) as connection:
        connection.execute("UPDATE recipient SET address = 'a' || char(0) || 'b'")
    connection.close()
    answer = program.run("outbox", "copy", "--to", database)
    assert (answer.status, "recipient (1, 0): address has a NUL character" in answer.err) == (65, True)
    assert program.run("outbox", "copy", "--undo").status == 0
    assert program.send() == 2
