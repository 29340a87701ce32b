"""Other processes that have an outbox open, none of which outlives its test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

OPEN_STORE = """
import sys
from pathlib import Path
from prx_email_cli.outbox.messages import ClaimNext, Content, NewMessage, Schedule
from prx_email_cli.outbox.sqlite.runs import Runs
from prx_email_cli.outbox.sqlite.store import SqliteStore

def open_store(path):
    return SqliteStore(Path(path), message_id_domain="prx-email.local", busy_timeout_seconds=30)

def tell(*words):
    print(*words, flush=True)
"""


class Other:
    """Another process with the outbox open, running *program*; `ask` and `hear` speak with it line by line."""

    def __init__(self, program: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OPEN_STORE + program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout

    def say(self, line: str) -> None:
        self._stdin.write(line + "\n")
        self._stdin.flush()

    def hear(self) -> list[str]:
        """The words of its next line."""
        return self._stdout.readline().split()

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has let go of everything it held."""
        self.process.kill()
        if not self._stdin.closed:
            self.end()

    def end(self) -> int:
        """Close its stdin; its exit status."""
        self._stdin.close()
        status = self.process.wait(timeout=60)
        self._stdout.close()
        return status


Start = Callable[..., Other]
"""`start(program, *arguments)`, the fixture."""


@pytest.fixture
def start() -> Iterator[Start]:
    """Start another process: `start(program, *arguments)`."""
    started: list[Other] = []

    def start_one(program: str, *arguments: object) -> Other:
        started.append(Other(program, *arguments))
        return started[-1]

    yield start_one
    for other in started:
        other.kill()
