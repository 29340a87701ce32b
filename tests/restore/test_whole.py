"""``outbox backup``, ``verify`` and ``restore``: what is in place is one outbox or the other, whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prx_email_cli.config.settings import load_settings
from prx_email_cli.outbox.open import whole_of

from ..cli.outside import NOW, assert_error, rows
from ..conftest import HELD_TO_MODES, Program
from ..support.scripted import ScriptedServer
from .backups import assert_refused, drain, subjects


def kept(program: Program) -> list[Path]:
    """The outboxes that were kept aside."""
    return sorted(program.home.glob("outbox.db.before-*"))


def leftovers(program: Program) -> list[str]:
    """Files of work that was not finished."""
    return [file.name for file in program.home.iterdir() if file.name.startswith(".")]


def damage(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(statement)


class TestBackup:
    def test_it_is_one_private_file_with_what_was_stored_until_then(self, program: Program) -> None:
        program.send(subject="one")
        os.umask(0o022)
        answer = program.run("outbox", "backup", "b.db", "--json")
        file = program.home / "b.db"
        assert answer.data == {"file": "b.db", "bytes": file.stat().st_size, "stored": 1, "not_ended": 1}
        program.send(subject="two")
        assert file.stat().st_mode & 0o777 == 0o600
        assert sorted(one.name for one in program.home.glob("b.db*")) == ["b.db"]
        assert leftovers(program) == []
        program.outbox = file
        assert program.run("outbox", "verify", "b.db").out.startswith("intact: 1 messages (1 pending)")

    def test_it_is_made_while_another_process_writes(self, program: Program) -> None:
        program.send(subject="one")
        with closing(sqlite3.connect(program.outbox, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("UPDATE outbox SET subject = 'half done'")
            assert program.run("outbox", "backup", "b.db").status == 0
        with closing(sqlite3.connect(program.home / "b.db")) as backup:
            assert backup.execute("SELECT subject FROM outbox").fetchall() == [("one",)]

    def test_an_existing_file_is_replaced_only_by_force(self, program: Program) -> None:
        program.send()
        file = program.home / "b.db"
        file.write_text("precious")
        assert_error(program.run("outbox", "backup", "b.db"), 65, "exists already", "--force")
        assert file.read_text() == "precious"
        assert program.run("outbox", "backup", "b.db", "--force").status == 0
        assert program.run("outbox", "verify", "b.db").status == 0

    @pytest.mark.parametrize(
        ("name", "status", "words"),
        [
            ("outbox.db", 65, "the outbox itself"),
            ("./outbox.db-wal", 65, "the outbox itself"),
            ("outbox.db.runs/x", 65, "the outbox itself"),
            ("linked", 65, "the outbox itself"),
            (".", 65, "is a directory"),
            ("nowhere/b.db", 66, "no directory"),
            ("closed/b.db", 74, "cannot write"),
        ],
    )
    def test_a_file_that_cannot_be_one_is_refused(self, program: Program, name: str, status: int, words: str) -> None:
        program.send()
        drain_nothing = program.call("drain", "--limit", "1")
        assert drain_nothing.status == 75
        (program.home / "linked").symlink_to("outbox.db")
        (program.home / "closed").mkdir(mode=0o500)
        program.wrapper = HELD_TO_MODES
        before = program.outbox.read_bytes()
        assert_error(program.run("outbox", "backup", name, "--force"), status, words)
        assert program.outbox.read_bytes() == before

    def test_of_a_damaged_outbox_none_is_made(self, program: Program) -> None:
        program.send()
        with closing(sqlite3.connect(program.outbox)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'recipient'").fetchone()
        with open(program.outbox, "r+b") as file:
            file.seek((root - 1) * 4096)
            file.write(b"\xff" * 4096)
        assert_error(program.run("outbox", "backup", "b.db"), 74, "damaged")
        assert not (program.home / "b.db").exists()
        assert leftovers(program) == []

    def test_without_an_outbox_none_is_made(self, program: Program) -> None:
        assert_error(program.run("outbox", "backup", "b.db"), 74, "cannot open the outbox")
        assert not program.outbox.exists()

    def test_a_full_disk_leaves_the_file_that_was_there(self, program: Program) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("no device that is always full")
        program.send(body="long\n" * 200_000)
        assert program.run("outbox", "backup", "b.db").status == 0
        before = (program.home / "b.db").read_bytes()
        program.wrapper = ["prlimit", "--fsize=500000", *HELD_TO_MODES]
        answer = program.run("outbox", "backup", "b.db", "--force")
        assert_error(answer, 74, "b.db: ")
        assert (program.home / "b.db").read_bytes() == before
        assert leftovers(program) == []


class TestVerify:
    def test_it_names_each_message_that_is_not_as_submitted(self, program: Program) -> None:
        for number in range(4):
            program.send(subject=str(number))
        assert program.call("outbox", "backup", "b.db").status == 0
        for statement in (
            "UPDATE recipient SET address = 'mallory@example.org' WHERE outbox_id = 1",
            "UPDATE content SET data = CAST('x' || substr(data, 2) AS BLOB) WHERE id = 2 * 65536",
            "DELETE FROM content WHERE id = 3 * 65536",
        ):
            damage(program.home / "b.db", statement)
        before = (program.home / "b.db").read_bytes()
        answer = program.run("outbox", "verify", "b.db", "--json")
        assert (answer.status, answer.json["error"]["code"]) == (74, "storage")
        assert answer.data["faults"] == [
            "outbox message 1: its sender and recipients are not as submitted",
            "outbox message 2: its content is not as submitted",
            "outbox message 3: its content is missing",
        ]
        assert "outbox message 2" in program.run("outbox", "verify", "b.db").out
        assert program.run("outbox", "verify").status == 0
        assert (program.home / "b.db").read_bytes() == before

    def test_what_was_pruned_and_anonymised_is_no_fault(self, program: Program) -> None:
        for _ in range(3):
            program.send()
        for outbox_id in ("1", "2"):
            assert program.call("cancel", outbox_id).status == 0
        assert program.call("prune", "1").status == 0
        assert program.call("prune", "2", "--anonymise").status == 0
        answer = program.run("outbox", "verify", "--json")
        assert answer.data == {
            "file": str(program.outbox), "stored": {"pending": 3}, "contents": 1, "dropped": 2, "envelopes": 2,
            "faults": [],
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"", "no outbox"), (b"some text", "no outbox"), (b"SQLite format 3\0" + b"x" * 5000, "")],
    )
    def test_a_file_that_is_none_is_told_and_nothing_is_made(
        self, program: Program, content: bytes, words: str
    ) -> None:
        (program.home / "b.db").write_bytes(content)
        for command in ("verify", "restore", "adopt"):
            answer = program.run("outbox", command, "b.db")
            assert answer.status in (65, 74), answer
            assert "error: " in answer.err
            assert words in answer.err
        assert not program.outbox.exists()

    def test_of_another_program_or_a_newer_version(self, program: Program) -> None:
        file = program.home / "b.db"
        damage(file, "CREATE TABLE other (x)")
        assert_error(program.run("outbox", "verify", "b.db"), 74, "database of another program")
        file.unlink()
        program.send()
        assert program.call("outbox", "backup", "b.db").status == 0
        damage(file, "PRAGMA user_version = 99")
        for command in ("verify", "restore"):
            assert_error(program.run("outbox", command, "b.db"), 74, "newer than", "install the newer prx-email")
        assert [row["outbox_id"] for row in rows(program)] == [1]


class TestRestore:
    def test_what_was_sent_since_is_not_sent_again_until_a_person_decides(
        self, program: Program, server: ScriptedServer
    ) -> None:
        for subject in ("one", "two"):
            program.send(subject=subject)
        assert program.call("outbox", "backup", "b.db").status == 0
        drain(program)
        answer = program.run("outbox", "restore", "b.db")
        assert (answer.status, answer.out.splitlines()[0]) == (0, "restored: 2 messages, 2 not ended")
        for words in ("prx-email hold --all", "prx-email outbox accept-restore", "nothing is sent until you decide"):
            assert words in answer.err
        assert str(kept(program)[0]) in answer.out
        assert_refused(program.run("drain"))
        assert program.call("hold", "--all").status == 0
        assert program.call("drain").status == 0
        assert sorted(subjects(server)) == ["one", "two"]
        assert program.send() == 3

    def test_where_nothing_was_sent_since_the_next_drain_sends(self, program: Program, server: ScriptedServer) -> None:
        program.send(subject="one")
        drain(program)
        program.send(subject="two")
        assert program.call("outbox", "backup", "b.db").status == 0
        program.send(subject="three")
        answer = program.run("outbox", "restore", "b.db", "--json")
        assert (answer.data["guarded"], answer.data["only_in_kept"], answer.data["hints"]) == (False, [3], [])
        assert program.send(subject="four") == 4, "no id comes again"
        drain(program)
        assert sorted(subjects(server)) == ["four", "one", "two"]

    def test_on_another_machine_which_knows_nothing_it_waits_for_a_person(
        self, program: Program, server: ScriptedServer
    ) -> None:
        program.send(subject="one")
        assert program.call("outbox", "backup", "b.db").status == 0
        drain(program)
        for file in program.home.glob("outbox.db*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        answer = program.run("outbox", "restore", "b.db", "--json")
        assert (answer.data["guarded"], answer.data["kept"]) == (True, None)
        assert_refused(program.run("drain"))
        assert program.call("outbox", "accept-restore").status == 0
        drain(program)
        assert subjects(server) == ["one", "one"]

    def test_the_outbox_that_was_kept_can_be_restored_in_its_turn(
        self, program: Program, server: ScriptedServer
    ) -> None:
        program.send(subject="one")
        assert program.call("outbox", "backup", "b.db").status == 0
        program.send(subject="two")
        drain(program)
        for number in range(2):
            file = "b.db" if number == 0 else str(kept(program)[0])
            assert program.run("outbox", "restore", file, "--now-ts", str(NOW)).status == 0
        assert [row["status"] for row in rows(program)] == ["sent", "sent"]
        assert len(kept(program)) == 2
        assert program.call("drain").status == 0
        assert len(server.messages) == 2

    def test_a_damaged_outbox_is_replaced_with_its_log_kept(self, program: Program) -> None:
        program.send(subject="one")
        assert program.call("outbox", "backup", "b.db").status == 0
        program.outbox.write_bytes(b"\xff" * 9000)
        log = program.outbox.with_name("outbox.db-wal")
        log.write_bytes(b"what was in the log")
        log.chmod(0o600)
        answer = program.run("outbox", "restore", "b.db")
        assert answer.status == 0, answer
        assert [row["subject"] for row in rows(program)] == ["one"]
        assert [file.read_bytes() for file in kept(program)] == [b"\xff" * 9000, b"what was in the log"]

    def test_a_log_without_its_outbox_does_not_get_into_the_restored_one(self, program: Program) -> None:
        program.send(subject="one")
        assert program.call("outbox", "backup", "b.db").status == 0
        with closing(sqlite3.connect(program.outbox, isolation_level=None)) as connection:
            connection.execute("UPDATE outbox SET subject = 'of the other'")
            log = program.outbox.with_name("outbox.db-wal").read_bytes()
        program.outbox.unlink()
        stray = program.outbox.with_name("outbox.db-wal")
        stray.write_bytes(log)
        stray.chmod(0o600)
        assert program.run("outbox", "restore", "b.db").status == 0
        assert [row["subject"] for row in rows(program)] == ["one"]

    @pytest.mark.parametrize("arguments", [("restore", "outbox.db"), ("restore", "outbox.db-wal")])
    def test_the_outbox_itself_is_no_backup(self, program: Program, arguments: tuple[str, ...]) -> None:
        program.send()
        assert_error(program.run("outbox", *arguments), 65, "the outbox itself")

    def test_a_damaged_backup_is_refused_and_nothing_replaced(self, program: Program) -> None:
        program.send(subject="one")
        assert program.call("outbox", "backup", "b.db").status == 0
        damage(program.home / "b.db", "PRAGMA foreign_keys = OFF")
        damage(program.home / "b.db", "DELETE FROM outbox")
        before = program.outbox.read_bytes()
        assert_error(program.run("outbox", "restore", "b.db"), 74, "b.db is damaged", "nothing was replaced")
        assert (program.outbox.read_bytes(), kept(program), leftovers(program)) == (before, [], [])

    def test_while_a_follower_or_another_program_has_it_open_it_is_refused(
        self, program: Program, server: ScriptedServer
    ) -> None:
        program.send(subject="one")
        drain(program)
        assert program.call("outbox", "backup", "b.db").status == 0
        program.configure(server.port, outbox="busy_timeout_seconds = 0")
        follower = program.start("drain", "--follow")
        try:
            program.send(subject="two")
            server.wait_for(lambda: len(server.messages) == 2, 60)
            for arguments in (("restore", "b.db"), ("move", "m.db")):
                assert_error(program.run("outbox", *arguments), 75, "works on the outbox", "stop it")
        finally:
            follower.terminate()
            follower.communicate(timeout=60)
        with closing(sqlite3.connect(program.outbox)) as other:
            other.execute("SELECT count(*) FROM outbox").fetchone()
            assert_error(program.run("outbox", "restore", "b.db"), 75, "another process has the outbox", "fuser")
        assert kept(program) == []
        assert program.run("outbox", "restore", "b.db").status == 0


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do *work* in a process that is gone at the n-th step which changes names or syncs; whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            left = number

            def counting(original: Callable[..., Any]) -> Callable[..., Any]:
                def call(*arguments: Any, **options: Any) -> Any:
                    nonlocal left
                    left -= 1
                    if left < 0:
                        os._exit(9)
                    return original(*arguments, **options)

                return call

            for name in ("link", "replace", "unlink", "fsync", "open", "fchmod"):
                setattr(os, name, counting(getattr(os, name)))
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 9


class TestKilledAtEachStep:
    def test_of_a_restore_the_outbox_is_the_old_or_the_new_one(self, program: Program) -> None:
        program.send(subject="of the backup")
        assert program.call("outbox", "backup", "b.db").status == 0
        program.send(subject="newer")
        seen = set()
        number = 0
        whole = whole_of(load_settings(program.config).outbox)
        while killed_at(number, lambda: whole.restore(program.home / "b.db", NOW)):
            found = [row["subject"] for row in rows(program)]
            assert found in (["of the backup", "newer"], ["of the backup"])
            seen.add(len(found))
            assert program.call("outbox", "verify").status == 0
            for file in kept(program):
                assert program.call("outbox", "verify", str(file)).status == 0
            if len(found) == 1:
                program.send(subject="newer")
            number += 1
        assert number > 5
        assert seen == {1, 2}
        assert [row["subject"] for row in rows(program)] == ["of the backup"]
        assert leftovers(program) == []

    def test_of_a_backup_the_file_is_the_old_or_the_new_one(self, program: Program) -> None:
        program.send(subject="one")
        assert program.call("outbox", "backup", "b.db").status == 0
        program.send(subject="two")
        whole = whole_of(load_settings(program.config).outbox)
        number, seen = 0, set()
        while killed_at(number, lambda: whole.backup(program.home / "b.db", force=True)):
            answer = program.call("outbox", "verify", "b.db", "--json")
            assert answer.status == 0
            seen.add(answer.data["contents"])
            number += 1
        assert number > 3
        assert seen == {1, 2}
        assert leftovers(program) == []
