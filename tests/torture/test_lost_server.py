"""Whole drains and followers whose database ends their sessions, restarts, or can no longer be reached, in the middle.

By environment: TORTURE_LOST=1 tries everything, by the keepalives that the program sets; else some, by shorter ones.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from ..conftest import Program
from ..support.database_proxy import Cut as DatabaseCut
from ..support.database_proxy import DatabaseProxy
from ..support.faults import Fault
from ..support.faults import Place as MailPlace
from ..support.manager import managing
from ..support.namespaces import Cable, Network
from ..support.postgres import MISSING, USER, PostgresServer, database_of, programs, the_server
from ..support.scripted import ScriptedServer
from .conftest import size

pytestmark = pytest.mark.skipif(programs() is None, reason=MISSING)

ALL = bool(size("LOST", 0))
PATIENCE_SECONDS = 240
SECRET = "geheim-4711"
MESSAGES = 3
OTHERS_WAIT = 2
TERMINATE = b"""
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# Of the client's side and of the server's; the program's own are 20 + 3 * 10 seconds, and 50 for what is not taken.
QUICK_CLIENT = "&keepalives_idle=1&keepalives_interval=1&keepalives_count=2&tcp_user_timeout=3000&connect_timeout=2"
QUICK_SERVER = {"tcp_keepalives_idle": 1, "tcp_keepalives_interval": 1, "tcp_user_timeout": 3000}
SHORTER, LONGER = (10.0, 75.0) if ALL else (1.0, 6.0)  # than the keepalives
_LOST = re.compile(r"warning: outbox message \d+ is no longer this run's: its result was not recorded \(.*\)\n")
PLACES: tuple[MailPlace, ...] = ("mail", "after_dot")  # before DATA, and after the final dot


class Scene(NamedTuple):
    """A program that reaches its database at ``program.url``, its mail server, and the database's own address."""

    program: Program
    host: ScriptedServer
    direct: str

    def drain(self, *, follows: bool) -> subprocess.Popen[str]:
        """Start a drain, and return when the mail server keeps it waiting."""
        process = self.program.start("drain", *(["--follow"] if follows else ["--json"]))
        self.host.wait_for(lambda: self.host.happened)
        return process

    def check_end(self, process: subprocess.Popen[str], *, follows: bool) -> None:
        """What it says at its end: of a drain one object that agrees with its status, of a follower a line at most."""
        if follows:
            _until(lambda: len(self.host.messages) >= MESSAGES, "the follower does not go on by itself")
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert SECRET not in out + err
        if follows:
            assert (process.returncode, err.count("\n") <= 1, "Traceback" in err) == (0, True, False), err
            return
        answer = json.loads(out)
        assert process.returncode in (0, 74)
        assert err == "" or _LOST.fullmatch(err), err
        assert answer["ok"] is (process.returncode == 0)
        if not answer["ok"]:
            assert (answer["error"]["code"], "\n" in answer["error"]["message"]) == ("storage", False)

    def check_all(self) -> None:
        """Nothing is lost, a second copy is one that was recorded as uncertain, and nothing is in hand any more."""
        wait_until = time.monotonic() + PATIENCE_SECONDS
        while self.left():
            assert time.monotonic() < wait_until, self.left()
            assert self.program.run("drain").status in (0, 74, 75)
        copies = Counter(message.message_id for message in self.host.messages)
        for outbox_id in range(1, MESSAGES + 1):
            doubts = [one for one in self.program.show(outbox_id)["attempts"] if one["uncertain"]]
            mine = {name: many for name, many in copies.items() if name.startswith(f"<outbox-{outbox_id}-")}
            assert len(mine) == 1, copies
            assert sum(mine.values()) <= 1 + len(doubts), (copies, doubts)

    def left(self) -> list[tuple[int, str]]:
        """What has not been sent."""
        with psycopg.connect(self.direct) as connection:
            return connection.execute(b"SELECT id, status FROM outbox WHERE status <> 'sent'").fetchall()


