"""A log for machines: one line per attempt, on stderr or appended to a file."""

import os
from typing import Any

from prx_email_cli.cli.output import safe, say
from prx_email_cli.config.settings import LogSettings
from prx_email_cli.outbox.model import Finished


class AttemptLog:
    """Writes each finished attempt, from whatever thread made it.

    A log that cannot be written is said once and changes nothing: the outbox has recorded every attempt.
    """

    def __init__(self, settings: LogSettings, run_id: str, *, verbose: bool) -> None:
        self._write_line = _as_json if settings.format == "json" else _as_logfmt
        self._run_id = run_id
        self._verbose = verbose
        self._file = settings.file
        self._complained = False

    def write(self, finished: Finished) -> None:
        """One line for this attempt."""
        if not self._verbose and self._file is None:
            return
        line = self._write_line(_facts(finished, self._run_id))
        if self._verbose:
            say(line)
        if self._file is not None:
            self._append(line)

    def _append(self, line: str) -> None:
        try:
            # O_APPEND and one write: the lines of several drains do not mix.
            descriptor = os.open(str(self._file), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, f"{line}\n".encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._complained:
                self._complained = True
                say(f"warning: cannot write the log {self._file}: {error.strerror}")


def _facts(finished: Finished, run_id: str) -> dict[str, Any]:
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


def _as_json(facts: dict[str, Any]) -> str:
    import json

    return json.dumps(facts)


def _as_logfmt(facts: dict[str, Any]) -> str:
    return " ".join(f"{name}={_logfmt_value(value)}" for name, value in facts.items())


def _logfmt_value(value: Any) -> str:
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else safe(value)
    if text and not any(c in text for c in ' "='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
