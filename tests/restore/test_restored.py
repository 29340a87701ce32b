"""A restored backup is drained by nobody until a person has decided, and loses no mail that is stored meanwhile."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from prx_email_cli.errors import RestoredBackup
from prx_email_cli.outbox.sqlite.high_water import HighWater, Mark
from prx_email_cli.outbox.sqlite.mark_record import MOST_MARKS
from prx_email_cli.outbox.sqlite.schema import MIGRATIONS

from ..checks.healthy import DOMAIN, examined, not_ok
from ..cli.outside import enqueue, rows, stored
from ..conftest import Program
from ..outbox.messages import NOW, POLICY, claim, kill, new_message, sent
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .backups import SAYS, assert_refused, backup, drain, mark_file, restore, subjects

SENT = ["one", "three", "four"]


COMMANDS = (
    "drain", "drain --quiet", "drain --account work --limit 1", "drain --failure-mode network", "retry 3",
    "retry 3 --force", "retry 1 2 3", "retry 3 --failure-mode provider",
)  # fmt: skip


class TestNobodyDelivers:
    def test_from_it_and_nothing_in_it_is_changed_however_often_it_is_tried(
        self, restored: Program, server: ScriptedServer
    ) -> None:
        before = stored(restored)
        for answer in (restored.run("drain", "--follow"), *(restored.call(*command.split()) for command in COMMANDS)):
            assert_refused(answer)
            assert answer.out == ""
            assert stored(restored) == before
        for command in (("drain",), ("retry", "3"), ("retry", "3", "1")):
            answer = restored.call(*command, "--json")
            error = answer.json["error"]
            assert (answer.status, answer.err, error["code"]) == (75, "", "storage"), answer
            assert SAYS in error["message"]
            assert "hold --all" in error["hint"]
        assert subjects(server) == SENT

    def test_what_send_now_stores(self, restored: Program, server: ScriptedServer) -> None:
        answer = restored.call("send", "--now", "--to", "a@example.org", "--subject", "five", "--body", "b")
        assert_refused(answer)
        assert subjects(server) == SENT
        assert restored.show(int(answer.out))["status"] == "pending"

    def test_and_nothing_that_a_run_left_is_recovered(self, program: Program) -> None:
        with ScriptedServer([Fault("after_dot", "pause", times=1)]) as server:
            program.configure(server.port, outbox="claim_ahead = 0\nothers_wait_seconds = 0")
            enqueue(program, 2)
            killed = program.start("drain", "--connections", "1")
            server.wait_for(lambda: server.happened, timeout=60)
            copy = backup(program)
            killed.kill()
            killed.communicate(timeout=60)
            server.release()
            drain(program)
            arrived = len(server.messages)
            restore(program, copy)
            assert_refused(program.call("drain"))
            assert [row["status"] for row in rows(program)] == ["sending", "pending"]

            held = program.call("hold", "--all")
            assert (held.status, held.out) == (0, "2 held\n")
            drain(program)
            assert [(row["status"], row["held"]) for row in rows(program)] == [("failed", True), ("pending", True)]
            assert len(server.messages) == arrived

    def test_also_when_the_backup_was_taken_in_the_middle_of_the_last_run(self, program: Program) -> None:
        with ScriptedServer([Fault("after_dot", "pause", times=1, skip=1)]) as server:
            program.configure(server.port)
            enqueue(program, 3)
            running = program.start("drain", "--connections", "1")
            server.wait_for(lambda: server.happened, timeout=60)
            copy = backup(program)
            server.release()
            assert running.wait(timeout=60) == 0
            running.communicate()
            assert len(server.messages) == 3
            restore(program, copy)
            assert_refused(program.call("drain"))
            assert len(server.messages) == 3

    @pytest.mark.of_files
    @pytest.mark.parametrize("way", ["restored in place by sqlite3", "vacuumed"])
    def test_also_when_sqlite_itself_was_used(self, way: str, program: Program, server: ScriptedServer) -> None:
        program.send()
        copy = program.home / "vacuumed.db"
        with closing(sqlite3.connect(program.outbox)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        drain(program)
        if way == "vacuumed":
            restore(program, copy)
        else:
            with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(program.outbox)) as target:
                source.backup(target)
        assert_refused(program.call("drain"))
        assert len(server.messages) == 1


class TestThePersonLooksAndDecides:
    def test_with_every_command_that_delivers_nothing(self, restored: Program) -> None:
        for command in ("list", "list --due", "show 3", "stats", "release 2", "hold 3", "release 3", "cancel 3"):
            assert restored.call(*command.split()).status == 0, command
        assert restored.call("prune", "--older-than", "1d").status == 0
        assert_refused(restored.call("drain"))

    def test_to_hold_everything_and_release_what_is_unsent(self, restored: Program, server: ScriptedServer) -> None:
        since = restored.send(subject="since")  # held as well
        answer = restored.call("hold", "--all")
        assert (answer.status, answer.out) == (0, "2 held\n")
        assert "accepted" in answer.err
        drain(restored)
        assert subjects(server) == SENT
        restored.send(subject="new")
        assert restored.call("release", "2", str(since)).status == 0
        drain(restored)
        assert sorted(subjects(server)) == sorted([*SENT, "since", "two", "new"])

    def test_to_hold_one_account_which_accepts_nothing(self, restored: Program) -> None:
        answer = restored.call("hold", "--all", "--account", "work")
        assert (answer.status, answer.out) == (0, "1 held\n")
        assert "until it is accepted" in answer.err
        assert_refused(restored.call("drain"))

    def test_to_accept_it_as_it_is(self, restored: Program, server: ScriptedServer) -> None:
        answer = restored.call("outbox", "accept-restore")
        assert (answer.status, answer.err) == (0, "")
        assert "accepted" in answer.out
        drain(restored)
        assert subjects(server) == [*SENT, "three"]
        first, second = (message.message_id for message in server.messages if b"Subject: three" in message.content)
        assert first == second

    @pytest.mark.of_files  # so is the mark
    def test_in_json_and_a_second_time_nothing_is_changed(self, restored: Program) -> None:
        accept = ("outbox", "accept-restore", "--json")
        assert [row["outbox_id"] for row in restored.call("hold", "--all", "--json").data] == [3]
        assert restored.call(*accept).data == {"accepted": False}
        restore(restored, restored.home / "backup.db")
        assert restored.call(*accept).data == {"accepted": True}
        before, mark = stored(restored), mark_file(restored).read_bytes()
        answer = restored.call("outbox", "accept-restore")
        assert (answer.status, answer.err) == (0, "")
        assert "nothing to accept" in answer.out
        assert (stored(restored), mark_file(restored).read_bytes()) == (before, mark)

    @pytest.mark.parametrize("decision", [("hold", "--all"), ("outbox", "accept-restore")], ids=" ".join)
    def test_again_when_it_is_restored_again(
        self, decision: tuple[str, ...], restored: Program, server: ScriptedServer
    ) -> None:
        for _ in range(3):
            assert restored.call(*decision).status == 0
            assert restored.call("drain").status == 0
            restore(restored, restored.home / "backup.db")
            assert_refused(restored.call("drain"))

    def test_and_the_outbox_that_was_replaced_is_a_restored_one_from_then_on(self, restored: Program) -> None:
        newer = backup(restored, "newer.db")
        restore(restored, newer)
        restored.call("outbox", "accept-restore")
        restore(restored, newer)
        assert_refused(restored.call("drain"))

    def test_after_doctor_has_told(self, restored: Program) -> None:
        restored.config.write_text(restored.config.read_text().replace("[outbox]", f"[outbox]\n{DOMAIN}"))
        before = stored(restored)
        told = examined(restored)
        assert ("database", "failed") in not_ok(told)
        assert told["status"] == 75
        assert SAYS in told["error"]["message"]
        assert "hold --all" in told["error"]["hint"]
        assert stored(restored) == before
        restored.call("hold", "--all")
        assert ("database", "failed") not in not_ok(examined(restored))


class TestIds:
    @pytest.mark.of_files  # a database knows no outside
    def test_go_on_above_all_that_were_known_outside(self, restored: Program) -> None:
        assert restored.send() == 5
        enqueue(restored, 2)
        assert [restored.send("--idempotency-key", "k") for _ in range(2)] == [8, 8]
        assert [row["outbox_id"] for row in rows(restored)] == [1, 2, 3, 5, 6, 7, 8]

    @pytest.mark.on_both
    @pytest.mark.parametrize("decision", [("hold", "--all"), ("outbox", "accept-restore")], ids=" ".join)
    def test_so_no_message_id_comes_back_with_other_content(
        self, decision: tuple[str, ...], restored: Program, server: ScriptedServer
    ) -> None:
        restored.send(subject="before it")
        assert restored.call(*decision).status == 0
        enqueue(restored, 3)
        assert restored.call("release", "--all").status == 0
        drain(restored)
        assert restored.call("outbox", "verify").status == 0
        contents = {(message.message_id, bytes(message.content)) for message in server.messages}
        assert len({message_id for message_id, _ in contents}) == len(contents) == 8

    @pytest.mark.of_files
    def test_also_when_an_outbox_was_deleted_and_begun_anew(self, program: Program, server: ScriptedServer) -> None:
        enqueue(program, 3)
        drain(program)
        program.outbox.unlink()
        assert program.send() == 4
        drain(program)
        assert len(server.messages) == 4

    @pytest.mark.of_files
    def test_begin_with_1_where_nothing_was_ever_claimed(self, program: Program) -> None:
        enqueue(program, 3)
        program.outbox.unlink()
        assert program.send() == 1


@pytest.mark.of_files  # a database's copy is known by its place
class TestWhatIsToldApart:
    def test_a_backup_since_which_nothing_was_claimed(self, program: Program, server: ScriptedServer) -> None:
        program.send()
        drain(program)
        program.send()
        copy = backup(program)
        restore(program, copy)
        drain(program)
        assert len(server.messages) == 2

    def test_a_backup_of_an_outbox_in_whose_place_another_one_has_been(
        self, program: Program, server: ScriptedServer
    ) -> None:
        program.send(subject="mine")
        copy = backup(program)
        drain(program)
        program.outbox.unlink()  # the disk died, and cron went on
        program.send(subject="meanwhile")
        drain(program)
        restore(program, copy)
        assert_refused(program.call("drain"))
        assert subjects(server) == ["mine", "meanwhile"]

    def test_a_backup_from_before_the_upgrade(
        self, program: Program, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("prx_email_cli.outbox.sqlite.schema.MIGRATIONS", MIGRATIONS[:1])
            program.file_store().close()
        with closing(sqlite3.connect(program.outbox)) as old, old:
            old.execute(
                "INSERT INTO outbox (account, next_attempt_at, first_due_at, created_at, sender, subject, size_bytes)"
                " VALUES ('work', 1, 1, 1, 'ops@example.com', 'old', 14)"
            )
            old.execute("INSERT INTO recipient (outbox_id, number, address, kind) VALUES (1, 0, 'a@example.org', 'to')")
            old.execute("INSERT INTO content (id, data) VALUES (65536, ?)", (b"Subject: old\r\n\r\n",))
            old.execute("UPDATE outbox SET size_bytes = 16")
        copy = backup(program)
        drain(program)
        restore(program, copy)
        assert_refused(program.call("drain"))
        assert subjects(server) == ["old"]

    def test_a_copy_without_the_directory_of_runs_cannot_be(self, program: Program, server: ScriptedServer) -> None:
        program.send()
        copy = backup(program)
        drain(program)
        mark_file(program).unlink()
        restore(program, copy)
        drain(program)
        assert len(server.messages) == 2


@pytest.mark.of_files
@pytest.mark.parametrize("when", ["before", "after"])
def test_others_that_claim_while_one_looks_do_not_make_an_outbox_look_restored(
    when: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        my_store, others_store = (stack.enter_context(closing(program.file_store())) for _ in range(2))
        mine, others = (stack.enter_context(store.start_run(NOW)) for store in (my_store, others_store))
        my_store.enqueue([new_message() for _ in range(9)])
        marks = HighWater.marks

        def marks_while_others_claim(high_water: HighWater) -> list[Mark]:
            if when == "before":
                claim(others)
            found = marks(high_water)
            if when == "after":
                claim(others)
            return found

        claim(mine)
        claim(others)  # from now on it does not look itself
        monkeypatch.setattr(HighWater, "marks", marks_while_others_claim)
        my_store.refuse_restored()
        claim(mine)
        assert my_store.stats(NOW).total == 9


MEANINGLESS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "zeros": lambda _: bytes(128),
    "garbage": lambda _: b"garbage\n" * 1000,
    "random": lambda _: os.urandom(500),
    "another version": lambda _: b"prxe-2 " + b"a" * 121,
    "digits": lambda _: b"9" * 5000,
    "changed": lambda mark: mark[:40] + b"9" + mark[41:],
    "cut": lambda mark: mark[:60],
}


@pytest.mark.of_files
class TestTheMark:
    @pytest.mark.parametrize("name", MEANINGLESS)
    def test_that_means_nothing_is_none_and_is_written_anew(
        self, name: str, restored: Program, server: ScriptedServer
    ) -> None:
        mark_file(restored).write_bytes(MEANINGLESS[name](mark_file(restored).read_bytes()))
        drain(restored)
        assert subjects(server) == [*SENT, "three"]
        restore(restored, restored.home / "backup.db")
        assert_refused(restored.call("drain"))

    def test_is_not_made_by_a_drain_that_claims_nothing(self, program: Program) -> None:
        assert program.call("drain").status == 0
        program.send("--in", "1d")
        assert program.call("drain").status == 0
        assert not mark_file(program).exists()

    @pytest.mark.parametrize("kind", ["link", "directory", "fifo", "writable by all"])
    def test_that_cannot_be_trusted_or_opened_is_told_and_nothing_is_sent(
        self, kind: str, program: Program, server: ScriptedServer
    ) -> None:
        mark = mark_file(program)
        mark.parent.mkdir(mode=0o700)
        target = program.home / "target"
        if kind == "link":
            target.write_text("mine")
            mark.symlink_to(target)
        elif kind == "directory":
            mark.mkdir()
        elif kind == "fifo":
            os.mkfifo(mark)
        else:
            mark.touch()
            mark.chmod(0o666)
        outbox_id = program.send()
        for command in (("drain",), ("retry", str(outbox_id))):
            answer = program.call(*command)
            assert (answer.status, answer.out) == (77 if kind == "writable by all" else 74, ""), answer
            assert str(mark) in answer.err
            assert "hint: " in answer.err
        assert program.call("drain", "--json").json["ok"] is False
        assert program.call("list").status == program.call("stats").status == 0
        assert program.call("hold", "--all").out == "1 held\n"
        assert server.messages == []
        if kind == "link":
            assert target.read_text() == "mine"

    def test_of_many_outboxes_keeps_the_highest_ids(self, program: Program, server: ScriptedServer) -> None:
        high_water = HighWater(program.outbox)
        for number in range(3 * MOST_MARKS):
            high_water.raise_to(Mark(f"{number:032}", 1, 1000 - number))
        high_water.close()
        assert len(high_water.marks()) == MOST_MARKS
        assert program.send() == 1001
        drain(program)
        assert len(server.messages) == 1

    def test_is_made_anew_when_somebody_removes_it_in_the_middle_of_a_run(self, program: Program) -> None:
        with closing(program.file_store()) as store, store.start_run(NOW) as run:
            store.enqueue([new_message(), new_message(), new_message()])
            claim(run)
            mark_file(program).unlink()
            claim(run)
            (mark,) = HighWater(program.outbox).marks()
            assert (mark.generation, mark.last_id) == (2, 2)

    def test_is_raised_by_threads_of_many_processes_and_never_lowered(self, tmp_path: Path) -> None:
        waters = [HighWater(tmp_path / "outbox.db") for _ in range(3)]

        def raise_all(number: int) -> None:
            for generation in range(number, 300, 6):
                waters[number % 3].raise_to(Mark("a" * 32, generation, generation))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(raise_all, range(6)))
        for generation, last_id in ((298, 311), (400, 3)):
            waters[0].raise_to(Mark("a" * 32, generation, last_id))
        assert [water.marks() for water in waters] == [[Mark("a" * 32, 400, 311)]] * 3
        for water in waters:
            water.close()


@pytest.mark.of_files
def test_a_database_without_identity_is_damaged_and_not_a_bug(program: Program) -> None:
    program.send()
    for statement in ("UPDATE ledger SET identity = 'x y'", "DELETE FROM ledger"):
        with closing(sqlite3.connect(program.outbox)) as connection, connection:
            connection.execute(statement)
        answer = program.call("drain", "--json")
        assert (answer.status, answer.json["error"]["code"]) == (74, "storage"), answer


@pytest.mark.of_files
@pytest.mark.parametrize("way", ["accept-restore", "hold --all"])
def test_accepting_a_backup_forgets_what_runs_noted_of_claims_that_it_has_otherwise(way: str, program: Program) -> None:
    """2 was claimed when the backup was taken, then given back, claimed anew with another number, and sent."""
    with closing(program.file_store()) as store:
        dead = store.start_run(NOW)
        store.enqueue([new_message(), new_message()])
        claims = [claim(dead), claim(dead)]
        copy = backup(program)
        dead.advance([], [], claims)
        store.hold(1, NOW)
        dead.advance([sent(claim(dead))], [])
        store.release(1, NOW)
        claim(dead)
        kill(dead)
    restore(program, copy)
    with closing(program.file_store()) as store, store.start_run(NOW) as run:
        with pytest.raises(RestoredBackup):
            run.recover(POLICY, NOW)
        assert list(mark_file(program).parent.glob("*.flight"))
        assert store.accept_restored() if way == "accept-restore" else store.hold_all(None, NOW) == [1, 2]
        assert not list(mark_file(program).parent.glob("*.flight"))
        recovered = run.recover(POLICY, NOW)
        assert (sorted(recovered.uncertain), recovered.finished, recovered.given_back) == ([1, 2], [], [])