def _until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _scene(program: Program, host: ScriptedServer, url: str, direct: str) -> Scene:
    program.url = url.replace(f"{USER}@", f"{USER}:{SECRET}@")
    program.configure(host.port, outbox=f"others_wait_seconds = {OTHERS_WAIT}\nbase_backoff_seconds = 1")
    requests = [
        json.dumps({"to": "a@example.org", "subject": f"s{number}", "body_text": "b"}) for number in range(MESSAGES)
    ]
    assert program.run("send", "--batch", "-", text="\n".join(requests)).status == 0
    return Scene(program, host, direct)


def terminated(server: PostgresServer, direct: str) -> None:
    with psycopg.connect(direct, autocommit=True) as connection:
        connection.execute(TERMINATE)


def terminated_often(server: PostgresServer, direct: str) -> None:
    rng = random.Random(size("SEED", 1))
    for _ in range(6):
        terminated(server, direct)
        time.sleep(rng.uniform(0, 0.7))


def restarted(server: PostgresServer, direct: str) -> None:
    server.restart(signal.SIGQUIT)  # "immediate"


def stopped_for_a_while(server: PostgresServer, direct: str) -> None:
    server.stop()
    time.sleep(3)
    server.start()


LOSSES = (terminated, terminated_often, restarted, stopped_for_a_while)
EVERY_LOSS = [(loss, place, follows) for loss in LOSSES for place in PLACES for follows in (False, True)]
SOME = [(terminated_often, "after_dot", True), (restarted, "mail", False)]


@pytest.mark.parametrize(("loss", "place", "follows"), EVERY_LOSS if ALL else SOME)
def test_a_session_that_is_lost_loses_and_doubles_nothing(
    program: Program, loss: Callable[[PostgresServer, str], None], place: MailPlace, follows: bool
) -> None:
    server = the_server()
    direct = server.new_database()
    with ScriptedServer([Fault(place, "pause", times=1)]) as host:
        scene = _scene(program, host, direct, direct)
        process = scene.drain(follows=follows)
        releasing = threading.Timer(0.5, host.release)
        releasing.start()
        loss(server, direct)
        releasing.join()
        scene.check_end(process, follows=follows)
        scene.check_all()


@pytest.mark.parametrize("place", PLACES if ALL else PLACES[1:])
def test_a_frozen_drain_that_wakes_neither_sends_nor_records_what_another_machine_recovered(
    program: Program, tmp_path: Path, place: MailPlace
) -> None:
    direct = the_server().new_database()
    with ScriptedServer([Fault(place, "pause", times=1)]) as host:
        scene = _scene(program, host, direct, direct)
        with _frozen(scene, tmp_path, place) as elsewhere:
            assert elsewhere.program.run("drain").status == 0  # the session lives: what it has claimed is its own
            assert len(scene.left()) > 0
            terminated(the_server(), direct)
            elsewhere.check_all()


@contextmanager
def _frozen(scene: Scene, home: Path, place: MailPlace) -> Iterator[Scene]:
    """Freeze a drain while another machine does what the block does, and let it go on then."""
    other = Program(home / "other")
    other.home.mkdir()
    other.url, other.wrapper = scene.direct, scene.program.wrapper
    other.configure(scene.host.port, outbox=f"others_wait_seconds = {OTHERS_WAIT}\nbase_backoff_seconds = 1")
    elsewhere = scene._replace(program=other)
    process = scene.drain(follows=False)
    process.send_signal(signal.SIGSTOP)
    try:
        yield elsewhere
        attempts = [other.show(outbox_id)["attempts"] for outbox_id in range(1, MESSAGES + 1)]
        assert sum(one["uncertain"] for some in attempts for one in some) >= 1
        scene.host.release()
    finally:
        process.send_signal(signal.SIGCONT)
    scene.check_end(process, follows=False)
    elsewhere.check_all()
    assert [other.show(outbox_id)["attempts"] for outbox_id in range(1, MESSAGES + 1)] == attempts
    copies = place == "after_dot"  # which had left whole before it froze
    assert len(scene.host.messages) == MESSAGES + copies


