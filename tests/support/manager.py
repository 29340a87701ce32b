"""systemd's end of NOTIFY_SOCKET: a real datagram socket that keeps what a service tells."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60


class Manager:
    """Collects the datagrams of a service; ``address`` is what NOTIFY_SOCKET is to say."""

    def __init__(self, end: socket.socket, address: str) -> None:
        self._end, self.address = end, address
        self.told: list[dict[str, str]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, name="manager")

    def _listen(self) -> None:
        while text := self._end.recv(65536):
            told = dict(line.split("=", 1) for line in text.decode().split("\n"))
            with self._changed:
                self.told.append(told)
                self._changed.notify_all()

    def wait_for(self, reached: Callable[[], object]) -> None:
        """Wait until something that was told makes *reached* true."""
        with self._changed:
            assert self._changed.wait_for(reached, PATIENCE), self.told

    def count(self, assignment: str) -> int:
        """How often it was told."""
        name, _, value = assignment.partition("=")
        return sum(told.get(name) == value for told in self.told)

    def order(self) -> list[str]:
        """What was told of its life, in order: READY, RELOADING, STOPPING."""
        return [name for told in self.told for name in ("RELOADING", "READY", "STOPPING") if name in told]

    def status(self) -> str:
        """The last STATUS."""
        return next((told["STATUS"] for told in reversed(self.told) if "STATUS" in told), "")


@contextmanager
def managing(directory: Path, *, abstract: bool = False) -> Iterator[Manager]:
    """Listen as systemd does, on a socket in *directory* or on an abstract one."""
    name = f"prx-email-test-{os.getpid()}-{time.monotonic_ns()}"
    address = f"@{name}" if abstract else str(directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}" if abstract else address)
        manager = Manager(end, address)
        manager._thread.start()
        try:
            yield manager
        finally:
            end.shutdown(socket.SHUT_RDWR)
            manager._thread.join(PATIENCE)
