"""``prune``: what is left of names and of contents, in the answers and in the files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.cli import prune

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.terminal import Terminal
from .outside import NOW, assert_error, rows, serving, stored

JANE = "jane.doe@example.org"


def files(program: Program) -> list[Path]:
    """The outbox's database and everything beside it."""
    return [file for file in program.home.rglob("outbox.db*") if file.is_file()] + [
        file for file in (program.home / "outbox.db.runs").rglob("*") if file.is_file()
    ]


def found_in_files(program: Program, *words: str) -> list[str]:
    """Which of these words stand in the bytes of the outbox's files, in small or large letters."""
    content = b"".join(file.read_bytes() for file in files(program)).lower()
    return [word for word in words if word.lower().encode() in content]


def send_many(program: Program, first: int, count: int) -> None:
    """Store so many messages, of which each names Jane."""
    lines = (
        f'{{"to": "jane.doe+{number}@example.org", "subject": "Secret {number}", "body_text": "for Jane Doe",'
        f' "idempotency_key": "order-of-jane.doe-{number}"}}\n'
        for number in range(first, first + count)
    )
    answer = program.call("send", "--batch", "-", text="".join(lines))
    assert answer.status == 0, answer


class TestAnonymise:
    @pytest.mark.of_files
    def test_no_name_is_left_in_any_file_of_the_outbox(self, program: Program, host: MailHost) -> None:
        for first in (0, 300, 600):  # pages are divided again and again
            send_many(program, first, 300)
            assert program.call("drain").status in (0, 69)
        program.send(to="waiting@example.net")
        assert found_in_files(program, JANE, "jane.doe+7@", "secret 7", "order-of-jane") != []
        answer = program.run("prune", "--older-than", "0s", "--anonymise", "--json")
        assert answer.data == {
            "pruned": 900, "known_pruned": 0, "unfinished": [], "dry_run": False, "compacted": True,
        }, answer  # fmt: skip
        assert found_in_files(program, "jane", "secret", "order-of", "Jane Doe", "ops@example.com") == [
            "ops@example.com"
        ]
        assert found_in_files(program, "waiting@example.net") == ["waiting@example.net"]

    @pytest.mark.on_both
    def test_words_of_servers_dialogues_actions_and_imported_mail_go_with_it(self, program: Program) -> None:
        with serving(program, Fault("rcpt", f"550 5.1.1 <{JANE}>: no Jane here", address=JANE)):
            program.send(to=f"{JANE},bob@example.net", subject="For Jane")
            assert program.call("drain").status == 69
        (program.home / "mail.eml").write_text(f"From: Jane <{JANE}>\nTo: ops@example.com\nSubject: hi\n\nJane\n")
        assert program.call("import", "mail.eml").status == 0
        program.send(to=JANE)
        assert program.call("cancel", "2").status == 0
        answer = program.run("prune", "--older-than", "0s", "--anonymise", "--now-ts", str(NOW))
        assert (answer.status, answer.out) == (0, "2 anonymised; 1 imported messages deleted\n"), answer
        assert found_in_files(program, "jane", "bob@", "For Jane") == []
        row = program.show(1)
        assert row["recipients"][0]["response"] == "550 5.1.1 (anonymised)"
        assert row["recipients"][0]["address"] == program.show(2)["to"][0]
        assert row["recipients"][1]["status"] == "accepted"
        assert row["attempts"][0]["dialogue"] is None
        assert "@anonymised.invalid" in program.run("list").out

    def test_a_known_key_stores_nothing_twice(self, program: Program, host: MailHost) -> None:
        again = ("--idempotency-key", "order 7 of jane")
        outbox_id = program.send(*again)
        assert program.call("drain").status == 0
        assert program.call("prune", "--older-than", "0s", "--anonymise").status == 0
        assert found_in_files(program, "of jane") == []
        assert program.send(*again) == outbox_id
        assert_error(
            program.run("send", "--to", JANE, "--subject", "s", "--body", "other", *again, "--json"), 65,
            "was used for other content", code="validation",
        )  # fmt: skip
        assert len(rows(program)) == 1

    def test_a_large_outbox_is_not_rewritten_unasked_and_says_so(
        self, program: Program, host: MailHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program.send(to=JANE)
        assert program.call("drain").status == 0
        monkeypatch.setattr(prune, "MOST_BYTES_AT_ONCE", 1)
        answer = program.call("prune", "--older-than", "0s", "--anonymise")
        assert (answer.status, answer.out) == (0, "1 anonymised; 0 imported messages deleted\n")
        assert "prx-email outbox compact" in answer.err

    @pytest.mark.of_files
    def test_while_another_process_reads_it_says_that_remains_are_left(self, program: Program, host: MailHost) -> None:
        program.configure(host.port, outbox="busy_timeout_seconds = 0")
        program.send(to=JANE)
        assert program.call("drain").status == 0
        with closing(sqlite3.connect(program.outbox, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM outbox").fetchall()
            answer = program.run("prune", "--older-than", "0s", "--anonymise", "--json")
        assert (answer.status, answer.data["pruned"], answer.data["compacted"]) == (0, 1, False)
        assert "remains" in answer.err
        assert program.show(1)["to"] != [JANE]


class TestAPerson:
    @pytest.mark.on_both
    def test_what_has_ended_goes_and_what_has_not_is_told(self, program: Program, host: MailHost) -> None:
        program.send(to=JANE)
        program.send(to="bob@example.net")
        assert program.call("drain").status == 0
        program.send("--cc", JANE, to="bob@example.net")
        answer = program.run("prune", "--to", "Jane <JANE.DOE@example.org>", "--all")
        assert (answer.status, answer.out) == (0, "1 pruned; 0 imported messages deleted\n")
        assert "have not ended and stay: 3" in answer.err
        assert "prx-email cancel" in answer.err
        assert [row["outbox_id"] for row in rows(program)] == [2, 3]
        assert program.call("cancel", "3").status == 0
        assert program.run("prune", "--to", JANE, "--all", "--json").data["pruned"] == 1
        assert found_in_files(program, "jane") == []

    @pytest.mark.of_files
    def test_mail_from_them_is_deleted_and_mail_of_others_stays(self, program: Program) -> None:
        for name, sender in (("a", JANE), ("b", "bob@example.net")):
            file = program.home / f"{name}.eml"
            file.write_text(f"Message-ID: <{name}@x>\nFrom: {sender}\nTo: ops@example.com\nSubject: {name}\n\ntext\n")
            assert program.call("import", file.name).status == 0
        assert program.run("prune", "--to", JANE).out == "0 pruned; 1 imported messages deleted\n"
        assert found_in_files(program, "jane", "bob@example.net") == ["bob@example.net"]

    @pytest.mark.parametrize("address", ["", "nobody", "a@example.org, b@example.org", "a@example.org\n"])
    def test_who_it_is_must_be_one_address(self, program: Program, address: str) -> None:
        assert_error(program.run("prune", "--to", address), 65, "--to")


class TestDryRun:
    def test_it_says_what_would_go_and_changes_nothing(self, program: Program, host: MailHost) -> None:
        for _ in range(2):
            program.send(to=JANE)
        assert program.call("drain").status == 0
        program.send(to=JANE)
        before = stored(program)
        answer = program.run("prune", "--older-than", "0s", "--anonymise", "--dry-run")
        assert answer.out == "2 would be anonymised: 1, 2\n0 imported messages would be deleted\n"
        answer = program.run("prune", "--to", JANE, "--dry-run", "--json")
        assert answer.data == {
            "pruned": 2, "known_pruned": 0, "unfinished": [3], "dry_run": True, "compacted": False,
            "outbox_ids": [1, 2],
        }  # fmt: skip
        assert stored(program) == before
        assert program.run("prune", "--older-than", "0s").out == "2 pruned\n"

    def test_by_ids_and_by_what_selects_messages(self, program: Program, host: MailHost) -> None:
        for subject in ("report 1", "report 2", "invoice"):
            program.send(subject=subject)
        assert program.call("drain").status == 0
        program.send()
        answer = program.run("prune", "1", "4", "--dry-run")
        assert answer.out == "1 would be pruned: 1\n"
        assert "1 have not ended and stay: 4" in answer.err
        old = ("--older-than", "0s", "--dry-run")
        assert program.run("prune", *old, "--subject", "report").out == "2 would be pruned: 1, 2\n"
        assert program.run("prune", *old, "--status", "failed").out == "0 would be pruned\n"
        assert program.run("prune", "--until", "0s", "--subject", "inv*").out == "1 pruned\n"
        assert program.run("prune", "2", "--all").out == "1 pruned\n"
        assert [row["outbox_id"] for row in rows(program)] == [1, 3, 4]
        assert_error(program.run("prune", "2", "--all"), 66, "not found")
        assert_error(program.run("prune", "1", "--subject", "x"), 2, "not both")

    def test_only_what_was_sent(self, program: Program, host: MailHost) -> None:
        program.send()
        assert program.call("drain").status == 0
        program.send()
        assert program.call("cancel", "2").status == 0
        assert program.run("prune", "--older-than", "0s", "--dry-run").out == "2 would be pruned: 1, 2\n"
        assert program.run("prune", "--older-than", "0s", "--sent-only", "--dry-run").out == "1 would be pruned: 1\n"
        assert program.run("prune", "--older-than", "0s", "--sent-only").out == "1 pruned\n"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "--older-than"),
        (["--all"], 2, "--older-than"),
        (["--older-than", "1d", "--all", "--anonymise"], 2, "--anonymise"),
        (["--older-than", "soon"], 65, "not a duration"),
        (["--older-than", "1d", "--account", "nobody"], 78, "nobody"),
    ],
)
def test_what_is_not_understood_deletes_nothing(
    program: Program, arguments: list[str], status: int, words: str
) -> None:
    assert_error(program.run("prune", *arguments), status, words)


