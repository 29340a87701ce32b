"""Whole commands whose connection with the database is cut: nothing is lost, and nothing goes out twice."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ...conftest import Program
from ...support.database_proxy import Cut, DatabaseProxy
from ...support.faults import Fault
from ...support.mailhost import MailHost
from ...support.manager import managing
from ...support.postgres import PostgresServer
from ...support.scripted import ScriptedServer

PATIENCE_SECONDS = 60
COMMITS = 7  # of a drain of three messages; a cut that is never reached does no harm


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def through(program: Program, host: MailHost | None, proxy: DatabaseProxy, direct: str) -> None:
    """Have the program use the proxy; without one, the server itself."""
    program.url = proxy.url(direct)
    program.configure(9 if host is None else host.port)


def directly(program: Program, host: MailHost | None, direct: str) -> None:
    program.url = direct
    program.configure(9 if host is None else host.port)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, COMMITS + 1))
def test_a_drain_that_is_cut_off_at_a_commit_leaves_what_the_next_one_ends(
    server: PostgresServer, program: Program, number: int, after: bool
) -> None:
    direct = server.new_database()
    with MailHost() as host, DatabaseProxy(server.directory, Cut(b"COMMIT", number, after)) as proxy:
        directly(program, host, direct)
        for _ in range(3):
            program.send()
        through(program, host, proxy, direct)
        cut = program.run("drain")
        assert cut.status in (0, 74, 75)
        assert cut.err.count("\n") <= 1 + cut.err.count("hint:"), cut.err
        assert "Traceback" not in cut.err
        again = program.run("drain")  # through the proxy, too: by the URL it finds its flight record
        assert (again.status, again.err) == (0, "")
        assert len(host.messages) == 3
        rows = program.run("list", "--json").data
        assert [(row["status"], row["retries"], row["uncertain"]) for row in rows] == [("sent", 0, False)] * 3


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("word", [b"COMMIT", b"BEGIN", b"INSERT"])
def test_a_message_is_stored_once_and_acknowledged_whenever_the_connection_is_cut(
    server: PostgresServer, program: Program, word: bytes, after: bool
) -> None:
    direct = server.new_database()
    with DatabaseProxy(server.directory, Cut(word, 1, after)) as proxy:
        through(program, None, proxy, direct)
        answer = program.run("send", "--to", "a@example.org", "--subject", "s", "--body", "b")
        assert proxy.said >= 1
        assert (answer.status, answer.err) == (0, "")
        directly(program, None, direct)
        assert [row["outbox_id"] for row in program.run("list", "--json").data] == [int(answer.out)]


def test_a_follower_goes_on_when_it_was_cut_off_and_when_the_server_is_back(
    server: PostgresServer, program: Program
) -> None:
    direct = server.new_database()
    with MailHost() as host, DatabaseProxy(server.directory) as proxy:
        through(program, host, proxy, direct)
        process = program.start("--config", str(program.config.rename(program.home / "cut.toml")), "drain", "--follow")
        directly(program, host, direct)

        def delivers(number: int) -> None:
            outbox_id = program.send()
            until(lambda: len(host.messages) == number)
            until(lambda: program.show(outbox_id)["status"] == "sent")  # else it tries for a minute to record that

        delivers(1)
        proxy.cut_all()
        delivers(2)
        proxy.refuse()
        assert process.stderr is not None
        assert process.stderr.readline().endswith("is gone: waiting for it\n")
        program.send()
        proxy.serve()
        until(lambda: len(host.messages) == 3)
        delivers(4)
        until(lambda: {row["status"] for row in program.run("list", "--json").data} == {"sent"})
        assert ended(process) == ""
    assert process.returncode == 0


def ended(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    return err


def test_a_follower_with_a_result_in_hand_says_at_once_that_it_waits_for_its_server_and_stays_alive_for_systemd(
    server: PostgresServer, program: Program, tmp_path: Path
) -> None:
    direct = server.new_database()
    faults = [Fault("after_dot", "pause", times=1)]
    with managing(tmp_path) as manager, ScriptedServer(faults) as host, DatabaseProxy(server.directory) as proxy:
        program.url = direct
        program.configure(host.port)
        program.send()
        program.url = proxy.url(direct)
        program.configure(host.port)
        program.environment |= {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
        process = program.start("drain", "--follow")
        host.wait_for(lambda: host.happened)
        proxy.refuse()
        host.release()
        began = time.monotonic()
        assert process.stderr is not None
        assert process.stderr.readline().endswith("is gone: waiting for it\n")
        assert time.monotonic() - began < PATIENCE_SECONDS / 2  # and not after the minute for which it tries
        manager.wait_for(lambda: manager.status().endswith(", which is gone"))
        alive = manager.count("WATCHDOG=1")
        manager.wait_for(lambda: manager.count("WATCHDOG=1") >= alive + 3)  # for longer than a step may take
        proxy.serve()
        manager.wait_for(lambda: " sent, " in manager.status())
        program.url = direct
        program.configure(host.port)
        assert program.show(1)["status"] == "sent"
        assert ended(process) == ""
    assert (process.returncode, len(host.messages)) == (0, 1)
