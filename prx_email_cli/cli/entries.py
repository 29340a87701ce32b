"""Show an entry of the log: in one line for a person, and as JSON."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from prx_email_cli.cli.colour import Tone, tone_of_ending
from prx_email_cli.cli.columns import shortened, terminal_width
from prx_email_cli.outbox.history import Entry

_LEAST_TEXT = 12


class Widths(NamedTuple):
    """How many columns each part of a line has."""

    account: int
    text: int
    day: bool = True

    @classmethod
    def of_terminal(cls) -> "Widths":
        """Share the columns of the terminal."""
        return cls.within(terminal_width())

    @classmethod
    def within(cls, columns: int, *, day: bool = True) -> "Widths":
        """Share so many columns; without the *day* there is more room."""
        account = 6 if columns < 70 else 10
        return cls(account, max(_LEAST_TEXT, columns - account - (14 if day else 8) - 6 - 9 - 8), day)


def entry_line(one: Entry, widths: Widths, paint: Callable[[str, Tone], str] = lambda text, _: text) -> str:
    """Write an entry in one line, escaped and shortened.  paint: colours its word."""
    at = time.strftime("%m-%d %H:%M:%S" if widths.day else "%H:%M:%S", time.localtime(one.at))
    outbox_id = "" if one.outbox_id is None else str(one.outbox_id)
    account = shortened(one.account or "all", widths.account)
    text = shortened(entry_text(one), widths.text).rstrip()
    word = paint(f"{_word(one):<9}", tone_of_ending(one.what if one.kind == "attempt" else None))
    return f"{at}  {account}  {outbox_id:>6}  {word}  {text}".rstrip()


def entry_text(one: Entry, *, who: bool = True) -> str:
    """Say how an attempt ended, or who did it and what else is known of it."""
    if one.kind == "attempt":
        return "; ".join(part for part in ("uncertain" if one.uncertain else "", one.response or "") if part)
    by = f"by {one.who}" if one.who and who else ""
    return ": ".join(part for part in (by, one.detail or "") if part)


def _word(one: Entry) -> str:
    return "gave up" if one.what == "gave_up" else one.what


def entry_object(one: Entry) -> dict[str, Any]:
    """Make the JSON object of an entry; times are Unix seconds."""
    return {
        "at": one.at,
        "entry": one.kind,
        "outbox_id": one.outbox_id,
        "account": one.account or None,
        "what": one.what,
        "who": one.who,
        "detail": one.detail,
        "code": one.code,
        "response": one.response,
        "uncertain": one.uncertain,
        "message_id": one.message_id,
        "run_id": one.run_id,
        "began_at": one.began_at,
    }
