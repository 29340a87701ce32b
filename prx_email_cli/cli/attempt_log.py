"""A log for machines: one line per attempt, on stderr or appended to a file.

The file is opened for each line, without waiting and without a buffer.  A handler of ``logging`` waits for a FIFO's
reader, writes what a full disk did not take later, behind another drain's line, and makes files that others can read.
"""

import errno
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.config.settings import LogSettings
from prx_email_cli.files import create
from prx_email_cli.outbox.messages import Finished


class AttemptLog:
    """Writes a line for each finished attempt; any thread may call it.

    A log that cannot be written is one warning, which *tell* prints, and changes nothing: the outbox has recorded every
    attempt.
    """

    def __init__(self, settings: LogSettings, run_id: str, tell: Callable[[str], None] = say, *, verbose: bool) -> None:
        self._write_line = _as_json if settings.format == "json" else _as_logfmt
        self._run_id = run_id
        self._verbose = verbose
        self._file = settings.file
        self._complained, self._tell = False, tell

    def write(self, finished: Finished) -> None:
        """Write the line of one attempt; never raises for what cannot be written."""
        if not self._verbose and self._file is None:
            return
        line = self._write_line(_fields(finished, self._run_id))
        if self._verbose:
            say(line)
        if self._file is not None:
            self._append(line)

    def note(self, text: str) -> bool:
        """Write a warning about stderr into the file; False when that is not possible."""
        fields = {"time": int(time.time()), "run": self._run_id, "warning": text}
        return self._file is not None and self._append(self._write_line(fields))

    def _append(self, line: str) -> bool:
        try:
            _append_to(str(self._file), f"{line}\n".encode())
        except (OSError, ValueError) as error:
            if not self._complained:
                self._complained = True
                self._tell(f"warning: cannot write the log {safe(self._file)}: {_reason(error)}")
            return False
        return True


def _append_to(file: str, line: bytes) -> None:
    """Append *line* to *file* without waiting.  Raises OSError, also for a FIFO without a reader."""
    descriptor = _opened(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if stat.S_ISBLK(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is a disk device")
        # O_APPEND and one write: the lines of several drains do not mix.
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _opened(file: str, flags: int) -> int:
    """Open the log, or create it with mode 0600.  Raises OSError.

    root gives it to the owner of its directory, whose drains write it, too.
    """
    with suppress(FileNotFoundError):
        return os.open(file, flags)
    with suppress(FileExistsError):
        os.close(create(file, beside=os.stat(os.path.dirname(file))))
    return os.open(file, flags | os.O_CREAT, 0o600)  # it exists now, or its symbolic link leads to no file yet


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, BlockingIOError) or (isinstance(error, OSError) and error.errno == errno.ENXIO):
        return "nobody reads it"
    return str(error.strerror if isinstance(error, OSError) else error)


def _fields(finished: Finished, run_id: str) -> dict[str, Any]:
    claimed, outcome = finished.claimed, finished.outcome
    return {
        "time": finished.finished_at,
        "run": run_id,
        "outbox_id": claimed.outbox_id,
        "account": claimed.account,
        "message_id": claimed.message_id,
        "outcome": finished.verdict.value,
        "uncertain": outcome.uncertain,
        "code": outcome.code,
        "enhanced": outcome.enhanced,
        "response": outcome.acceptance or finished.detail,
        "milliseconds": finished.milliseconds,
        "connection": finished.connection,
    }


def _as_json(fields: dict[str, Any]) -> str:
    return json.dumps(fields)


def _as_logfmt(fields: dict[str, Any]) -> str:
    return " ".join(f"{name}={_logfmt_value(value)}" for name, value in fields.items())


def _logfmt_value(value: Any) -> str:
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else safe(value)
    if text and not any(c in text for c in ' "='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
