"""What the servers share: the sandbox they run in, starting and stopping, and reading what they delivered.

Every server hands each accepted recipient's copy to one small script instead of a Maildir of its own kind.
So the envelope is recorded exactly, for all three in the same form, and nothing but the server has touched
the bytes.
"""

import contextlib
import grp
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Self

import trustme

HERE = Path(__file__).resolve().parent

DOMAIN = "example.test"
"""Every address here is accepted, except for the two below; any other domain is refused as relaying."""
GREYLISTED = f"greylisted@{DOMAIN}"
"""Gets 450 until `lift_greylisting()`."""
REFUSED = f"nobody@{DOMAIN}"
"""Always gets 550."""
SIZE_LIMIT = 100 * 1024
"""What the servers announce with SIZE, in octets."""

GREYLISTING_TEXT = "Greylisted, try again later"
REFUSAL_TEXT = "No such user here"

DELIVER = """\
#!/bin/sh
# Stores one recipient's copy. The rename at the end makes it appear complete or not at all.
set -eu
part=$(mktemp -d /srv/mail/part.XXXXXXXXXX)
cat >"$part/message"
printf %s "$SENDER" >"$part/sender"
printf %s "$RECIPIENT" >"$part/recipient"
mv "$part" "/srv/mail/done.${part##*.}"
"""


class ServerError(Exception):
    """A server could not be installed, started or stopped. The text ends with what it logged."""


class EarlyExitError(ServerError):
    """The server ended before it answered: perhaps somebody else took the port in the meantime."""


@dataclass(frozen=True)
class Certs:
    """PEM files: the CA that a client must trust, and a certificate (with chain) and key for 127.0.0.1."""

    ca_file: Path
    cert_file: Path
    key_file: Path


def make_certs(directory: Path) -> Certs:
    """Return a certificate for 127.0.0.1 and localhost, from a CA that nobody trusts unless told to, in *directory*."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    files = Certs(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    authority.cert_pem.write_to_path(str(files.ca_file))
    files.cert_file.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(files.key_file))
    return files


class Received(NamedTuple):
    """One recipient's copy of a message, with the envelope it came in."""

    recipient: str
    data: bytes
    sender: str


def cache_dir() -> Path:
    """Return the directory that install.sh unpacks into."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "prx-email-interop"


def installed_root(name: str) -> Path:
    """Return the unpacked package of a server, or say how to get it."""
    roots = sorted(cache_dir().glob(f"{name}-*/.complete"), key=lambda marker: marker.stat().st_mtime)
    if not roots:
        raise ServerError(f"{name} is not installed below {cache_dir()}: run {HERE.parent / 'install.sh'} {name}")
    return roots[-1].parent


def free_ports(count: int) -> list[int]:
    """Return distinct free loopback ports: each stays bound until all are known."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def free_ids(count: int) -> list[int]:
    """Return ids that no user and no group of this machine has, so that server files are nobody else's."""
    taken = {user.pw_uid for user in pwd.getpwall()} | {group.gr_gid for group in grp.getgrall()}
    found = [number for number in range(52000, 53000) if number not in taken]
    return found[:count]


