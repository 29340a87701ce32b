"""One command asked twice at once: as a person reads its answer, and as a script does."""

from __future__ import annotations

from ..conftest import Answer, Program

MARKS = {"ok": "ok", "warning": "WARN", "failed": "FAIL"}


def both_ways(program: Program, *arguments: str) -> tuple[Answer, Answer]:
    """The answers without and with ``--json``."""
    started = [program.start(*arguments, *more) for more in ((), ("--json",))]
    answers = []
    for process in started:
        out, err = process.communicate(timeout=60)
        answers.append(Answer(process.returncode, out, err))
    return answers[0], answers[1]


def lines_of_checks(out: str) -> list[list[str]]:
    """Mark, name and text of each check in an answer for a person; what to do about it is left out."""
    lines = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ")]
    return [[mark, rest[:18].strip(), rest[18:].strip()] for mark, rest in lines if mark != "fix:"]
