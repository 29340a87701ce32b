"""``drain --follow`` as a service: what systemd hears of it, and that nothing of that stops it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .running import Service, running


@pytest.fixture
def server(program: Program) -> ScriptedServer:
    server = ScriptedServer()
    program.configure(server.port)
    return server


def deliver(service: Service, server: ScriptedServer) -> None:
    """What is sent now is delivered."""
    number = len(server.messages) + 1
    service.program.send()
    server.wait_for(lambda: len(server.messages) == number)


@pytest.mark.on_both
def test_it_is_ready_tells_what_it_did_and_says_when_it_stops(program: Program, server: ScriptedServer) -> None:
    with server, running(program) as service:
        service.is_ready()
        deliver(service, server)
        service.manager.wait_for(lambda: service.manager.status() == "1 sent, 0 failed")
        assert service.stop() == 0
        service.manager.wait_for(lambda: service.manager.count("STOPPING=1"))
        assert service.manager.order() == ["READY", "STOPPING"]
        assert service.said == []


def test_it_touches_no_network_while_it_has_nothing_to_send(program: Program, server: ScriptedServer) -> None:
    with server, running(program, WATCHDOG_USEC="500000") as service:
        program.send("--in", "1d")
        service.manager.wait_for(lambda: service.manager.count("WATCHDOG=1") >= 8)  # over more than one of its looks
        assert server.connections == 0
        deliver(service, server)
        assert server.connections == 1
        service.manager.wait_for(lambda: service.manager.count("WATCHDOG=1") >= 12)
        assert (server.connections, server.commands[-1].line) == (1, "DATA"), "the open connection is left in peace"
        assert service.stop() == 0


def test_a_socket_that_is_gone_stops_neither_mail_nor_reloading(program: Program, server: ScriptedServer) -> None:
    with server, running(program, WATCHDOG_USEC="500000") as service:
        service.is_ready()
        os.unlink(service.manager.address)
        deliver(service, server)
        service.process.send_signal(signal.SIGHUP)
        service.wait_to_say("the config was reloaded")
        deliver(service, server)
        assert service.stop() == 0


def test_no_sign_of_life_comes_while_a_result_cannot_be_written_and_they_come_again(program: Program) -> None:
    with ScriptedServer([Fault("after_dot", "pause")]) as server:
        program.configure(server.port, outbox="busy_timeout_seconds = 3600")
        outbox_id = program.send()
        with running(program, WATCHDOG_USEC="1000000") as service:
            manager = service.manager
            server.wait_for(lambda: server.happened)
            manager.wait_for(lambda: manager.count("WATCHDOG=1") >= 2)
            with program.locked():
                server.release()
                wait_for_silence(service)
                before = manager.count("WATCHDOG=1")
            manager.wait_for(lambda: manager.count("WATCHDOG=1") >= before + 2)
            assert service.stop() == 0
    assert program.show(outbox_id)["status"] == "sent"


def wait_for_silence(service: Service) -> None:
    """Wait until no sign of life came for thrice as long as systemd waits; a busy machine is quieter still."""
    deadline = time.monotonic() + 60
    quiet_since, before = time.monotonic(), -1
    while time.monotonic() < quiet_since + 3:
        assert time.monotonic() < deadline, "it goes on beating"
        if (count := service.manager.count("WATCHDOG=1")) != before:
            quiet_since, before = time.monotonic(), count
        time.sleep(0.05)


@pytest.mark.of_files
def test_it_goes_on_with_what_is_put_in_the_place_of_its_outbox(program: Program, server: ScriptedServer) -> None:
    with server, running(program, WATCHDOG_USEC="500000") as service:
        manager = service.manager
        deliver(service, server)
        manager.wait_for(lambda: manager.status() == "1 sent, 0 failed")  # it is recorded
        Path(f"{program.outbox}.runs").rename(program.home / "runs that were")  # at once: it may be writing there
        for end in ("", "-wal", "-shm"):
            program.outbox.with_name(program.outbox.name + end).unlink(missing_ok=True)
        manager.wait_for(lambda: manager.status() == f"waiting for the outbox {program.outbox}, which is gone")
        service.reload()
        count = manager.count("WATCHDOG=1")
        manager.wait_for(lambda: manager.count("WATCHDOG=1") > count)
        deliver(service, server)
        manager.wait_for(lambda: manager.status() == "2 sent, 0 failed")
        assert service.stop() == 0
        assert manager.order()[:3] == ["READY", "RELOADING", "READY"]


def test_a_command_that_it_runs_has_nothing_to_tell_systemd(program: Program) -> None:
    with ScriptedServer(auth={"me": "secret"}) as server:
        seen = program.home / "seen"
        argv = ["/bin/sh", "-c", f"env > {seen}; echo secret"]
        program.configure(
            server.port, smtp='user = "me"\nallow_plaintext = true', auth=f"password_command = {argv}".replace("'", '"')
        )
        with running(program, WATCHDOG_USEC="60000000") as service:
            deliver(service, server)
            assert service.stop() == 0
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "HOME" in names
    assert not names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
