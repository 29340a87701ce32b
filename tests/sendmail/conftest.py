"""The drop-in as programs call it: its own process, bytes on its standard input."""

import subprocess
import sys
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..conftest import Program

SCRIPT = Path(sys.executable).with_name("prx-sendmail")


class Ended(NamedTuple):
    """How a call ended."""

    status: int
    out: str
    err: str


class Sendmail:
    """Calls the drop-in with the config of *program*."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __call__(self, *words: str, text: bytes | str = b"Subject: s\n\nbody\n", **environment: str) -> Ended:
        return self.called([sys.executable, "-W", "error", "-m", "prx_email_cli.sendmail", *words], text, **environment)

    def as_name(self, name: str, *words: str) -> Ended:
        """Call it through a link of this name, as Debian's packages make them."""
        link = self.program.home / name
        if not link.exists():
            link.symlink_to(SCRIPT)
        return self.called([str(link), *words], b"")

    def called(self, command: list[str], text: bytes | str, **environment: str) -> Ended:
        """Run *command* with the program's environment."""
        done = subprocess.run(
            command, env={**self.program.environment, **environment}, cwd=self.program.home, check=False, timeout=120,
            input=text.encode() if isinstance(text, str) else text, capture_output=True,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def alias(self, lines: str) -> None:
        """Add *lines* to ``[sendmail]`` of the config."""
        with self.program.config.open("a") as file:
            file.write(f"\n[sendmail]\n{lines}\n")

    def last(self) -> Any:
        """The row of the newest message."""
        return self.program.show(self.stored()[-1])

    def stored(self) -> list[int]:
        """The ids of all messages."""
        if not self.program.is_made():
            return []
        return sorted(row["outbox_id"] for row in self.program.call("list", "--json", "--limit", "100").data)

    def content(self, outbox_id: int) -> bytes:
        """The message as its next attempt would send it, without a Message-ID that it gets only then."""
        store = self.program.store()
        try:
            return b"".join(store.exported(outbox_id).content)
        finally:
            store.close()

    def read(self, outbox_id: int) -> EmailMessage:
        """The message as a reader sees it."""
        return message_from_bytes(self.content(outbox_id).replace(b"\r\n", b"\n"), policy=default)

    def sender(self, outbox_id: int) -> str:
        """The envelope's sender."""
        store = self.program.store()
        try:
            return store.exported(outbox_id).sender
        finally:
            store.close()


@pytest.fixture
def sendmail(program: Program) -> Sendmail:
    """The drop-in."""
    return Sendmail(program)


def addresses(row: Any) -> list[str]:
    """The recipients of a row of ``show``."""
    return [one["address"] for one in row["recipients"]]
