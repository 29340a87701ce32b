"""Write the mail about a job that failed or said something."""

import os
import shlex
import signal
import socket
from collections.abc import Sequence

from prx_email_cli.cli.job import Ended
from prx_email_cli.cli.job_output import Tail
from prx_email_cli.cli.render import moment, safe, safe_lines

_MOST_OF_A_COMMAND = 100  # characters of it in a subject


def shown_command(command: Sequence[str]) -> str:
    """Write *command* as one line that a shell would understand; bytes that are no text are escaped."""
    words = (os.fsencode(word).decode("utf-8", "backslashreplace") for word in command)
    return safe(shlex.join(words))


def result_of(ended: Ended) -> str:
    """Say how a job ended, as ``exit status 3`` does."""
    if ended.trouble:
        return f"exit status {ended.status}: {ended.trouble}"
    if ended.timed_out:
        return f"still running after its timeout, and ended (exit status {ended.status})"
    if ended.signal is not None:
        return f"ended by {signal_name(ended.signal)}"
    return f"exit status {ended.status}"


def signal_name(number: int) -> str:
    """Name a signal, as ``SIGKILL`` does."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def subject_of(command: Sequence[str], ended: Ended) -> str:
    """Make the subject: host, command, and what is the matter."""
    shown = shown_command(command)
    if len(shown) > _MOST_OF_A_COMMAND:
        shown = shown[: _MOST_OF_A_COMMAND - 1] + "…"
    what = "did not end in time" if ended.timed_out else f"failed: {result_of(ended)}" if ended.failed else "output"
    return f"[{host()}] {shown}: {what}"


def report_of(command: Sequence[str], ended: Ended, tail: Tail, most: int) -> str:
    """Write the text: command, host, result, times, and the *most* last lines of output."""
    facts = [
        ("Command", shown_command(command)),
        ("Host", host()),
        ("Result", result_of(ended)),
        ("Started", moment(int(ended.started_at))),
        ("Duration", duration(ended.seconds)),
    ]
    if ended.held_open:
        facts.append(("Note", "processes that it started still have its output open; what they print is not here"))
    lines = [f"{name + ':':<9} {value}" for name, value in facts]
    return "\n".join([*lines, "", *_output(tail, most)]) + "\n"


def _output(tail: Tail, most: int) -> list[str]:
    if not tail.size:
        return ["It printed nothing."]
    last = tail.last(most)
    if last.complete:
        heading = "Output:"
    elif last.shown:
        heading = f"The end of its output ({tail.lines:,} lines, {tail.size:,} bytes):"
    else:
        return [f"It printed {tail.lines:,} lines, {tail.size:,} bytes."]
    return [heading, "", *(safe_lines(line.expandtabs()) for line in last.shown)]


def duration(seconds: float) -> str:
    """Write a span of time, such as ``1 h 02 min 03 s`` or ``0.25 s``."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min {rest:02} s" if hours else f"{minutes} min {rest:02} s"


def host() -> str:
    """Name this machine."""
    return safe(socket.gethostname()) or "localhost"