class TestCompact:
    @pytest.mark.of_files
    def test_it_gives_the_space_of_what_was_deleted_back(self, program: Program) -> None:
        for _ in range(3):
            program.send(body="long\n" * 100_000)
        assert program.call("cancel", "1").status == 0
        assert program.call("prune", "1", "--all").status == 0
        before = program.outbox.stat().st_size
        answer = program.run("outbox", "compact", "--json")
        assert answer.data == {"bytes": program.outbox.stat().st_size, "bytes_before": before}
        assert answer.data["bytes"] < before - 400_000
        assert program.run("outbox", "compact").out.startswith("compacted: 1.")
        assert [row["status"] for row in rows(program)] == ["pending", "pending"]

    @pytest.mark.of_files
    def test_it_says_when_another_process_keeps_what_was_deleted(self, program: Program) -> None:
        program.configure(outbox="busy_timeout_seconds = 0")
        program.send()
        with closing(sqlite3.connect(program.outbox, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM outbox").fetchall()
            assert_error(program.run("outbox", "compact", "--json"), 75, "another process reads", code="storage")
            with closing(sqlite3.connect(program.outbox, isolation_level=None)) as writer:
                writer.execute("BEGIN IMMEDIATE")
                assert_error(program.run("outbox", "compact"), 75, "locked by another process")


class TestOnATerminal:
    def run(self, program: Program, *words: str) -> Terminal:
        return Terminal([*COMMAND, "prune", *words], env=program.environment, cwd=program.home)

    def test_it_asks_with_the_count_unless_ids_or_yes_say_it(self, program: Program) -> None:
        for _ in range(3):
            program.send()
        assert program.call("cancel", "1", "2", "3").status == 0
        before = stored(program)
        with self.run(program, "--to", "a@example.org", "--all") as terminal:
            terminal.expect("delete everything of 3 messages? [y/N]: ")
            terminal.press("\n")
            terminal.expect("nothing was changed")
            assert terminal.end() == 130
        assert stored(program) == before
        with self.run(program, "--older-than", "0s") as terminal:
            terminal.expect("delete the content of 3 messages? [y/N]: ")
            terminal.press("y\n")
            terminal.expect("3 pruned")
            assert terminal.end() == 0
        for words in (("1", "--all"), ("--older-than", "0s", "--all", "--yes")):
            with self.run(program, *words) as terminal:
                terminal.expect(" pruned")
                assert terminal.end() == 0
        assert rows(program) == []

    def test_a_cause_needs_yes_where_nobody_can_be_asked(self, program: Program) -> None:
        assert program.run("prune", "--older-than", "0s", "--cause", "1").status in (2, 66)
