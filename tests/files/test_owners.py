"""root works on somebody's outbox and leaves nothing behind that they cannot use; and if it did, that is told."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..cli.outside import assert_error
from ..conftest import Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer
from .people import ANN, BEN, as_user, bits, give, needs_root, owners

pytestmark = needs_root


class Two(Program):
    """root and Ann, each with a config of their own for the one outbox, which is Ann's."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.anns = home / "ann"
        self.anns.mkdir(mode=0o700)
        self.outbox = self.anns / "outbox.db"

    def use(self, port: int) -> None:
        """Deliver to the server on *port*."""
        self.configure(port)
        text = self.config.read_text().replace('"outbox.db"', '"ann/outbox.db"')
        self.config.write_text(text)
        (self.anns / "config.toml").write_text(text.replace('"ann/', '"'))
        give(self.anns, ANN)

    @contextmanager
    def ann(self) -> Iterator[Program]:
        """What runs in here is run by Ann."""
        before = self.wrapper, self.environment
        self.wrapper = as_user(ANN)
        self.environment = {**self.environment, "PRX_EMAIL_CONFIG": str(self.anns / "config.toml")}
        self.environment["HOME"] = str(self.anns)
        yield self
        self.wrapper, self.environment = before


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)


def start_killed_drain(two: Two, server: ScriptedServer) -> str:
    """root's drain, killed while it delivers; its lock file's name."""
    drain = two.start("drain")
    server.wait_for(lambda: server.happened, timeout=60)
    (lock,) = (two.anns / "outbox.db.runs").glob("*-*-*")
    drain.kill()
    drain.communicate(timeout=60)
    return lock.name


def stuck(two: Two) -> Path:
    """Message 1 is in sending by a killed run whose lock file is root's, as older versions left it; that file."""
    with ScriptedServer([Fault("after_dot", "pause", times=1)]) as server:
        two.use(server.port)
        with two.ann():
            two.send()
        name = start_killed_drain(two, server)
    lock = two.anns / "outbox.db.runs" / name
    os.chown(lock, 0, 0)
    return lock


class TestWhatRootMakes:
    def test_belongs_to_the_outboxs_owner(self, two: Two) -> None:
        with MailHost() as host:
            two.use(host.port)
            with two.ann():
                two.send()
            assert two.run("drain").status == 0
            assert two.run("send", "--to", "a@example.org", "--subject", "s", "--body", "b", "--now").status == 0
        assert owners(two.anns) == {(ANN, ANN)}
        assert (two.anns / "outbox.db.runs" / "last-drain").exists()

    def test_belongs_to_them_while_it_is_there(self, two: Two) -> None:
        """The lock, and the database's log beside it."""
        with ScriptedServer([Fault("after_dot", "pause", times=1)]) as server:
            two.use(server.port)
            with two.ann():
                two.send()
            drain = two.start("drain")
            server.wait_for(lambda: server.happened, timeout=60)
            (two.anns / "config.toml").unlink()
            files = {path.name: (path.stat().st_uid, bits(path)) for path in two.anns.rglob("*") if path.is_file()}
            drain.kill()
            drain.communicate(timeout=60)
        assert {name: owner for name, (owner, _) in files.items()} == dict.fromkeys(files, ANN)
        assert {"outbox.db-wal", "outbox.db-shm"} < set(files)
        assert {mode for _, mode in files.values()} == {0o600}

    def test_does_not_stop_the_owner_while_it_lives_nor_after_its_death(self, two: Two) -> None:
        with ScriptedServer([Fault("after_dot", "pause", times=1)]) as server:
            two.use(server.port)
            with two.ann():
                two.send()
            drain = two.start("drain")
            server.wait_for(lambda: server.happened, timeout=60)
            with two.ann():
                two.send()
                assert two.run("drain").status == 0
                assert [two.show(number)["status"] for number in (1, 2)] == ["sending", "sent"]
                drain.kill()
                drain.communicate(timeout=60)
                assert json.loads(two.run("drain", "--json").out)["data"]["recovered"] == 1
                assert two.show(1)["status"] == "sent"

    def test_takes_the_note_of_the_last_drain_from_nobody(self, two: Two) -> None:
        """An older version left it to root."""
        two.use(9)
        with two.ann():
            two.send()
            assert two.run("drain").status == 75
            note = two.anns / "outbox.db.runs" / "last-drain"
            os.chown(note, 0, 0)
            os.utime(note, (1, 1))
            two.run("drain")
        assert (note.stat().st_uid, note.stat().st_mtime > 1) == (ANN, True)

    def test_is_roots_own_where_the_outbox_is(self, program: Program) -> None:
        program.send()
        program.run("drain")
        assert {path.stat().st_uid for path in program.home.rglob("*")} == {0}


