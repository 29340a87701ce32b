"""What the programs that this one starts for itself may know, and how long their answers may be."""

import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_hidden: set[str] = set()


def hide(names: Iterable[str]) -> None:
    """Keep the environment variables of these *names* from children: they hold secrets."""
    _hidden.update(names)


def environment() -> dict[str, str]:
    """The environment of a child, without the variables that hold secrets."""
    return {name: value for name, value in os.environ.items() if name not in _hidden}


class Answer(NamedTuple):
    """What a command printed, and how it ended.  output: at most so many bytes as were asked for, and one more."""

    status: int
    output: bytes


def answer_of(command: Sequence[str], most: int, seconds: float) -> Answer:
    """The answer of *command*, whose stdin is empty and whose stderr is ours.

    most: bytes.  A command that prints more is ended.  What it leaves running with its stdout open is not waited for.
    Raises OSError when it cannot be run, and TimeoutError when it has not ended within *seconds*.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment(), bufsize=0
    ) as process:
        try:
            output = _read(process, most, time.monotonic() + seconds)
        finally:
            if process.poll() is None:
                process.kill()
    return Answer(process.returncode, output)


def _read(process: "subprocess.Popen[bytes]", most: int, until: float) -> bytes:
    """What *process* prints until it ends.  Raises TimeoutError."""
    import select

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


def _wait(process: "subprocess.Popen[bytes]", until: float) -> None:
    try:
        process.wait(max(0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
