"""``listen --drain``: one process takes mail in and delivers it; and what systemd hears of it."""

from __future__ import annotations

import signal
import socket

import pytest

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .conftest import MESSAGE, Listener
from .test_taking import hand_in


def wait_for_messages(server: ScriptedServer, number: int) -> None:
    server.wait_for(lambda: len(server.messages) == number)


@pytest.mark.on_both
def test_what_comes_in_goes_out_at_once(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        with Listener(program, "--listen", "127.0.0.1:0", "--drain") as listener:
            client = listener.raw()
            for number in range(1, 4):
                hand_in(client)
                wait_for_messages(server, number)
            client.sock.close()
            assert listener.stop() == (0, "")
    assert [program.show(number)["status"] for number in (1, 2, 3)] == ["sent"] * 3


def test_it_goes_on_taking_mail_in_while_nothing_can_be_delivered(program: Program) -> None:
    with Listener(program, "--listen", "127.0.0.1:0", "--drain") as listener:
        client = listener.raw()
        for _ in range(3):
            assert hand_in(client, MESSAGE).startswith("250 ")
        client.sock.close()
        assert listener.stop()[0] == 0
    assert len(program.call("list", "--json").data) == 3


def test_systemd_is_told_when_it_is_ready_and_when_it_ends(program: Program) -> None:
    path = program.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30)
        program.environment["NOTIFY_SOCKET"] = str(path)
        with Listener(program, "--listen", "127.0.0.1:0") as listener:
            assert manager.recv(100) == b"READY=1"
            assert listener.stop()[0] == 0
            assert manager.recv(100) == b"STOPPING=1"


def test_after_a_reload_it_delivers_by_the_new_config(program: Program) -> None:
    with ScriptedServer() as old, ScriptedServer() as new:
        program.configure(old.port)
        with Listener(program, "--listen", "127.0.0.1:0", "--drain") as listener:
            client = listener.raw()
            hand_in(client)
            wait_for_messages(old, 1)
            program.configure(new.port)
            listener.process.send_signal(signal.SIGHUP)
            assert listener.process.stderr is not None
            assert listener.process.stderr.readline() == "the config was reloaded\n"
            old.wait_for(lambda: old.open_connections == 0)
            hand_in(client)
            wait_for_messages(new, 1)
            client.sock.close()
            assert listener.stop() == (0, "")
        assert len(old.messages) == 1
