"""What the benchmarks share: private outboxes, whole processes measured, a sink for mail, and honest ratios.

Timings of one machine mean nothing on another, and on a busy one not even a minute later.  So whatever is compared is
run in turns, round by round, and what counts is the median of the rounds' ratios.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from tests.interop.servers.base import free_ports, installed_root

ROOT = Path(__file__).resolve().parent.parent
PRX_EMAIL = str(Path(sysconfig.get_path("scripts"), "prx-email"))
BODY_BYTES = 2048
_LINE = "The quick brown fox jumps over the lazy dog, number {:06d}, and then rests\n"


@dataclass(frozen=True)
class Spent:
    """What one whole process took: seconds by the clock and of CPU, and its peak resident memory in KiB."""

    wall: float
    cpu: float
    peak_kib: int


def spent(command: Sequence[str], env: Mapping[str, str] | None = None) -> Spent:
    """Run *command* to its end.  Raises CalledProcessError when it fails: the time of a failure is no result."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:  # a signal to this process: nothing that it started stays
        process.kill()
        process.wait()
        raise
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    with process:  # closes the pipe
        complaint = process.stderr.read() if process.stderr else b""
    if process.returncode:
        sys.stderr.buffer.write(complaint)
        raise subprocess.CalledProcessError(process.returncode, command)
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


def in_turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each of *contestants* gave in each round; every other round goes backwards, so that none is always first."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in sorted(contestants, reverse=number % 2 == 1):
            results[name].append(contestants[name]())
    return results


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the rounds' ratios: what slows a whole round down cancels out."""
    return median(a / b for a, b in zip(above, below, strict=True))


class Verdicts:
    """Tells of each target whether it is met, and remembers whether all are."""

    def __init__(self) -> None:
        self._missed = 0

    def at_most(self, what: str, value: float, limit: float) -> None:
        """Judge a ratio that should be small."""
        self._tell(what, value, f"at most {limit:g}", value <= limit)

    def at_least(self, what: str, value: float, limit: float) -> None:
        """Judge a ratio that should be large."""
        self._tell(what, value, f"at least {limit:g}", value >= limit)

    def _tell(self, what: str, value: float, target: str, met: bool) -> None:
        self._missed += not met
        print(f"{what}: {value:.2f} (target: {target}; {'met' if met else 'MISSED'})", flush=True)

    def exit(self) -> None:
        """End the program; status 1 when a target was missed."""
        sys.exit(1 if self._missed else 0)


def options(doc: str | None, only: Sequence[str] = (), **numbers: int) -> argparse.Namespace:
    """The command line: one ``--name N`` for each of *numbers*, which are the defaults; ``--only`` one of *only*."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{default} by default")
    if only:
        parser.add_argument("--only", action="append", choices=only, help="measure only this; may be repeated")
    asked = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.machine()}",
        flush=True,
    )
    return asked


@contextmanager
def workspace() -> Iterator[Path]:
    """A temporary directory, gone afterwards.  Put TMPDIR on the disk to be measured: on a tmpfs an fsync is free."""
    with tempfile.TemporaryDirectory(prefix="prx-email-bench-") as name:
        yield Path(name)


class Outbox:
    """A config and an outbox of its own in *directory*, for messages to a server on a loopback *port*."""

    def __init__(self, directory: Path, port: int = 9, tls: str = 'tls = "none"') -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.file = directory / "outbox.db"
        self.config = directory / "config.toml"
        self.config.write_text(
            f'[outbox]\npath = "outbox.db"\n\n[accounts.bench]\nfrom = "bench@example.com"\n\n'
            f'[accounts.bench.smtp]\nhost = "127.0.0.1"\nport = {port}\n{tls}\n'
        )
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("PRX_EMAIL_")}
        self.env["PRX_EMAIL_CONFIG"] = str(self.config)

    def run(self, *arguments: str, **env: str) -> Spent:
        """One ``prx-email`` command on this outbox, with more variables in its environment."""
        return spent([PRX_EMAIL, *arguments], {**self.env, **env})

    def fill(self, requests: Path) -> Spent:
        """Enqueue a file of requests."""
        return self.run("send", "--batch", str(requests))

    def forget(self) -> None:
        """Begin anew with an empty outbox."""
        for file in self.directory.glob("outbox.db*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()


def write_requests(file: Path, count: int) -> Path:
    """*count* requests with bodies of 2 KB, one JSON object a line, no two of them equal."""
    with open(file, "w") as stream:
        for number in range(count):
            body = "".join(_LINE.format(number + line) for line in range(BODY_BYTES // len(_LINE.format(0)) + 1))
            request = {"to": f"user{number}@example.com", "subject": f"Message {number}", "body_text": body}
            stream.write(json.dumps(request) + "\n")
    return file


def unpacked(name: str) -> tuple[Path, dict[str, str]]:
    """Fetch a Debian package without installing it: the directory it is in, and the environment its programs need."""
    subprocess.run([str(ROOT / "tests/interop/install.sh"), name], check=True, stdout=subprocess.DEVNULL)
    root = installed_root(name)
    libraries = sorted({str(library.parent) for library in root.glob("usr/lib/**/*.so*")})
    return root, {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


@cache
def postfix_tools() -> tuple[str, str, dict[str, str]]:
    """``smtp-sink`` and ``smtp-source`` with the environment they need; fetched but never installed where missing."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    sink, source = shutil.which("smtp-sink", path=search), shutil.which("smtp-source", path=search)
    if sink and source:
        return sink, source, dict(os.environ)
    root, env = unpacked("postfix")
    return str(root / "usr/sbin/smtp-sink"), str(root / "usr/sbin/smtp-source"), env


@contextmanager
def running_sink() -> Iterator[int]:
    """Postfix's ``smtp-sink``, which accepts everything and keeps nothing, on the loopback port that comes back."""
    sink, _, env = postfix_tools()
    (port,) = free_ports(1)
    unprivileged = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to stay root
    with running([sink, *unprivileged, f"127.0.0.1:{port}", "512"], [port], env):
        yield port


@contextmanager
def running(command: Sequence[str], ports: Sequence[int], env: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends; the block begins when each of its loopback *ports* answers."""
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        for port in ports:
            _wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with status {process.returncode} before it answered")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{process.args!r} does not answer")