class MailServer(ABC):
    """A server that runs as long as the block: `with Postfix(tmpdir, certs) as server:`."""

    name: ClassVar[str]
    supports_smtputf8: ClassVar[bool]
    supports_tls: ClassVar[bool] = True
    """Whether a handshake succeeds, with STARTTLS and on `tls_port`. STARTTLS is announced in any case."""
    users: ClassVar[tuple[str, ...]]
    """Users (each with a group of that name) that the server insists on; they exist in the sandbox only."""
    extra_groups: ClassVar[tuple[str, ...]] = ()

    host: str = "127.0.0.1"
    start_timeout: float = 15.0
    stop_timeout: float = 10.0

    def __init__(self, tmpdir: Path, certs: Certs) -> None:
        """Take the server's own directory (each start empties it), and the certificate it shows."""
        self.tmpdir = tmpdir
        self.certs = certs
        self.hostname = f"{self.name}-{secrets.token_hex(4)}.{DOMAIN}"
        """What it calls itself: unique, so that its greeting tells it from another one on a reused port."""
        self.port = 0
        """Plaintext with STARTTLS offered."""
        self.tls_port = 0
        """Implicit TLS."""
        self.ids: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def configure(self) -> None:
        """Write the configuration below `tmpdir`, which the server sees as /srv."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground, inside the sandbox."""

    def __enter__(self) -> Self:
        """Start the server and return when it answers on both ports."""
        if os.geteuid() != 0:
            raise ServerError(f"{self.name} needs root: the sandbox mounts, in a namespace of its own")
        root = installed_root(self.name)
        for attempt in range(3):
            try:
                self._start(root)
                return self
            except EarlyExitError:
                self.stop()
                if attempt == 2:
                    raise
            except BaseException:
                self.stop()
                raise
        raise AssertionError("unreachable")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server, whatever happened."""
        self.stop()

    def _start(self, root: Path) -> None:
        self.port, self.tls_port = free_ports(2)
        self._prepare()
        self.configure()
        namespaces = [
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
        ]
        sandbox = ["sh", str(HERE / "sandbox.sh"), str(root), str(self.tmpdir), *self.command()]
        with (self.tmpdir / "log" / "output").open("wb") as output:
            self._process = subprocess.Popen(
                ["unshare", *namespaces, "--", *sandbox],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the test run, which then stops the server in order
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )
        self._wait_until_up()

    def _prepare(self) -> None:
        """Lay out an empty work directory: users, resolver, certificate, delivery script."""
        for entry in self.tmpdir.iterdir() if self.tmpdir.exists() else ():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for directory in ("etc", "log", "bin", "tls", "mail", "state"):
            (self.tmpdir / directory).mkdir(parents=True)
        self.tmpdir.chmod(0o755)
        (self.tmpdir / "mail").chmod(0o1777)
        (self.tmpdir / "log").chmod(0o1777)
        self._write_users()
        self.script("deliver", DELIVER)
        for source, target in ((self.certs.cert_file, "cert.pem"), (self.certs.key_file, "key.pem")):
            copy = self.write(f"tls/{target}", source.read_text())
            copy.chmod(0o600)
        self.restore_greylisting()

    def _write_users(self) -> None:
        names = [*self.users, *self.extra_groups]
        self.ids = dict(zip(names, free_ids(len(names)), strict=True))
        users = "".join(f"{user}:x:{self.ids[user]}:{self.ids[user]}::/srv:/bin/sh\n" for user in self.users)
        groups = "".join(f"{name}:x:{number}:\n" for name, number in self.ids.items())
        for file, lines in (("passwd", users), ("group", groups)):
            self.write(f"etc/{file}", Path("/etc", file).read_text() + lines)
        self.write("etc/hosts", f"127.0.0.1 localhost {self.hostname}\n")
        # No server here needs DNS. OpenSMTPD looks its clients up all the same, and could wait for seconds.
        self.write("etc/resolv.conf", "lookup file\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def write(self, name: str, text: str) -> Path:
        """Write a file below `tmpdir` that every user in the sandbox can read."""
        path = self.tmpdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        return path

    def script(self, name: str, text: str) -> None:
        """Write an executable script; the server finds it as /srv/bin/NAME."""
        self.write(f"bin/{name}", text).chmod(0o755)

    def _wait_until_up(self) -> None:
        """Wait for the greeting on the plaintext port, then for the TLS port."""
        deadline = time.monotonic() + self.start_timeout
        while not self.is_up():
            self._check_start(deadline)
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection((self.host, self.tls_port), timeout=1),
            ):
                return
            self._check_start(deadline)

    def is_up(self) -> bool:
        """Tell whether this very server greets on its plaintext port, and not a stranger."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.host, self.port), timeout=5) as client,
        ):
            greeting = client.makefile("rb").readline()
            client.sendall(b"QUIT\r\n")
            return greeting.startswith(b"220") and self.hostname.encode() in greeting
        return False

    def _check_start(self, deadline: float) -> None:
        """Raise when starting has failed, else leave the server a moment before the next look."""
        assert self._process is not None
        if self._process.poll() is not None:
            status = self._process.returncode
            raise EarlyExitError(f"{self.name} exited with {status} while starting:\n{self.log()}")
        if time.monotonic() > deadline:
            raise ServerError(f"{self.name} did not answer within {self.start_timeout} s:\n{self.log()}")
        time.sleep(0.02)

    def stop(self) -> None:
        """End the server and all its processes: closing stdin ends process 1 of its PID namespace."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(self.stop_timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(f"{self.name} had to be killed:\n{self.log()}") from None

    def log(self) -> str:
        """Return everything the server logged, for a failing test to show."""
        files = sorted(path for path in (self.tmpdir / "log").rglob("*") if path.is_file())
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')}" for path in files)

    def received(self) -> list[Received]:
        """Return what has been delivered so far, oldest first: one entry for each recipient's copy."""
        done = sorted((self.tmpdir / "mail").glob("done.*"), key=lambda path: (path / "message").stat().st_mtime_ns)
        return [
            Received(
                recipient=(path / "recipient").read_text(encoding="utf-8"),
                data=(path / "message").read_bytes(),
                sender=(path / "sender").read_text(encoding="utf-8"),
            )
            for path in done
        ]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Received]:
        """Return `received()` once it has `count` entries: accepted mail is delivered a moment later."""
        deadline = time.monotonic() + timeout
        while len(found := self.received()) < count:
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} delivered {len(found)} of {count} in {timeout} s:\n{self.log()}")
            time.sleep(0.02)
        return found

    def lift_greylisting(self) -> None:
        """Accept GREYLISTED from now on, also on connections that are open."""
        (self.tmpdir / "state" / "greylist").unlink(missing_ok=True)

    def restore_greylisting(self) -> None:
        """Defer GREYLISTED again."""
        self.write("state/greylist", "")

    def reset(self) -> None:
        """Make the server as new for the next test: nothing received, greylisting on."""
        for path in (self.tmpdir / "mail").glob("done.*"):
            shutil.rmtree(path)
        self.restore_greylisting()
