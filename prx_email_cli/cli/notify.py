"""Run the command of ``[notify]``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from prx_email_cli.children import end, start
from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.errors import ChangeableByOthers
from prx_email_cli.files import check_program

HOOK_TIMEOUT_SECONDS = 60
RELAY_SECONDS = 1.0
RELAYED_LINES, RELAYED_LINE_CHARACTERS = 100, 2000


def run_hook(command: list[str], document: str, about: str, tell: Callable[[str], None] = say) -> None:
    """Run *command* with the JSON text *document* on its stdin; one that fails is a warning.

    about: what the document tells of, for that warning.  tell: prints it, and what the command says on its stderr.
    """
    try:
        check_program(command[0])
        with relayed(tell) as stderr:
            status = _tell(command, document.encode(), stderr)
        problem = f"ended with status {status}" if status else ""
    except subprocess.TimeoutExpired:
        problem = f"did not end within {HOOK_TIMEOUT_SECONDS} s and was killed"
    except ChangeableByOthers as error:
        problem = f"is not run: {safe(error.message)}"
    except OSError as error:
        problem = f"cannot be run: {error.strerror}"
    if problem:
        tell(f"warning: notify command {safe(command[0])} for {safe(about)} {problem}")


def _tell(command: list[str], document: bytes, stderr: int) -> int:
    """Run *command* with *document* on its stdin, and give its status.  Raises OSError, TimeoutExpired."""
    with start(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr) as process:
        try:
            process.communicate(document, HOOK_TIMEOUT_SECONDS)
        finally:
            end(process)
    return process.returncode


@contextmanager
def relayed(tell: Callable[[str], None] = say) -> Iterator[int]:
    """Give a descriptor for a command's stderr, whose lines *tell* prints.

    The command itself never waits for a slow reader of our stderr.
    """
    reader, writer = os.pipe()
    relay = Thread(target=_relay, args=(reader, tell), daemon=True)
    relay.start()
    try:
        yield writer
    finally:
        os.close(writer)
        relay.join(RELAY_SECONDS)  # a process that it started may keep the pipe open


def _relay(reader: int, tell: Callable[[str], None]) -> None:
    left = RELAYED_LINES
    with open(reader, encoding="utf-8", errors="backslashreplace") as stream:
        while line := stream.readline(RELAYED_LINE_CHARACTERS):
            left -= 1
            if left >= 0:
                tell(safe(line.rstrip("\n")))
