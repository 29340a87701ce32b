"""Who may use the Unix socket is a matter of its mode and group, and the kernel says who a client is."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Program
from .conftest import MESSAGE, PATIENCE, Listener, content
from .test_limits import configure

ANN, BEN, GROUP = 52101, 52102, 52199
PR_SET_NAME, NAME = 15, b"\x1b[2Jsshd"  # what a hostile program calls itself

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may enter, and whose files are the group's."""
    directory = Path(tempfile.mkdtemp(prefix="prx-email-listen-"))
    os.chown(directory, 0, GROUP)
    directory.chmod(0o2755)
    yield directory
    shutil.rmtree(directory)


def as_user(uid: int, groups: list[int], act: Callable[[], Any]) -> Any:
    """What *act* returns, or the name of the error that it raises, in a process of this user."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: it only speaks on a socket
        child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            result = act()
        except BaseException as error:
            result = type(error).__name__
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def sends(path: str, messages: int = 1) -> Callable[[], list[str]]:
    """Hand messages in at the socket, with lies about who it is; the replies to MAIL, or to the dot after a 250."""

    def act() -> list[str]:
        ctypes.CDLL(None).prctl(PR_SET_NAME, NAME, 0, 0, 0)
        with socket.socket(socket.AF_UNIX) as connected, connected.makefile("rb") as lines:
            connected.settimeout(PATIENCE)
            connected.connect(path)

            def ask(line: bytes) -> str:
                connected.sendall(line)
                while (answer := lines.readline())[3:4] == b"-":
                    pass
                return answer.decode().strip()

            answers = [ask(b"")][:0]
            ask(b"EHLO uid-0\r\n")
            for _ in range(messages):
                answer = ask(b"MAIL FROM:<root@example.com> AUTH=<root@example.com>\r\n")
                if answer.startswith("250"):
                    ask(b"RCPT TO:<b@example.org>\r\n")
                    ask(b"DATA\r\n")
                    answer = ask(b"Received: from x (uid 0)\r\n" + MESSAGE + b".\r\n")
                answers.append(answer)
            return answers

    return act


def test_a_private_socket_is_the_owners_alone(program: Program, shared: Path) -> None:
    with Listener(program, "--listen", str(shared / "s")) as listener:
        assert as_user(ANN, [GROUP], sends(listener.address)) == "PermissionError"
        assert as_user(0, [], sends(listener.address))[0].startswith("250 ")


def test_a_socket_of_a_group_is_its_members(program: Program, shared: Path) -> None:
    configure(program, 'socket_mode = "0660"')
    with Listener(program, "--listen", str(shared / "s")) as listener:
        assert os.stat(listener.address).st_gid == GROUP
        assert as_user(ANN, [GROUP], sends(listener.address))[0].startswith("250 ")
        assert as_user(BEN, [], sends(listener.address)) == "PermissionError"
    assert program.show(1)["enqueued_by"]["uid"] == ANN


def test_the_kernel_says_who_it_was_whatever_the_client_claims(program: Program, shared: Path) -> None:
    configure(program, 'socket_mode = "0666"')
    with Listener(program, "--listen", str(shared / "s")) as listener:
        for uid in (ANN, BEN):
            assert as_user(uid, [], sends(listener.address))[0].startswith("250 ")
    for outbox_id, uid in ((1, ANN), (2, BEN)):
        caller = program.show(outbox_id)["enqueued_by"]
        assert (caller["uid"], caller["user"]) == (uid, f"user {uid}")
        assert caller["command"].startswith("listen, from ")  # a name that the program gives itself
        assert "\x1b" not in program.call("show", str(outbox_id)).out
        assert f"Received: from uid-0 (uid {uid})".encode() in content(program, outbox_id)


def test_each_uid_has_a_pace_and_connections_of_its_own(program: Program, shared: Path) -> None:
    configure(program, 'socket_mode = "0666"\nmessages_per_minute = 2\nmax_connections_per_client = 1')
    with Listener(program, "--listen", str(shared / "s")) as listener:
        for uid in (ANN, BEN):
            assert [answer[:3] for answer in as_user(uid, [], sends(listener.address, 3))] == ["250", "250", "450"]
        assert as_user(ANN, [], sends(listener.address))[0].startswith("450 4.7.0")
        with listener.unix() as held, held.makefile("rb") as lines:
            assert lines.readline().startswith(b"220 ")
            with listener.unix() as second, second.makefile("rb") as refused:
                assert refused.readline().startswith(b"421 4.7.0")
            assert as_user(BEN, [], sends(listener.address))[0].startswith("450 4.7.0")  # it gets in
