"""Colour words by what they mean, on a terminal that shows it; the words say the same without."""

import os
import sys
from enum import Enum

from prx_email_cli.outbox.lifecycle import Ending, Reason, Status
from prx_email_cli.outbox.views import Row


class Tone(Enum):
    """What a word means to a person, with its ANSI colour."""

    PLAIN = ""
    GOOD = "32"  # green: sent
    WAITS = "33"  # yellow: failed, and tried again
    BAD = "31"  # red: nothing more happens by itself, or nobody knows
    NEXT = "36"  # cyan: what a person can do
    STRONG = "1"  # bold: a heading


_OF_ENDING = {Ending.SENT: Tone.GOOD, Ending.DEFERRED: Tone.WAITS, Ending.GAVE_UP: Tone.BAD, Ending.DIED: Tone.BAD}


def painted(text: str, tone: Tone) -> str:
    """Colour *text*, escaped before, if stdout is a terminal, and neither NO_COLOR nor TERM speaks against it."""
    if tone is Tone.PLAIN or not _shows_colour():
        return text
    return f"\x1b[{tone.value}m{text}\x1b[0m"


def _shows_colour() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")
    return not plain and sys.stdout is not None and sys.stdout.isatty()


def tone_of_ending(ending: str | None) -> Tone:
    """Return the tone of how an attempt ended; plain for what is no such word."""
    return next((tone for word, tone in _OF_ENDING.items() if word == ending), Tone.PLAIN)


def tone_of(row: Row) -> Tone:
    """Return the tone of how a message stands."""
    if row.status == Status.SENT:
        return Tone.WAITS if row.repeated else Tone.GOOD
    if row.gave_up is not None and row.status != Status.SENDING:
        return Tone.PLAIN if row.gave_up == Reason.CANCELLED or row.dismissed_at is not None else Tone.BAD
    if row.run_died or row.uncertain:
        return Tone.BAD
    return Tone.WAITS if row.status == Status.FAILED or row.held else Tone.PLAIN
