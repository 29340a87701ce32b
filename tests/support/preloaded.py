"""Runs prx-email again and again, each time in a process of its own, forked from one that has imported it already.

Importing the program takes most of a command's time, and the tests run thousands.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

PACKAGE = "prx_email_cli"
TIMEOUT_SECONDS = 120.0
# Variables that the interpreter or a library reads when it is loaded.
_READ_ONCE = (
    "PYTHON",
    "COVERAGE_",
    "LC_",
    "LANG",
    "LD_",
    "OPENSSL",
    "TERM",
    "TYPER",
    "_TYPER",
    "FORCE_COLOR",
    "PY_COLORS",
)
_READ_LATER = ("PYTHON_KEYRING_BACKEND",)  # when a keyring is first asked, which is in the command's own process
_KEPT = ("LC_", "LANG", "TERM")  # of which there may be a process for each kind of environment
ENOUGH = 8  # commands in such an environment, after which a process in it is worth its start
_asked: Counter[tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = Counter()


class Preloaded:
    """A process that has imported the program, and forks one for each command.  Get it by `preloaded`."""

    def __init__(self, wrapper: Sequence[str], environment: Mapping[str, str]) -> None:
        self._read_once = _read_once(environment)
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*wrapper, sys.executable, "-P", "-W", "error", __file__, str(theirs.fileno())], env=dict(environment),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()],
            )  # fmt: skip
        atexit.register(self.close)

    def serves(self, environment: Mapping[str, str], but_for: tuple[str, ...] = ()) -> bool:
        """Tell whether a process forked from it is as one started with *environment*, or is but for these variables."""
        ours, theirs = (
            {name: value for name, value in read.items() if not name.startswith(but_for)}
            for read in (self._read_once, _read_once(environment))
        )
        return ours == theirs

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], directory: Path, text: str
    ) -> tuple[int, str, str]:
        """Run ``prx-email ARGUMENTS`` with *text* piped into it; its exit status, standard output and error."""
        order = {
            "arguments": arguments,
            "environment": dict(environment),
            "directory": str(directory),
            "umask": _umask(),
        }
        with ThreadPoolExecutor(3) as pool:
            line, (feed, out, err) = self._start()
            with line:
                pool.submit(_write, feed, text.encode())
                shown = [pool.submit(_read, descriptor) for descriptor in (out, err)]
                line.sendall(json.dumps(order).encode())
                line.shutdown(socket.SHUT_WR)
                status = _status(line)
        return status, _as_text(shown[0].result()), _as_text(shown[1].result())

    def close(self) -> None:
        """End it."""
        self._control.close()
        self._process.communicate()

    def _start(self) -> tuple[socket.socket, tuple[int, int, int]]:
        """Have a process forked: the line to it, and our ends of its standard input, output and error."""
        line, their_line = socket.socketpair()
        (stdin, feed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
        with their_line:
            socket.send_fds(self._control, [b"!"], [stdin, stdout, stderr, their_line.fileno()])
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        return line, (feed, out, err)


@cache
def preloaded(wrapper: tuple[str, ...], others: tuple[tuple[str, str], ...] | None = None) -> Preloaded:
    """Give the process that commands behind *wrapper* are forked from; one for all tests.

    others: the variables of _KEPT, where they are not those of this process.
    """
    left_out = ("COVERAGE_", *(() if others is None else _KEPT))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return Preloaded(wrapper, {**environment, **dict(others or ())})


def preloaded_for(wrapper: tuple[str, ...], environment: Mapping[str, str]) -> Preloaded | None:
    """Give the process from which a command with *environment* can be forked; None when it is to be started."""
    usual = preloaded(wrapper)
    if usual.serves(environment):
        return usual
    others = tuple(sorted((name, value) for name, value in environment.items() if name.startswith(_KEPT)))
    if not usual.serves(environment, but_for=_KEPT):
        return None
    _asked[wrapper, others] += 1
    return preloaded(wrapper, others) if _asked[wrapper, others] > ENOUGH else None


def _read_once(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environment.items() if name.startswith(_READ_ONCE) and name not in _READ_LATER
    }


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write(descriptor: int, data: bytes) -> None:
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
    except BrokenPipeError:  # a command need not read what it is given
        pass


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as stream:
        return stream.read()


def _as_text(data: bytes) -> str:
    return io.TextIOWrapper(io.BytesIO(data)).read()


def _status(line: socket.socket) -> int:
    """Wait for the exit status; negative after a signal.  A command that does not end is killed: TimeoutExpired."""
    line.settimeout(TIMEOUT_SECONDS)
    with line.makefile("r") as said:
        process = int(said.readline())
        try:
            return int(said.readline())
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            raise subprocess.TimeoutExpired(PACKAGE, TIMEOUT_SECONDS) from None


# --- the other side


def _load() -> None:
    """Import the program with all that its modules import."""
    package = importlib.import_module(PACKAGE)
    for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # what is not looked at need not be copied


def _serve(control: socket.socket) -> None:
    """Fork for each order that comes; returns in a process that is to be the program, and nowhere else."""
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        _, descriptors, *_ = socket.recv_fds(control, 1, 4)
        if not descriptors:
            os._exit(0)
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, on_interrupt)
    _fork_the_program(descriptors[:3], socket.socket(fileno=descriptors[3]))


def _fork_the_program(streams: list[int], line: socket.socket) -> None:
    """Read the order from *line*, fork, and tell the exit status there; returns in the process that was forked."""
    with line:
        with line.makefile("r") as said:
            order = json.load(said)
        process = os.fork()
        if process:
            for descriptor in streams:
                os.close(descriptor)
            line.sendall(f"{process}\n".encode())
            _, status = os.waitpid(process, 0)
            line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.umask(order["umask"])
    os.chdir(order["directory"])
    sys.path.insert(0, order["directory"])
    sys.argv[1:] = order["arguments"]


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
