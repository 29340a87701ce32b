"""Make the clock of a command, and read times and durations as people write them."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.messages import Schedule

LATEST_TIME = 253_370_764_800  # the year 9999; later times cannot be written as dates
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EXAMPLES = "write 90s, 15m, 2h, 1d or 1d12h"


def clock(now_ts: int | None) -> Callable[[], int]:
    """Make the clock of a command: Unix seconds, or always *now_ts* in a rehearsal.

    Raises ValidationError when *now_ts* is beyond LATEST_TIME.
    """
    if now_ts is None:
        return lambda: int(time.time())
    if now_ts > LATEST_TIME:
        raise ValidationError(
            f"--now-ts: {now_ts} is after the year 9998", hint="give Unix time in seconds, not in milliseconds"
        )
    return lambda: now_ts


def duration_seconds(text: str, option: str) -> int:
    """Read a duration such as ``90s``, ``2h`` or ``1d12h``, given to *option*.  Raises ValidationError."""
    if not re.fullmatch(r"(?:\d+[smhdw])+", text):
        raise ValidationError(f"{option}: not a duration: {text!r}", hint=_EXAMPLES)
    parts = re.findall(r"0*(\d+)([smhdw])", text)
    if any(len(number) > len(str(LATEST_TIME)) for number, _ in parts):
        raise ValidationError(f"{option}: too long a duration: {text!r}", hint=_EXAMPLES)
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def unix_time(text: str, option: str) -> int:
    """Read an ISO 8601 time, given to *option*; without an offset it is local time.  Raises ValidationError."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValidationError(
            f"{option}: not an ISO 8601 time: {text!r}",
            hint="write 2026-12-24T18:00:00+01:00, or 2026-12-24 18:00 for local time",
        ) from None


def due_time(at: str | None, within: str | None, now: int) -> int | None:
    """Find the due time in ``--at`` or ``--in``; None without them.  Raises ValidationError for the past."""
    if within is not None:
        due = now + duration_seconds(within, "--in")
    elif at is not None:
        due = unix_time(at, "--at")
    else:
        return None
    if due < now:
        raise ValidationError(f"--at: {at} is in the past", hint="leave --at out to send as soon as possible")
    if due > LATEST_TIME:
        raise ValidationError(
            "the due time is after the year 9998", hint="give an earlier time to --at, or a shorter one to --in"
        )
    return due


def expiry(expires_in: str | None, due_at: int | None, now: int) -> int | None:
    """Find the time at which a message expires, by ``--expires-in`` from now; None without it.

    Raises ValidationError when the message would expire before it is due.
    """
    if expires_in is None:
        return None
    expires_at = now + duration_seconds(expires_in, "--expires-in")
    if expires_at <= (now if due_at is None else due_at):
        raise ValidationError("--expires-in: the message would expire before it is due", hint="give a longer duration")
    return expires_at


class Times(NamedTuple):
    """The due time and the expiry of a message as typed."""

    at: str | None
    within: str | None
    expires_in: str | None

    def resolve(self, now: int) -> "Schedule":
        """Work the times out from *now*.  Raises ValidationError."""
        due_at = due_time(self.at, self.within, now)
        return Schedule(now, now if due_at is None else due_at, expiry(self.expires_in, due_at, now))
