"""Run a command as on a terminal, for the demo: its tables are laid out as a person sees them."""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

COMMAND_SECONDS = 60
INDENT = 2


def on_a_terminal(
    command: Sequence[str], text: str, environment: Mapping[str, str], directory: Path
) -> tuple[int, str, str]:
    """Run *command* with *text* on stdin; return its status, and what it printed on stdout and stderr.

    stdout is a terminal without colours, as wide as ours but for the indent; a pipe where the system has none.
    """
    columns = max(60, min(shutil.get_terminal_size((80, 24)).columns, 120) - INDENT)
    around = {**environment, "TERM": "dumb", "COLUMNS": str(columns)}
    try:
        reader, writer = os.openpty()
    except OSError:
        reader, writer = os.pipe()
    with TemporaryFile() as stdin, TemporaryFile() as stderr:
        stdin.write(text.encode())
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=stdin, stdout=writer, stderr=stderr, env=around, cwd=directory, start_new_session=True
            )
        finally:
            os.close(writer)
        try:
            out = _read(reader)
            status = process.wait(COMMAND_SECONDS)
        finally:
            os.close(reader)
            process.kill()
            process.wait()
        stderr.seek(0)
        return status, _lines(out), _lines(stderr.read())


def _read(reader: int) -> bytes:
    """Read to the end, or for COMMAND_SECONDS."""
    found, until = b"", time.monotonic() + COMMAND_SECONDS
    with suppress(OSError):  # EIO: no process has the terminal open any more
        while select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
            data = os.read(reader, 65536)
            if not data:
                break
            found += data
    return found


def _lines(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").expandtabs(4)
