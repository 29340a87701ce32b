"""A ``drain --follow`` as systemd runs it: with a socket that it tells how it is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from ..conftest import Program
from ..support.manager import PATIENCE, Manager, managing


class Service:
    """The running process, what it says on stderr, and what it tells its manager."""

    def __init__(self, program: Program, manager: Manager, *arguments: str) -> None:
        self.program, self.manager = program, manager
        self.process = program.start("drain", "--follow", *arguments)
        self.said: list[str] = []
        self._changed = threading.Condition()
        assert self.process.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self.process.stderr,))
        self._listener.start()

    def _listen(self, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                self.said.append(line)
                self._changed.notify_all()

    def wait_to_say(self, words: str, times: int = 1) -> None:
        """Wait until so many lines have these words."""
        with self._changed:
            assert self._changed.wait_for(lambda: sum(words in line for line in self.said) >= times, PATIENCE), (
                self.said
            )

    def is_ready(self, times: int = 1) -> None:
        """Wait until it was READY so often."""
        self.manager.wait_for(lambda: self.manager.count("READY=1") >= times)

    def reload(self) -> None:
        """Have it reload its config, as ``systemctl reload`` does."""
        before = self.manager.count("READY=1")
        self.process.send_signal(signal.SIGHUP)
        self.is_ready(before + 1)

    def stop(self) -> int:
        """End it as systemd does; its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.ends()

    def ends(self) -> int:
        status = self.process.wait(timeout=PATIENCE)
        self._listener.join(PATIENCE)
        return status

    def kill(self) -> None:
        self.process.kill()
        self.ends()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def running(program: Program, *arguments: str, **environment: str) -> Iterator[Service]:
    """Let it run while the block lasts."""
    with TemporaryDirectory() as directory, managing(Path(directory)) as manager:
        program.environment |= {"NOTIFY_SOCKET": manager.address, **environment}
        service = Service(program, manager, *arguments)
        for name in ("NOTIFY_SOCKET", *environment):  # other commands of the test are no service
            del program.environment[name]
        try:
            yield service
        finally:
            service.kill()
