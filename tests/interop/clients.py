"""Debian's own clients on a machine where prx-sendmail is /usr/sbin/sendmail; what they wrote, and what arrived."""

import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import NamedTuple, Self

from ..conftest import Program
from .servers import MailServer
from .servers.base import DOMAIN, HERE, Received, installed_root

PRX_SENDMAIL = Path(sys.executable).with_name("prx-sendmail")
ROOT = f"root@{DOMAIN}"
"""Where mail to root goes."""
SENDER = f"ops@{DOMAIN}"
"""The address of the only account."""

# Notes what a caller writes and with which flags, and is then the drop-in itself: same process, same caller.
RECORDER = """\
#!/bin/sh
set -eu
call={wrote}/call.$(date +%s%N)
mkdir "$call"
printf '%s\\n' "$@" >"$call/flags"
cat >"$call/message"
exec {sendmail} "$@" <"$call/message"
"""


class Call(NamedTuple):
    """How a client called sendmail."""

    flags: list[str]
    message: bytes


class Machine:
    """A machine with the clients installed; root's home is that of *program*, and nothing but ~/.config says where to.

    Use it in a ``with`` block: its end ends what was started.
    """

    def __init__(self, program: Program, server: MailServer) -> None:
        self.program = program
        self.server = server
        self._work = program.home / "machine"
        self._wrote = program.home / "wrote"
        self._started: list[subprocess.Popen[bytes]] = []
        for directory in (self._work / "usr/sbin", self._work / "usr/bin", self._work / "etc", self._wrote):
            directory.mkdir(parents=True)
        (self._work / "usr/bin/mail").symlink_to("bsd-mailx")  # as the package's alternative
        self._link = self._work / "usr/sbin/sendmail"
        self.record()
        (self._work / "etc/passwd").write_text(self._users())
        self._configure()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        for process in self._started:
            process.kill()  # unshare takes its child with it
            process.communicate()

    def record(self) -> None:
        """Have a recorder in front of the drop-in, for the programs that write a message to it and close."""
        self._link.write_text(RECORDER.format(wrote=shlex.quote(str(self._wrote)), sendmail=PRX_SENDMAIL))
        self._link.chmod(0o755)

    def link(self) -> None:
        """Make /usr/sbin/sendmail what docs/sendmail.md says: a link."""
        self._link.unlink()
        self._link.symlink_to(PRX_SENDMAIL)

    def _users(self) -> str:
        lines = Path("/etc/passwd").read_text().splitlines(keepends=True)
        return "".join(
            line.replace(":/root:", f":{self.program.home}:") if line.startswith("root:") else line for line in lines
        )

    def _configure(self) -> None:
        program = self.program
        program.configure(self.server.port)
        text = program.config.read_text().replace("ops@example.com", SENDER)
        program.config = program.home / ".config/prx-email/config.toml"
        program.config.parent.mkdir(parents=True)
        program.outbox = program.config.with_name("outbox.db")
        program.config.write_text(f'{text}\n[sendmail.aliases]\nroot = "{ROOT}"\n')
        program.config.chmod(0o600)
        program.environment["PRX_EMAIL_CONFIG"] = str(program.config)

    def write(self, name: str, text: str) -> Path:
        """Write a file below root's home, and return its path."""
        path = self.program.home / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, *command: str | Path, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        """Start a command as root's shell would, with nothing in the environment that names the config."""
        namespaces = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
        process = subprocess.Popen(
            ["unshare", *namespaces, "--", "sh", HERE.parent / "as_installed.sh", installed_root("clients"), self._work,
             *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.program.home), "LANG": "C.UTF-8"},
            cwd=self.program.home, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self, *command: str | Path, text: str = "") -> str:
        """Run a command to its end, which must be a good one, and return what it printed."""
        process = self.start(*command, stdin=subprocess.PIPE)
        out, err = process.communicate(text.encode(), timeout=60)
        assert (process.returncode, err) == (0, b""), (process.returncode, out, err)
        return out.decode()

    def calls(self) -> list[Call]:
        """How sendmail was called, in order."""
        calls = sorted(self._wrote.glob("call.*"))
        return [Call((one / "flags").read_text().splitlines(), (one / "message").read_bytes()) for one in calls]

    def deliver(self, copies: int) -> list[Received]:
        """Drain, and return what the server has then: so many recipients' copies."""
        answer = self.program.run("drain")
        assert answer.status == 0, answer
        found = self.server.wait_for(copies)
        assert len(found) == copies
        return sorted(found)


def read(content: bytes) -> EmailMessage:
    """Return the message as a reader sees it."""
    return message_from_bytes(content.replace(b"\r\n", b"\n"), policy=default)


def attachments(message: EmailMessage) -> dict[str | None, bytes]:
    """Return the bytes of each attachment by its name."""
    found = {}
    for part in message.iter_attachments():
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        found[part.get_filename()] = data
    return found


def headers(content: bytes) -> list[tuple[str, bytes]]:
    """Return the names, in lower case, and the lines of the headers, folded as they are."""
    found: list[tuple[str, bytes]] = []
    for line in content.replace(b"\r\n", b"\n").partition(b"\n\n")[0].splitlines():
        if line[:1] in b" \t":
            name, before = found.pop()
            found.append((name, before + b"\n" + line))
        else:
            found.append((line.partition(b":")[0].decode().lower(), line))
    return found


def body(content: bytes) -> bytes:
    """Return what follows the headers, with LF as line ends."""
    return content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]


def assert_as_written(wrote: bytes, arrived: bytes, added: Iterable[str] = (), rewritten: Iterable[str] = ()) -> None:
    """Claim that *arrived* is what a client wrote: byte for byte in the body, in order and folding in the headers.

    Bcc is gone, the server's Received is above all, headers named in *added* are new, and those in *rewritten* differ.
    """
    expected = [one for one in headers(wrote) if one[0] != "bcc"]
    (trace, *found) = headers(arrived)
    assert trace[0] == "received"
    new = Counter(name for name, _ in found) - Counter(name for name, _ in expected)
    assert new == Counter(added)
    changed = {*added, *rewritten}
    assert [one for one in found if one[0] not in changed] == [one for one in expected if one[0] not in changed]
    assert body(arrived) == body(wrote)


def envelopes(received: Sequence[Received]) -> list[tuple[str, str]]:
    """Return sender and recipient of each copy."""
    return [(one.sender, one.recipient) for one in received]


def enqueued_by(program: Program, outbox_id: int) -> str:
    """Return what ``show`` says of who enqueued a message."""
    row = program.show(outbox_id)["enqueued_by"]
    assert (row["user"], row["uid"]) == ("root", os.getuid())
    return str(row["command"])
