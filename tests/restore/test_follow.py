"""A follower stays with the outbox that its path names, whatever becomes of the file that it has open."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

import pytest

from prx_email_cli.config.settings import load_settings
from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.open import Vacancy
from prx_email_cli.outbox.sqlite.schema import MIGRATIONS

from ..cli.outside import rows
from ..conftest import Program
from ..outbox.messages import new_message
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .backups import SAYS, backup, restore, subjects

PATIENCE = 60


class Follower:
    """A ``drain --follow`` that delivers already, and what it says."""

    def __init__(self, program: Program, server: ScriptedServer) -> None:
        self.program, self.server = program, server
        self.process = program.start("drain", "--follow")
        self.said: list[str] = []
        assert self.process.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self.process.stderr,))
        self._listener.start()
        self.deliver("before")

    def _listen(self, stream: IO[str]) -> None:
        for line in stream:
            self.said.append(line)

    def deliver(self, subject: str) -> None:
        """It delivers what is sent now."""
        self.program.send(subject=subject)
        self.has_delivered(subject)

    def has_delivered(self, subject: str) -> None:
        wanted = f"Subject: {subject}\r\n".encode()
        self.server.wait_for(lambda: any(wanted in message.content for message in self.server.messages), PATIENCE)

    def takes_up(self) -> None:
        """It has the file open that is the outbox now: only then may others use it (docs/delivery.md)."""
        descriptors = Path(f"/proc/{self.process.pid}/fd")

        def has_it() -> bool:
            with suppress(OSError):  # one that it has closed meanwhile
                return any(os.path.samefile(one, self.program.outbox) for one in descriptors.iterdir())
            return False

        wait_until(has_it)

    def say(self, words: str) -> None:
        """It says this."""
        wait_until(lambda: any(words in line for line in self.said))

    def end(self, number: int | None = signal.SIGTERM) -> int:
        """Its exit status after a signal, or without one by itself."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=PATIENCE)
        self._listener.join(PATIENCE)
        return status

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=PATIENCE)
        self._listener.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def follower(program: Program, server: ScriptedServer) -> Iterator[Follower]:
    follower = Follower(program, server)
    yield follower
    follower.kill()


