"""Writes the table of nights into docs/troubleshooting.md: ``python -m tests.nights.document``."""

import re
from pathlib import Path

from . import NIGHTS
from .night import Night

FILE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
BEGIN = "<!-- Written by `python -m tests.nights.document`; a test plays each row. -->\n"
END = "<!-- The end of the table of nights. -->\n"
_HEAD = "| What happened | What is said | What `prx-email show` says | What mends it |\n|---|---|---|---|\n"
_SECTION = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)


def table() -> str:
    """The section, between its marks."""
    only = ", ".join(f"“{night.title}”" for night in NIGHTS if night.of_files)
    where = f"All of it is so in a file and in a PostgreSQL database; of a file alone is {only}.\n"
    return f"{BEGIN}\n{_HEAD}{''.join(map(_row, NIGHTS))}\n{where}\n{END}"


def rewritten(page: str) -> str:
    """*page* with the table as it is now."""
    assert _SECTION.search(page), "the marks of the table are gone"
    return _SECTION.sub(lambda _: table(), page)


def _row(night: Night) -> str:
    commands = ", then ".join(f"`{command}`" for command in night.mend)
    mends = "; ".join(filter(None, (night.deed, commands, night.afterwards)))
    return f"| {night.title} | {_words(night.told)} | {_words(night.explained)} | {mends} |\n"


def _words(words: str) -> str:
    return f"`{words}`" if words else ""


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text(encoding="utf-8")), encoding="utf-8")
