"""systemd opens the sockets, and this command serves them."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from ..conftest import Program
from .conftest import MESSAGE, Listener, stored_id
from .test_relay import HAND_ON
from .test_taking import hand_in


def activated(program: Program, handed: socket.socket, *arguments: str) -> Listener:
    """The command as systemd starts it, with a socket that listens already."""
    program.wrapper = [sys.executable, "-c", HAND_ON, str(handed.fileno())]
    return Listener(program, *arguments, pass_fds=[handed.fileno()])


def test_it_serves_the_socket_that_it_was_handed_and_no_other(program: Program, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        with activated(program, handed, "--listen", str(tmp_path / "unused")) as listener:
            assert listener.port == handed.getsockname()[1]
            outbox_id = stored_id(hand_in(listener.raw()))
            assert listener.stop() == (0, "")
    program.wrapper = []
    assert program.show(outbox_id)["status"] == "pending"
    assert not (tmp_path / "unused").exists()


def test_clients_that_came_before_it_started_are_served(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        with socket.create_connection(handed.getsockname(), timeout=60) as early, early.makefile("rb") as lines:
            with activated(program, handed) as listener:
                assert lines.readline().startswith(b"220 ")
                early.sendall(b"QUIT\r\n")
                assert lines.readline().startswith(b"221 ")
                assert listener.stop() == (0, "")


def test_a_unix_socket_of_systemds_stays_when_it_ends(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as handed:
        handed.bind(str(path))
        handed.listen()
        with activated(program, handed) as listener:
            assert listener.address == str(path)
            with listener.unix() as connected, connected.makefile("rb") as lines:
                assert lines.readline().startswith(b"220 ")
                connected.sendall(b"HELO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
                assert [lines.readline()[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
                connected.sendall(MESSAGE + b".\r\n")
                outbox_id = stored_id(lines.readline().decode().strip())
            assert listener.stop() == (0, "")
        assert path.is_socket()
    program.wrapper = []
    assert program.show(outbox_id)["enqueued_by"]["uid"] == os.getuid()


@pytest.mark.parametrize("kind", ["datagram", "connected", "file"])
def test_what_is_no_listening_stream_socket_is_refused(program: Program, kind: str) -> None:
    pair = socket.socketpair()
    with pair[0], pair[1], socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, open(os.devnull) as file:
        given = {"datagram": datagram.fileno(), "connected": pair[0].fileno(), "file": file.fileno()}[kind]
        program.wrapper = [sys.executable, "-c", HAND_ON, str(given)]
        _, err = program.start("listen", pass_fds=[given]).communicate(timeout=60)
    assert "descriptor 3 from LISTEN_FDS is no listening stream socket" in err
    assert "Traceback" not in err
