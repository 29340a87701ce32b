"""Network namespaces: a machine's own loopback, on which only sockets listen that a test has put there."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Self

_LISTEN = (
    "import socket, sys\n"
    "made = socket.create_server(('127.0.0.1', 0), backlog=256)\n"
    "socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b'-'], [made.fileno()])\n"
)


class Network:
    """A network of its own, or, where that is not allowed, the one that all share; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert holder.stdout is not None
        if holder.stdout.readline() == b"up\n":
            self._holder = holder
        else:
            _end(holder)
        return self

    def __exit__(self, *ending: object) -> None:
        if self._holder is not None:
            _end(self._holder)

    @property
    def is_own(self) -> bool:
        return self._holder is not None

    @property
    def holder(self) -> subprocess.Popen[bytes] | None:
        """The process whose network it is; None where it is not its own."""
        return self._holder

    @property
    def wrapper(self) -> list[str]:
        """What starts a command in it."""
        return [] if self._holder is None else ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"]

    def take_down(self) -> None:
        """Let nothing through any more, as if a cable were pulled."""
        subprocess.run([*self.wrapper, "ip", "link", "set", "lo", "down"], check=True, timeout=60)

    def listener(self) -> socket.socket:
        """A socket that listens on its loopback, whoever accepts from it."""
        if self._holder is None:
            return socket.create_server(("127.0.0.1", 0), backlog=256)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run(
                [*self.wrapper, sys.executable, "-c", _LISTEN, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                check=True, timeout=60,
            )  # fmt: skip
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=descriptors[0])


class Cable:
    """Joins two networks of their own, at ``ADDRESSES``; nobody is told when it is cut, and nothing arrives then."""

    ADDRESSES = ("192.0.2.1", "192.0.2.2")  # RFC 5737: nobody's

    def __init__(self, one: Network, other: Network) -> None:
        self._ends = (one, other)
        assert other.holder is not None
        _in(one, "ip", "link", "add", "end0", "type", "veth", "peer", "name", "end1", "netns", str(other.holder.pid))
        for number, network in enumerate(self._ends):
            name, hardware = f"end{number}", _hardware(number)
            _in(network, "ip", "address", "add", f"{self.ADDRESSES[number]}/30", "dev", name)
            _in(network, "ip", "link", "set", name, "address", hardware, "up")
        self.mend()

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._lead(_hardware(9), _hardware(9))

    def mend(self) -> None:
        """Let everything through."""
        self._lead(_hardware(0), _hardware(1))

    def _lead(self, *hardware: str) -> None:
        for number, network in enumerate(self._ends):
            there = 1 - number
            _in(network, "ip", "neighbour", "replace", self.ADDRESSES[there], "lladdr", hardware[there],
                "dev", f"end{number}", "nud", "permanent")  # fmt: skip


def _hardware(number: int) -> str:
    return f"02:00:00:00:00:0{number}"


def _in(network: Network, *command: str) -> None:
    subprocess.run([*network.wrapper, *command], check=True, timeout=60)


def _end(holder: subprocess.Popen[bytes]) -> None:
    holder.communicate()