@pytest.mark.skipif(not ALL, reason="it waits for ten seconds")
def test_a_follower_whose_database_keeps_the_session_and_answers_nothing_says_so_and_is_started_anew(
    program: Program, tmp_path: Path
) -> None:
    direct = the_server().new_database()
    hanging = DatabaseCut(b"WITH ended", 1, hang=True)
    with (
        managing(tmp_path) as manager, ScriptedServer([Fault("mail", "pause", times=1)]) as host,
        DatabaseProxy(the_server().directory, hanging) as proxy,
    ):  # fmt: skip
        scene = _scene(program, host, direct, direct)
        program.url = proxy.url(direct)
        program.configure(host.port)
        program.environment |= {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000"}
        process = scene.drain(follows=True)
        host.release()
        assert process.stderr is not None
        assert process.stderr.readline().endswith("does not answer: waiting for it\n")
        manager.wait_for(lambda: manager.status().endswith(", which does not answer"))
        alive = manager.count("WATCHDOG=1")
        time.sleep(4)
        assert manager.count("WATCHDOG=1") == alive
        process.kill()  # as systemd does then
        process.communicate()
        scene.check_all()
        shown = [program.show(outbox_id) for outbox_id in range(1, MESSAGES + 1)]
        assert not any(one["uncertain"] for row in shown for one in row["attempts"])
    assert len(host.messages) == MESSAGES


class Far(NamedTuple):
    """A server that is reached by a cable, from a network in which the machine is."""

    server: PostgresServer
    network: Network
    cable: Cable

    def url(self, direct: str) -> str:
        """Of the database by the cable."""
        url = f"postgresql://{USER}@{Cable.ADDRESSES[1]}/{database_of(direct)}?sslmode=disable&gssencmode=disable"
        return url if ALL else url + QUICK_CLIENT


@pytest.fixture(scope="module")
def far() -> Iterator[Far]:
    with ExitStack() as made:
        here, there = made.enter_context(Network()), made.enter_context(Network())
        if not (here.is_own and there.is_own):
            pytest.skip("only root may make networks")
        cable = Cable(here, there)
        server = PostgresServer("listen_addresses=*", network=there)
        made.callback(server.close)
        with (server.directory / "data" / "pg_hba.conf").open("a") as lines:
            lines.write(f"host all all {Cable.ADDRESSES[0]}/32 trust\n")
        server.sql("SELECT pg_reload_conf()")
        if not ALL:
            server.sql(*(f"ALTER ROLE {USER} SET {name} = {value}" for name, value in QUICK_SERVER.items()))
        yield Far(server, here, cable)


EVERY_SILENCE = [(seconds, place, follows) for seconds in (SHORTER, LONGER, None) for place in PLACES
                 for follows in (False, True)]  # fmt: skip
SOME_SILENCE = [(LONGER, "after_dot", True)]


@pytest.mark.parametrize(("seconds", "place", "follows"), EVERY_SILENCE if ALL else SOME_SILENCE)
def test_a_database_that_nothing_reaches_any_more_loses_and_doubles_nothing(
    far: Far, program: Program, seconds: float | None, place: MailPlace, follows: bool
) -> None:
    """seconds: for which nothing passes; None for until the drain has given up, or for minutes."""
    direct = far.server.new_database()
    program.wrapper = far.network.wrapper
    faults = [Fault(place, "pause", times=1)]
    with ScriptedServer(faults, listener=far.network.listener()) as host:
        scene = _scene(program, host, far.url(direct), direct)
        process = scene.drain(follows=follows)
        far.cable.cut()
        try:
            time.sleep(0.3)
            host.release()
            _wait(process, 200 if seconds is None else seconds)
        finally:
            far.cable.mend()
        scene.check_end(process, follows=follows)
        scene.check_all()


@pytest.mark.skipif(not ALL, reason="one with a session that is ended is tried above")
@pytest.mark.parametrize("place", PLACES)
def test_a_machine_that_was_suspended_neither_sends_nor_records_what_another_recovered(
    far: Far, program: Program, tmp_path: Path, place: MailPlace
) -> None:
    direct = far.server.new_database()
    program.wrapper = far.network.wrapper
    with ScriptedServer([Fault(place, "pause", times=1)], listener=far.network.listener()) as host:
        scene = _scene(program, host, far.url(direct), direct)
        with _frozen(scene, tmp_path, place) as elsewhere:
            far.cable.cut()
            try:
                elsewhere.check_all()  # which waits for the server to notice
            finally:
                far.cable.mend()


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    """Wait so long, but not longer than the process lives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
