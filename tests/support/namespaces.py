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


def _end(holder: subprocess.Popen[bytes]) -> None:
    holder.communicate()