class TestALockThatCannotBeOpened:
    def test_is_told_by_a_drain_which_delivers_the_rest(self, two: Two) -> None:
        lock = stuck(two)
        with MailHost() as host:
            two.use(host.port)
            os.chown(lock, 0, 0)
            with two.ann():
                other = two.send()
                answer = two.run("drain")
                assert_error(answer, 74, str(lock), "belongs to root", "chown")
                assert_error(two.run("drain", "--json"), 74, str(lock), code="storage")
                assert (two.show(1)["status"], two.show(other)["status"]) == ("sending", "sent")
            assert len(host.messages) == 1
        assert lock.exists()

    def test_is_told_by_a_retry_of_what_it_holds_and_stops_no_other(self, two: Two) -> None:
        lock = stuck(two)
        with MailHost() as host:
            two.use(host.port)
            os.chown(lock, 0, 0)
            with two.ann():
                other, third = two.send(), two.send()
                assert_error(two.run("retry", "1"), 74, str(lock), "belongs to root")
                assert_error(two.run("retry", "1", "--json"), 74, str(lock), code="storage")
                answer = two.run("retry", str(other))
                assert (answer.status, answer.out) == (0, f"{other} sent\n")
                assert f"warning: whether a run is alive cannot be told: {lock}" in answer.err
                both = two.run("retry", "1", str(third))
                assert (both.status, both.out) == (74, f"{third} sent\n")

    def test_is_told_by_doctor(self, two: Two) -> None:
        lock = stuck(two)
        with two.ann():
            answer = two.run("doctor", "--json")
        checks = [check for check in answer.data["checks"] if check["name"] == "messages"]
        assert [check["result"] for check in checks] == ["failed"]
        assert str(lock) in checks[0]["detail"]
        assert "belongs to root" in checks[0]["detail"]
        assert answer.status in {74, 78}, "the message domain is told first"

    def test_is_no_obstacle_once_the_advice_was_followed(self, two: Two) -> None:
        lock = stuck(two)
        with MailHost() as host:
            two.use(host.port)
            os.chown(lock, 0, 0)
            with two.ann():
                advice = two.run("drain").err.split("sudo ")[1].split(" lets")[0]
                subprocess.run(advice.split(), check=True)
                assert two.run("drain").status == 0
                assert two.show(1)["status"] == "sent"

    def test_in_a_directory_that_cannot_be_opened_is_told_too(self, two: Two) -> None:
        stuck(two)
        directory = two.anns / "outbox.db.runs"
        os.chown(directory, 0, 0)
        with two.ann():
            assert_error(two.run("drain"), 74, str(directory), "belongs to root")
            assert_error(two.run("retry", "1"), 74, str(directory), "belongs to root")
            assert two.run("doctor").status != 70


def test_what_somebody_else_planted_is_not_taken_for_a_directory_of_runs(two: Two) -> None:
    two.use(9)
    with two.ann():
        two.send()
    (two.anns / "outbox.db.runs").mkdir()
    os.chown(two.anns / "outbox.db.runs", BEN, BEN)
    with two.ann():
        assert_error(two.run("drain"), 77, "outbox.db.runs belongs to", "chown")


class TestTheLog:
    """``[log] file``, which every drain appends to."""

    def test_that_root_makes_is_its_directorys_owners(self, two: Two) -> None:
        with MailHost() as host:
            two.use(host.port)
            for config in (two.config, two.anns / "config.toml"):
                config.write_text(f'{config.read_text()}\n[log]\nfile = "{two.anns}/attempts.log"\n')
            with two.ann():
                two.send()
            assert (two.run("drain").status, len(host.messages)) == (0, 1)
            log = two.anns / "attempts.log"
            assert (log.stat().st_uid, bits(log), log.read_text().count("\n")) == (ANN, 0o600, 1)
            with two.ann():
                two.send()
                answer = two.run("drain")
            assert (answer.status, answer.err, log.read_text().count("\n")) == (0, "", 2)

    def test_stays_as_it_is_once_it_is_there(self, two: Two) -> None:
        with MailHost() as host:
            two.use(host.port)
            with two.ann():
                two.send()
            log = two.home / "attempts.log"
            log.touch(0o640)
            os.chown(log, BEN, BEN)
            two.config.write_text(f'{two.config.read_text()}\n[log]\nfile = "{log}"\n')
            assert two.run("drain").status == 0
        assert (log.stat().st_uid, bits(log), log.read_text().count("\n")) == (BEN, 0o640, 1)

    def test_is_made_where_a_link_leads(self, two: Two) -> None:
        with MailHost() as host:
            two.use(host.port)
            with two.ann():
                two.send()
            (two.home / "logs").mkdir()
            (two.home / "attempts.log").symlink_to("logs/real.log")
            two.config.write_text(f'{two.config.read_text()}\n[log]\nfile = "attempts.log"\n')
            assert two.run("drain").status == 0
        assert (two.home / "logs" / "real.log").read_text().count("\n") == 1


def test_root_leaves_nothing_in_somebodys_directory_where_it_may_not_make_an_outbox(two: Two) -> None:
    two.use(9)
    assert_error(two.run("send", "--to", "a@example.org", "--subject", "s", "--body", "b"), 77, "belongs to")
    assert [file.name for file in two.anns.iterdir()] == ["config.toml"]
