"""root works on somebody's outbox and leaves nothing behind that they cannot use; and if it did, that is told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from prx_email_cli.outbox.messages import ClaimOne

from ..cli.outside import assert_error
from ..conftest import Program
from ..outbox.messages import NOW
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


def stuck(two: Two, port: int = 9) -> Path:
    """Message 1 is in sending by a dead run whose lock file is root's, as older versions left it; that file."""
    two.use(port)
    with two.ann():
        two.send()
    with closing(two.file_store()) as store:
        run = store.start_run(NOW)
        assert run.claim_by_id(ClaimOne(1, NOW, force=True))
        os.close(run._lock._descriptor)  # what the kernel does when its process ends
    lock = two.anns / "outbox.db.runs" / run.run_id
    os.chown(lock, 0, 0)
    return lock


@contextmanager
def draining(two: Two) -> Iterator[subprocess.Popen[str]]:
    """root's drain while it delivers what Ann has sent; killed afterwards, if it was not before."""
    with ScriptedServer([Fault("after_dot", "pause", times=1)]) as server:
        two.use(server.port)
        with two.ann():
            two.send()
        drain = two.start("drain")
        server.wait_for(lambda: server.happened, timeout=60)
        try:
            yield drain
        finally:
            drain.kill()
            drain.communicate(timeout=60)


class TestWhatRootMakes:
    def test_belongs_to_the_outboxs_owner(self, two: Two) -> None:
        with MailHost() as host:
            two.use(host.port)
            with two.ann():
                two.send()
            assert two.call("drain").status == 0
            assert two.call("send", "--to", "a@example.org", "--subject", "s", "--body", "b", "--now").status == 0
        assert owners(two.anns) == {(ANN, ANN)}
        assert (two.anns / "outbox.db.runs" / "last-drain").exists()

    def test_belongs_to_them_while_it_is_there_and_does_not_stop_them_then_nor_after_its_death(self, two: Two) -> None:
        """The lock, and the database's log beside it."""
        with draining(two) as drain:
            files = {path.name: path for path in two.anns.rglob("*") if path.is_file() and path.suffix != ".toml"}
            assert {"outbox.db-wal", "outbox.db-shm"} < set(files)
            assert {(path.stat().st_uid, bits(path)) for path in files.values()} == {(ANN, 0o600)}
            with two.ann():
                two.send()
                assert two.call("drain").status == 0
                assert [two.show(number)["status"] for number in (1, 2)] == ["sending", "sent"]
                drain.kill()
                drain.wait(timeout=60)
                assert two.call("drain", "--json").data["recovered"] == 1
                assert two.show(1)["status"] == "sent"

    def test_takes_the_note_of_the_last_drain_from_nobody(self, two: Two) -> None:
        """An older version left it to root."""
        two.use(9)
        with two.ann():
            two.send()
            assert two.call("drain").status == 75
            note = two.anns / "outbox.db.runs" / "last-drain"
            os.chown(note, 0, 0)
            os.utime(note, (1, 1))
            two.call("drain")
        assert (note.stat().st_uid, note.stat().st_mtime > 1) == (ANN, True)

    def test_is_roots_own_where_the_outbox_is(self, program: Program) -> None:
        program.send()
        program.call("drain")
        assert {path.stat().st_uid for path in program.home.rglob("*")} == {0}


