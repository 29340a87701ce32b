"""Find out what started this program, so that a person can see whether cron does its work."""

import os
import sys
from contextlib import suppress
from pathlib import Path

CRONS = frozenset(("cron", "crond", "fcron", "dcron", "anacron", "cronie"))
_MOST_PARENTS = 8


def what_started(*, follows: bool = False) -> str:
    """Name what started this drain: cron, systemd, a person or another program; *follows*: it is a follower."""
    starter = _starter()
    return f"{starter} (drain --follow)" if follows else starter


def is_mailed() -> bool:
    """Tell whether a cron has started this program, which mails what it prints; True where that cannot be told."""
    return not Path("/proc/self/stat").exists() or not CRONS.isdisjoint(_parents())


def _starter() -> str:
    with suppress(AttributeError, ValueError):  # a closed stdin
        if sys.stdin.isatty():
            return "a person"
    if CRONS.intersection(_parents()):
        return "cron"
    return "systemd" if "INVOCATION_ID" in os.environ else "a program"


def _parents() -> list[str]:
    """Return the names of the processes above this one, the nearest first; none where no /proc tells them."""
    names: list[str] = []
    process = os.getppid()
    with suppress(OSError, ValueError):
        while process > 1 and len(names) < _MOST_PARENTS:
            name, _, fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")
            names.append(name.partition("(")[2])
            process = int(fields.split()[1])  # proc_pid_stat(5)
    return names
