"""Render values for people and scripts: text safe for a terminal, times, objects of ``--json``."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prx_email_cli.errors import Exit
from prx_email_cli.outbox.lifecycle import Status, counted_as

if TYPE_CHECKING:
    from prx_email_cli.checks.check import Check
    from prx_email_cli.outbox.views import Particulars, Row

# Letters, marks and signs that show nothing; Unicode categories tell the other invisible ones.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SELECTORS = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
_PICTOGRAPHS = range(0x1F000, 0x1FC00)  # some are newer than this Python, and all are visible
SHOWN_ALONE = ("recipients", "attempts", "actions", "particulars")  # not of messages in a list
_RESULT_KEYS = ("outbox_id", "status", "retries", "provider_message_id", "next_attempt_at", "message_id")


def safe(text: object) -> str:
    """Escape in *text* what could move a terminal's cursor or mislead its reader; the result is one line."""
    shown = str(text)
    if shown.isprintable() and (shown.isascii() or (_BLANK.isdisjoint(shown) and _SELECTORS.isdisjoint(shown))):
        return shown
    return "".join(map(_visible, shown, " " + shown))


def safe_lines(text: str) -> str:
    """Escape each line of *text* as ``safe`` does, and keep the line breaks."""
    return "\n".join(safe(line) for line in text.split("\n"))


def _visible(character: str, before: str) -> str:
    """Escape *character* if a reader would not see it as itself after the one *before*."""
    if character in "\n\t":
        return "\\n" if character == "\n" else "\\t"
    if character in _SELECTORS:  # one after a character says how that looks
        return character if before.isprintable() and before != " " and not _hides(before) else _escaped(character)
    return _escaped(character) if _hides(character) else character


def _hides(character: str) -> bool:
    if character.isprintable():
        return character in _BLANK or character in _SELECTORS
    from unicodedata import category  # on use

    kind = category(character)
    return kind != "Zs" and not (kind == "Cn" and ord(character) in _PICTOGRAPHS)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def masked(text: str) -> str:
    """Replace every secret that this process has read by ``***``; nothing is loaded when none was read."""
    redaction = sys.modules.get("prx_email_cli.redaction")
    if redaction is None:
        return text
    redacted: str = redaction.redact(text)
    return redacted


def moment(unix: int | None, *, utc: bool = False) -> str:
    """Write a Unix time as this machine's local time, or as *utc*, with its offset; a dash for None."""
    if unix is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S%z", time.gmtime(unix) if utc else time.localtime(unix))


def short_moment(unix: int | None, now: int) -> str:
    """Write a Unix time as this machine's local time, shortly: without the day if that is the day of *now*."""
    if unix is None:
        return "-"
    then, today = time.localtime(unix), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%d %b %H:%M" if abs(unix - now) < 300 * 86_400 else "%d %b %Y", then)


def span(seconds: int) -> str:
    """Write a span of time by its largest unit, such as ``4m``; less than nothing is ``0s``."""
    for unit, length, most in (("s", 1, 60), ("m", 60, 3600), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{max(0, seconds) // length}{unit}"
    return f"{seconds // 86_400}d"


def error_object(code: str, message: str, hint: str = "") -> dict[str, str]:
    """Make the ``error`` member of the JSON object."""
    return {"code": code, "message": message, "hint": hint}


def send_result(row: "Row") -> dict[str, Any]:
    """Make the ``data`` with which ``send``, ``reply`` and ``retry`` answer."""
    return {name: getattr(row, name) for name in _RESULT_KEYS}


def row_object(row: "Row", *, whole: bool = False) -> dict[str, Any]:
    """Make the JSON object of a message for ``list``, and with *whole* for ``show``."""
    from dataclasses import asdict, replace  # on use

    if not whole:
        return {name: value for name, value in asdict(row).items() if name not in SHOWN_ALONE}
    values = asdict(replace(row, actions=[], particulars=None))
    del values["particulars"]
    actions = [did._asdict() for did in row.actions]
    return {**values, "actions": actions, **({} if row.particulars is None else _about(row.particulars))}


def _about(about: "Particulars") -> dict[str, Any]:
    """Make the members of a message's JSON object that only ``show`` has."""
    values = about._asdict()
    caller = values.pop("caller")
    del values["by_account"], values["drained_seconds"]
    return {**values, "enqueued_by": None if caller is None else caller._asdict()}


def shown_status(row: "Row") -> str:
    """Name a message's status for a person, with what is known beside it.

    A message that a person gave up, or that was never attempted, shows the reason instead of its status.
    """
    beside = ["dismissed"] * (row.dismissed_at is not None and row.gave_up != "cancelled")
    beside += ["(run died)"] * row.run_died + ["held"] * row.held + ["uncertain"] * row.uncertain
    if row.gave_up is None:
        return " ".join([row.status, *beside])
    if (counted := counted_as(row.status, row.gave_up)) == row.gave_up:
        return " ".join([counted, *beside])
    return " ".join([row.status, f"gave up: {row.gave_up}", *beside])


def check_object(check: "Check") -> dict[str, str]:
    """Make the JSON object of one check of ``doctor`` or ``account test``."""
    return {"name": check.name, "result": check.result, "detail": masked(check.detail), "fix": masked(check.fix)}


def exit_status(row: "Row") -> int:
    """Return the exit status for a message: 0 sent or waiting, 75 failed for now, 69 given up."""
    if row.status != Status.FAILED:
        return Exit.OK
    return Exit.GAVE_UP if row.gave_up else Exit.TRY_LATER


def listed(ids: Sequence[int], most: int = 20) -> str:
    """Write a colon and the first of these ids; "" for none."""
    if not ids:
        return ""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ": " + ", ".join(map(str, ids[:most])) + more
