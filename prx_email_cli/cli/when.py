"""Times and durations as people write them."""

import re
from datetime import datetime

from prx_email_cli.cli.context import LATEST_TIME
from prx_email_cli.errors import ValidationError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?:\d+[smhdw])+")


def duration_seconds(text: str, what: str) -> int:
    """Seconds in a duration such as ``90s``, ``2h`` or ``1d12h``.  Raises ValidationError."""
    if not _DURATION.fullmatch(text):
        raise ValidationError(f"{what}: not a duration: {text!r}", hint="write 90s, 15m, 2h, 1d or 1d12h")
    parts = re.findall(r"0*(\d+)([smhdw])", text)
    if any(len(number) > len(str(LATEST_TIME)) for number, _ in parts):
        raise ValidationError(f"{what}: longer than all time", hint="write 90s, 15m, 2h, 1d or 1d12h")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def unix_time(text: str, what: str) -> int:
    """Unix seconds of an ISO 8601 time; without an offset it is this machine's local time.  Raises ValidationError."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValidationError(
            f"{what}: not an ISO 8601 time: {text!r}",
            hint="write 2026-12-24T18:00:00+01:00, or 2026-12-24 18:00 for local time",
        ) from None


def due_time(at: str | None, within: str | None, now: int) -> int | None:
    """When a message becomes due by ``--at`` or ``--in``, None without them.  Raises ValidationError for the past."""
    if within is not None:
        due = now + duration_seconds(within, "--in")
    elif at is not None:
        due = unix_time(at, "--at")
    else:
        return None
    if due < now:
        raise ValidationError(f"--at: {at} is in the past", hint="leave --at out to send as soon as possible")
    if due > LATEST_TIME:
        raise ValidationError("the due time is after the year 9998")
    return due


def expiry(expires_in: str | None, due_at: int | None, now: int) -> int | None:
    """When a message expires by ``--expires-in``, counted from now.  Raises ValidationError when it is due later."""
    if expires_in is None:
        return None
    expires_at = now + duration_seconds(expires_in, "--expires-in")
    if expires_at <= (now if due_at is None else due_at):
        raise ValidationError("--expires-in: it would expire before it is due", hint="give it a longer time to live")
    return expires_at