def another(program: Program, subject: str) -> Path:
    """An outbox of its own with one message, elsewhere."""
    elsewhere = Program(program.home / "elsewhere")
    elsewhere.home.mkdir()
    elsewhere.configure()
    elsewhere.send(subject=subject)
    with closing(sqlite3.connect(elsewhere.outbox)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return elsewhere.outbox


def remove(program: Program) -> None:
    for end in ("", "-wal", "-shm"):
        program.outbox.with_name(program.outbox.name + end).unlink(missing_ok=True)


def restore_through_sqlite(program: Program, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(program.outbox)) as target:
        source.backup(target)


class TestReplaced:
    def test_by_a_newer_state_of_itself_another_outbox_or_an_older_schema_it_takes_that_up(
        self, follower: Follower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = follower.program
        program.send("--in", "1d", subject="waits")
        wait_until(lambda: program.show(1)["status"] == "sent")  # else the backup knows less than the outbox
        restore(program, backup(program))
        follower.deliver("after the first")
        assert program.show(2)["status"] == "pending"
        os.replace(another(program, "in the new one"), program.outbox)
        follower.has_delivered("in the new one")
        follower.deliver("after the second")
        old = Program(program.home / "old")
        old.home.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr("prx_email_cli.outbox.sqlite.schema.MIGRATIONS", MIGRATIONS[:1])
            old.store().close()
        os.replace(old.outbox, program.outbox)
        follower.takes_up()
        follower.deliver("after the third")
        assert (follower.end(), follower.said) == (0, [])

    @pytest.mark.parametrize("way", [restore, restore_through_sqlite])
    def test_by_a_restored_backup_it_ends_with_75(
        self, way: Callable[[Program, Path], None], follower: Follower
    ) -> None:
        copy = backup(follower.program)
        follower.deliver("since")
        way(follower.program, copy)
        assert follower.end(None) == 75
        assert SAYS in "".join(follower.said)
        assert subjects(follower.server) == ["before", "since"]

    def test_in_the_middle_of_a_long_delivery_it_claims_no_more_of_the_old_one(self, program: Program) -> None:
        with ScriptedServer([Fault("after_dot", "pause", times=1, skip=1)]) as server:
            program.configure(server.port, smtp="connections = 1")
            follower = Follower(program, server)
            try:
                for number in range(3):
                    program.send(subject=f"old {number}")
                server.wait_for(lambda: server.happened, timeout=PATIENCE)
                os.replace(another(program, "in the new one"), program.outbox)
                server.release()
                follower.has_delivered("in the new one")
                assert "old 2" not in subjects(server)
                assert follower.end() == 0
            finally:
                follower.kill()


class TestGone:
    def test_it_says_so_once_waits_and_makes_nothing_in_its_place(self, follower: Follower) -> None:
        program = follower.program
        Path(f"{program.outbox}.runs").rename(program.home / "runs that were")  # at once: it may be writing there
        follower.deliver("without the directory of its runs")
        remove(program)
        follower.say(f"the outbox {program.outbox} is gone: waiting for it")
        assert not program.outbox.exists()
        follower.deliver("begun anew")
        assert follower.end() == 0
        assert len(follower.said) == 1

    def test_with_its_directory_as_on_a_disk_that_is_unmounted(self, program: Program, server: ScriptedServer) -> None:
        disk, away = program.home / "disk", program.home / "away"
        disk.mkdir(mode=0o700)
        program.config.write_text(program.config.read_text().replace('"outbox.db"', '"disk/outbox.db"'))
        program.outbox = disk / "outbox.db"
        follower = Follower(program, server)
        try:
            disk.rename(away)
            follower.say("is gone")
            assert not disk.exists()
            away.rename(disk)
            follower.deliver("mounted again")
            assert follower.end() == 0
        finally:
            follower.kill()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signals_end_it_while_it_waits(self, number: int, follower: Follower) -> None:
        remove(follower.program)
        follower.say("is gone")
        assert follower.end(number) == 0

    def test_and_restored_from_a_backup_it_ends_with_75(self, follower: Follower) -> None:
        copy = backup(follower.program)
        follower.deliver("since")
        remove(follower.program)
        follower.say("is gone")
        restore(follower.program, copy)
        assert follower.end(None) == 75

    def test_a_backup_copied_over_it_whose_log_was_removed_is_not_written_to(self, follower: Follower) -> None:
        program = follower.program
        content = backup(program).read_bytes()
        for end in ("-wal", "-shm"):
            program.outbox.with_name(program.outbox.name + end).unlink()
        program.outbox.write_bytes(content)
        assert follower.end(None) == 74
        assert "lost its write-ahead log" in "".join(follower.said)
        assert program.outbox.read_bytes() == content


class TestPutInPlaceSlowly:
    """What a follower does that waits, at each of its looks."""

    def test_a_file_that_is_still_being_copied_is_waited_for(self, program: Program) -> None:
        content = another(program, "in the new one").read_bytes()
        vacancy = Vacancy(load_settings(program.config).outbox)
        assert (vacancy.taken_by(0), vacancy.empty, program.outbox.exists()) == (None, True, False)
        descriptor = os.open(program.outbox, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        for now, start in enumerate(range(0, len(content), len(content) // 4)):
            assert vacancy.taken_by(9 * now) is None
            os.write(descriptor, content[start : start + len(content) // 4])
        os.close(descriptor)
        assert [vacancy.taken_by(now) for now in (50, 59)] == [None] * 2, "it is open to all yet"
        assert program.outbox.read_bytes() == content, "nobody wrote into it"
        program.outbox.chmod(0o600)
        successor = vacancy.taken_by(60)
        assert successor is not None
        with closing(successor):
            assert successor.row(1).subject == "in the new one"

    def test_a_file_that_stays_no_outbox_is_told_after_ten_seconds(self, program: Program) -> None:
        program.outbox.write_bytes(b"this is no database\n" * 500)
        program.outbox.chmod(0o600)
        vacancy = Vacancy(load_settings(program.config).outbox)
        assert [vacancy.taken_by(now) for now in (0, 10)] == [None] * 2
        with pytest.raises(StorageError, match="not a database"):
            vacancy.taken_by(10.1)


def test_a_link_that_leads_elsewhere_by_now_leaves_the_log_of_what_it_led_to(program: Program) -> None:
    first, second = (program.home / f"{name}.db" for name in ("first", "second"))
    for file in (first, second):
        file.touch(0o600)
    program.outbox.symlink_to(first)
    mine = program.file_store()
    mine.enqueue([new_message()])
    program.outbox.unlink()
    program.outbox.symlink_to(second)
    program.file_store().close()
    program.outbox.unlink()
    program.outbox.symlink_to(first)
    with closing(program.file_store()) as others:
        program.outbox.unlink()
        program.outbox.symlink_to(second)
        assert mine.replaced()
        mine.close()
        assert first.with_name("first.db-wal").exists()
        others.enqueue([new_message()])
    program.outbox.unlink()
    program.outbox.symlink_to(first)
    assert len(rows(program)) == 2


def test_a_log_that_is_anothers_by_now_stays_in_its_place(program: Program) -> None:
    """SQLite removes by its name what it takes for its own log; in this one is what somebody was told is stored."""
    program.send()
    mine = program.file_store()
    restore(program, backup(program))
    with closing(program.file_store()) as others:
        others.enqueue([new_message()])
        log = program.outbox.with_name("outbox.db-wal")
        before = os.stat(log)
        assert (mine.replaced(), others.replaced()) == (True, False)
        mine.close()
        assert os.path.samestat(os.stat(log), before)
        assert len(rows(program)) == 2
