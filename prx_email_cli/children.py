"""Start other programs without the secrets of this one, and read their answers within limits."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NamedTuple

_hidden: set[str] = set()
Relay = Callable[[], AbstractContextManager[int | None]]
_OUR_STDERR: Relay = nullcontext
_relays = [_OUR_STDERR]


def hide(names: Iterable[str]) -> None:
    """Keep the environment variables of these *names* from children: they hold secrets."""
    _hidden.update(names)


def environment() -> dict[str, str]:
    """Return the environment of a child, without the variables that hold secrets."""
    return {name: value for name, value in os.environ.items() if name not in _hidden}


def relay_stderr(relay: Relay = _OUR_STDERR) -> None:
    """Let *relay* give, for each ``answer_of``, the descriptor for its command's stderr; by default ours."""
    _relays[0] = relay


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start *command* without the variables that hold secrets; options: of Popen.  Raises OSError.

    Without a terminal, as under cron, it gets a session of its own, so that ``end`` ends its children too; at a
    terminal it gets none, because it may have to ask its user something.
    """
    return subprocess.Popen(command, env=environment(), start_new_session=not _on_terminal(), **options)


def end(process: subprocess.Popen[bytes]) -> None:
    """End *process* and what it has started, which might keep our caller's streams open."""
    if process.poll() is None:  # else its number may be another process's by now
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()


def _on_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


class Answer(NamedTuple):
    """The output and the exit status of a command.  output: at most one byte more than asked for."""

    status: int
    output: bytes


def answer_of(command: Sequence[str], most: int, seconds: float) -> Answer:
    """Run *command*, with empty stdin and the stderr of ``relay_stderr``, and return its answer.

    most: bytes.  A command that prints more is ended, with all that it has started.  Processes that it leaves running
    are not waited for.  Raises OSError when it cannot be run, and TimeoutError when it has not ended within *seconds*.
    """
    with _relays[0]() as stderr:
        with start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, bufsize=0) as process:
            try:
                output = _read(process, most, time.monotonic() + seconds)
            finally:
                end(process)
    return Answer(process.returncode, output)


def _read(process: subprocess.Popen[bytes], most: int, until: float) -> bytes:
    """Read what *process* prints until it ends.  Raises TimeoutError."""
    stdout = process.stdout
    if stdout is None:
        raise ValueError("its stdout is no pipe")
    output, at_its_end = b"", False
    watcher = select.poll()
    watcher.register(stdout, select.POLLIN)
    while len(output) <= most:
        ended = process.poll() is not None
        if not at_its_end and watcher.poll(0 if ended else 50):
            piece = os.read(stdout.fileno(), most + 1 - len(output))
            output, at_its_end = output + piece, not piece
        elif ended:
            return output
        elif at_its_end:
            _wait(process, until)
        if time.monotonic() > until:
            raise TimeoutError
    return output


def _wait(process: subprocess.Popen[bytes], until: float) -> None:
    try:
        process.wait(max(0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
