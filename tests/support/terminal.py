"""A person at a terminal: a command on a pseudo-terminal of its own, read until it asks and answered then."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CTRL_C, CTRL_D = "\x03", "\x04"
ROWS, COLUMNS = 50, 200

_PATIENCE = 60.0
# The child makes its stdin the controlling terminal of its new session: without that no key would be a signal.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """Runs *command* with a terminal as stdin, stdout and stderr; use it in a `with` block, which ends it."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        self._shown = b""
        self._expected = 0  # up to where expect() has looked
        self._keys, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command],
                stdin=terminal, stdout=terminal, stderr=terminal, env=env, cwd=cwd, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(terminal)

    @property
    def screen(self) -> str:
        """All that was shown so far, the echo of what was typed included, with LF line ends."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def expect(self, text: str) -> str:
        """Read until *text* is shown, after what was expected before; what came in between.  AssertionError."""
        deadline = time.monotonic() + _PATIENCE
        while (at := self.screen.find(text, self._expected)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"ended without {text!r}: {self.screen!r}")
        between = self.screen[self._expected : at]
        self._expected = at + len(text)
        return between

    def answer(self, question: str, reply: str) -> str:
        """Wait for *question* and the space after its colon, then type *reply* and Return; what came before it.

        The space is written once the terminal is ready: a hidden answer is not echoed, and none is thrown away.
        """
        before = self.expect(question)
        before_colon = self.expect(": ")
        self.press(reply + "\r")
        return before + question + before_colon

    def press(self, text: str) -> None:
        """Press these keys."""
        os.write(self._keys, text.encode())

    def end(self) -> int:
        """Read until the command ends; its exit status.  AssertionError."""
        deadline = time.monotonic() + _PATIENCE
        while self._read(deadline):
            pass
        return self._process.wait(timeout=_PATIENCE)

    def give_up(self, question: str, key: str) -> int:
        """Wait for *question* and press *key*, such as CTRL_C, until the command ends; its exit status.

        More than once: Python hears no key that comes between its showing a question and its waiting for an answer.
        """
        self.expect(question)
        self.expect(": ")
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            self.press(key)
            if self._ends_within(0.3):
                break
        return self.end()

    def _ends_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read(self, deadline: float) -> bool:
        """Take in what comes next; False at the end."""
        if not select.select([self._keys], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"nothing more after: {self.screen!r}")
        try:
            data = os.read(self._keys, 65536)
        except OSError:  # nobody has the other side open any more
            return False
        self._shown += data
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._keys)