class TestALockThatCannotBeOpened:
    def test_is_told_by_a_drain_which_delivers_the_rest_and_by_doctor_until_the_advice_is_followed(
        self, two: Two
    ) -> None:
        with MailHost() as host:
            lock = stuck(two, host.port)
            with two.ann():
                other = two.send()
                answer = two.call("drain")
                assert_error(answer, 74, str(lock), "belongs to root", "chown")
                assert_error(two.call("drain", "--json"), 74, str(lock), code="storage")
                assert (two.show(1)["status"], two.show(other)["status"]) == ("sending", "sent")
                assert len(host.messages) == 1
                examined = two.call("doctor", "--json")
                (check,) = (check for check in examined.data["checks"] if check["name"] == "messages")
                assert (check["result"], examined.status in {74, 78}) == ("failed", True)  # or the domain comes first
                assert all(words in check["detail"] for words in (str(lock), "belongs to root"))
                subprocess.run(answer.err.split("sudo ")[1].split(" lets")[0].split(), check=True)
                assert two.call("drain").status == 0
                assert two.show(1)["status"] == "sent"

    def test_is_told_by_a_retry_of_what_it_holds_and_stops_no_other(self, two: Two) -> None:
        with MailHost() as host:
            lock = stuck(two, host.port)
            with two.ann():
                other, third = two.send(), two.send()
                assert_error(two.call("retry", "1"), 74, str(lock), "belongs to root")
                assert_error(two.call("retry", "1", "--json"), 74, str(lock), code="storage")
                answer = two.call("retry", str(other))
                assert (answer.status, answer.out) == (0, f"{other} sent\n")
                assert f"warning: cannot tell whether a run is alive: {lock}" in answer.err
                both = two.call("retry", "1", str(third))
                assert (both.status, both.out) == (74, f"{third} sent\n")

    def test_in_a_directory_that_cannot_be_opened_is_told_too(self, two: Two) -> None:
        stuck(two)
        directory = two.anns / "outbox.db.runs"
        os.chown(directory, 0, 0)
        with two.ann():
            assert_error(two.call("drain"), 74, str(directory), "belongs to root")
            assert_error(two.call("retry", "1"), 74, str(directory), "belongs to root")
            assert two.call("doctor").status != 70


def test_what_somebody_else_planted_is_not_taken_for_a_directory_of_runs(two: Two) -> None:
    two.use(9)
    with two.ann():
        two.send()
    (two.anns / "outbox.db.runs").mkdir()
    os.chown(two.anns / "outbox.db.runs", BEN, BEN)
    with two.ann():
        assert_error(two.call("drain"), 77, "outbox.db.runs belongs to", "chown")


class TestTheLog:
    """``[log] file``, which every drain appends to."""

    def drained(self, two: Two, log: str) -> None:
        """root delivers what Ann has sent, and logs it there; and so would Ann."""
        with MailHost() as host:
            two.use(host.port)
            with two.ann():
                two.send()
            for config in (two.config, two.anns / "config.toml"):
                config.write_text(f'{config.read_text()}\n[log]\nfile = "{log}"\n')
            assert (two.call("drain").status, len(host.messages)) == (0, 1)

    def test_that_root_makes_is_its_directorys_owners(self, two: Two) -> None:
        log = two.anns / "attempts.log"
        self.drained(two, str(log))
        assert (log.stat().st_uid, bits(log), log.read_text().count("\n")) == (ANN, 0o600, 1)
        with two.ann():
            two.send()
            answer = two.call("drain")
        assert (answer.status, answer.err, log.read_text().count("\n")) == (75, "", 2), "nobody listens there any more"

    def test_stays_as_it_is_once_it_is_there(self, two: Two) -> None:
        log = two.home / "attempts.log"
        log.touch(0o640)
        os.chown(log, BEN, BEN)
        self.drained(two, str(log))
        assert (log.stat().st_uid, bits(log), log.read_text().count("\n")) == (BEN, 0o640, 1)

    def test_is_made_where_a_link_leads(self, two: Two) -> None:
        (two.home / "logs").mkdir()
        (two.home / "attempts.log").symlink_to("logs/real.log")
        self.drained(two, f"{two.home}/attempts.log")
        assert (two.home / "logs" / "real.log").read_text().count("\n") == 1


def test_root_leaves_nothing_in_somebodys_directory_where_it_may_not_make_an_outbox(two: Two) -> None:
    two.use(9)
    assert_error(two.call("send", "--to", "a@example.org", "--subject", "s", "--body", "b"), 77, "belongs to")
    assert [file.name for file in two.anns.iterdir()] == ["config.toml"]
