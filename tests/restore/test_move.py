"""``outbox move`` and ``adopt``: one outbox sends, here or there, and none stores what nobody would send."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from prx_email_cli.config.settings import load_settings
from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.open import whole_of
from prx_email_cli.outbox.sqlite import copying

from ..cli.outside import NOW, assert_error, rows
from ..conftest import HELD_TO_MODES, Answer, Program
from ..outbox.messages import wish
from ..support.scripted import ScriptedServer
from .backups import drain, subjects
from .test_whole import killed_at, leftovers


@pytest.fixture
def elsewhere(program: Program, server: ScriptedServer) -> Program:
    """The other machine, with the same account."""
    other = Program(program.home / "elsewhere")
    other.home.mkdir()
    other.configure(server.port)
    return other


def assert_moved(answer: Answer, file: str) -> None:
    assert_error(answer, 74, "was moved to another machine", file, "outbox move --undo", code="moved")


class TestMoved:
    def test_nothing_is_stored_sent_or_changed_here_any_more(self, program: Program, server: ScriptedServer) -> None:
        program.send(subject="one")
        answer = program.run("outbox", "move", "m.db", "--json")
        file = program.home / "m.db"
        assert answer.data == {"file": str(file), "bytes": file.stat().st_size, "stored": 1, "not_ended": 1}
        assert file.stat().st_mode & 0o777 == 0o600
        (program.home / "mail.eml").write_text("From: a@example.org\nSubject: s\n\ntext\n")
        commands: list[tuple[str, ...]] = [
            ("send", "--to", "b@example.org", "--subject", "s", "--body", "b"),
            ("drain",), ("hold", "--all"), ("import", "mail.eml"),
        ]  # fmt: skip
        for command in commands:
            assert_moved(program.run(*command, "--json"), str(file))
        for line in ("retry 1", "hold 1", "release --all", "edit 1 --replace a@example.org=b@example.org",
                     "retry --all --spread 30m", "dismiss 1", "outbox move other.db"):  # fmt: skip
            assert program.run(*line.split()).status == 74, line
        assert "was moved to another machine" in program.run("doctor", "--offline").out
        assert [(row["outbox_id"], row["status"], row["held"]) for row in rows(program)] == [(1, "pending", False)]
        assert server.messages == []

    def test_there_it_sends_at_once_and_each_message_arrives_once(
        self, program: Program, elsewhere: Program, server: ScriptedServer
    ) -> None:
        program.send(subject="one")
        drain(program)
        program.send(subject="two")
        assert program.call("outbox", "move", "m.db").status == 0
        shutil.move(program.home / "m.db", elsewhere.home / "m.db")
        answer = elsewhere.run("outbox", "adopt", "m.db")
        assert (answer.status, answer.out) == (0, "adopted: 2 messages, 1 not ended\n"), answer
        drain(elsewhere)
        assert subjects(server) == ["one", "two"]
        assert elsewhere.send() == 3
        for home in (elsewhere, program):
            assert_error(home.run("outbox", "adopt", str(elsewhere.home / "m.db")), 74, "adopted already")

    def test_a_file_put_in_place_by_hand_sends_nothing_until_it_is_adopted(
        self, program: Program, elsewhere: Program, server: ScriptedServer
    ) -> None:
        program.send(subject="one")
        assert program.call("outbox", "move", "m.db").status == 0
        shutil.move(program.home / "m.db", elsewhere.outbox)
        assert_error(elsewhere.run("drain"), 74, "on its way", "prx-email outbox adopt")
        assert elsewhere.run("outbox", "adopt").out == "adopted: 1 messages, 1 not ended\n"
        drain(elsewhere)
        assert subjects(server) == ["one"]
        assert_error(elsewhere.run("outbox", "adopt"), 65, "at home already")

    def test_it_comes_home_by_undo_with_a_warning(self, program: Program, server: ScriptedServer) -> None:
        program.send(subject="one")
        assert program.call("outbox", "move", "m.db").status == 0
        answer = program.run("outbox", "move", "--undo")
        assert (answer.status, answer.out) == (0, "undone: this outbox stores and sends again\n")
        assert f"delete {program.home / 'm.db'}" in answer.err
        drain(program)
        assert subjects(server) == ["one"]
        assert_error(program.run("outbox", "move", "--undo"), 65, "was not moved")
        assert_error(program.run("outbox", "adopt", "m.db"), 65, "this very outbox")

    def test_and_back_again_as_often_as_one_likes(
        self, program: Program, elsewhere: Program, server: ScriptedServer
    ) -> None:
        homes = [program, elsewhere]
        for number in range(4):
            here, there = homes[number % 2], homes[1 - number % 2]
            here.send(subject=str(number))
            drain(here)
            file = here.home / f"m{number}.db"
            assert here.call("outbox", "move", str(file)).status == 0
            assert there.run("outbox", "adopt", str(file)).status == 0
        assert subjects(server) == ["0", "1", "2", "3"]
        assert program.send() == 5

    def test_backups_and_moves_are_not_taken_for_each_other(self, program: Program, elsewhere: Program) -> None:
        program.send()
        assert program.call("outbox", "backup", "b.db").status == 0
        assert program.call("outbox", "move", "m.db").status == 0
        assert_error(elsewhere.run("outbox", "restore", str(program.home / "m.db")), 65, "outbox adopt takes it")
        assert_error(elsewhere.run("outbox", "adopt", str(program.home / "b.db")), 65, "outbox restore takes a backup")
        assert_error(elsewhere.run("outbox", "adopt", str(program.outbox)), 65, "outbox restore takes a backup")
        assert not elsewhere.outbox.exists()

    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            ((), 2, "either FILE or --undo"),
            (("m.db", "--undo"), 2, "either FILE or --undo"),
            (("exists.db",), 65, "exists already"),
            (("nowhere/m.db",), 66, "no directory"),
            (("closed/m.db",), 74, "cannot write"),
        ],
    )
    def test_what_cannot_be_done_leaves_it_at_home(
        self, program: Program, arguments: tuple[str, ...], status: int, words: str
    ) -> None:
        program.send()
        (program.home / "exists.db").write_text("precious")
        (program.home / "closed").mkdir(mode=0o500)
        program.wrapper = HELD_TO_MODES
        assert_error(program.run("outbox", "move", *arguments), status, words)
        assert program.send() == 2


def test_killed_at_each_step_of_a_move_it_is_at_home_or_can_be_moved_again(program: Program) -> None:
    program.send()
    file = program.home / "m.db"
    whole = whole_of(load_settings(program.config).outbox)
    number = left = 0
    while killed_at(number, lambda: whole.move(file, NOW, "me@here", lambda store: None)):
        sends = program.call("send", "--to", "b@example.org", "--subject", "s", "--body", "b")
        assert sends.status in (0, 74)
        left += sends.status == 74
        if file.exists():
            assert sends.status == 74
            assert program.call("outbox", "verify", "m.db").status == 0
            file.unlink()
            assert program.call("outbox", "move", "--undo").status == 0
        number += 1
    assert left > 1
    assert program.call("outbox", "verify", "m.db").status == 0
    assert leftovers(program) == []


def test_what_a_killed_run_had_in_hand_is_settled_before_the_outbox_goes(
    program: Program, elsewhere: Program, server: ScriptedServer
) -> None:
    program.send(subject="one")
    store = program.file_store()
    run = store.start_run(NOW)
    run.advance([], [wish(2 * NOW)])
    run._lock.release()
    store.close()
    assert program.call("outbox", "move", "m.db").status == 0
    assert elsewhere.call("outbox", "adopt", str(program.home / "m.db")).status == 0
    assert [(row["status"], row["uncertain"]) for row in rows(elsewhere)] == [("pending", False)]
    drain(elsewhere)
    assert subjects(server) == ["one"]


def test_a_carried_file_that_cannot_be_written_is_adopted_all_the_same(program: Program, elsewhere: Program) -> None:
    program.send()
    assert program.call("outbox", "move", "m.db").status == 0
    file: Path = program.home / "m.db"
    file.chmod(0o400)
    elsewhere.wrapper = HELD_TO_MODES
    assert elsewhere.run("outbox", "adopt", str(file)).status == 0


def test_status_says_first_that_nothing_is_sent_from_here(program: Program, server: ScriptedServer) -> None:
    program.send()
    assert program.call("outbox", "backup", "b.db").status == 0
    drain(program)
    assert program.call("outbox", "restore", "b.db").status == 0
    answer = program.run("status", "--json")
    assert (answer.status, "is a restored backup" in answer.data["wanted"][0]) == (1, True)
    assert "prx-email hold --all" in answer.data["wanted"][0]
    assert program.call("outbox", "accept-restore").status == 0
    drain(program)
    assert program.run("status", "--json").data["wanted"] == []
    assert program.call("outbox", "move", "m.db").status == 0
    assert "was moved to another machine" in " ".join(program.run("status").out.split())


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=["disk", "Ctrl-C"])
def test_once_the_carried_file_has_its_name_the_outbox_stays_left_whatever_fails(
    program: Program, elsewhere: Program, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    program.send(subject="one")

    def fail(directory: Path) -> None:
        raise error

    monkeypatch.setattr(copying, "sync_directory", fail)
    assert program.call("outbox", "move", "m.db").status != 0
    monkeypatch.undo()
    assert program.run("drain").status == 74
    assert elsewhere.run("outbox", "adopt", str(program.home / "m.db")).status == 0
    drain(elsewhere)
    assert subjects(server) == ["one"]


def test_where_another_file_took_its_name_the_outbox_stays_at_home(
    program: Program, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.send(subject="one")

    def taken(new: Path, file: Path, *, replace: bool) -> None:
        file.write_text("mine\n")
        raise StorageError("no")

    monkeypatch.setattr(copying, "put", taken)
    assert program.call("outbox", "move", "m.db").status == 74
    monkeypatch.undo()
    drain(program)
    assert subjects(server) == ["one"]
