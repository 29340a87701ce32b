"""Make the clock of a command, and read times and durations as people write them."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.config.durations import EXAMPLES, seconds_of
from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.messages import Schedule

if TYPE_CHECKING:
    from prx_email_cli.submission.request import Request

LATEST_TIME = 253_370_764_800  # the year 9999; later times cannot be written as dates


def clock(now_ts: int | None, outbox: Callable[[], float]) -> Callable[[], int]:
    """Make the clock of a command: whole seconds of the *outbox*'s clock, or always *now_ts* in a rehearsal.

    Raises ValidationError when *now_ts* is beyond LATEST_TIME.
    """
    if now_ts is None:
        return lambda: int(outbox())
    if now_ts > LATEST_TIME:
        raise ValidationError(
            f"--now-ts: {now_ts} is after the year 9998", hint="give Unix time in seconds, not in milliseconds"
        )
    return lambda: now_ts


def duration_seconds(text: str, option: str) -> int:
    """Read a duration such as ``90s``, ``2h`` or ``1d12h``, given to *option*.  Raises ValidationError."""
    try:
        seconds = seconds_of(text)
    except OverflowError:
        raise ValidationError(f"{option}: too long a duration: {text!r}", hint=EXAMPLES) from None
    if seconds is None:
        raise ValidationError(f"{option}: not a duration: {text!r}", hint=EXAMPLES)
    return seconds


def unix_time(text: str, option: str) -> int:
    """Read an ISO 8601 time, given to *option*; without an offset it is local time.  Raises ValidationError."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValidationError(
            f"{option}: not an ISO 8601 time: {text!r}",
            hint="write 2026-12-24T18:00:00+01:00, or 2026-12-24 18:00 for local time",
        ) from None


class Times(NamedTuple):
    """The due time and the expiry of a message as written.

    at: ISO 8601, or Unix seconds.  typed: whether they are options and not fields of a request.
    """

    at: str | int | None
    within: str | None
    expires_in: str | None
    typed: bool = True

    def resolve(self, now: int) -> Schedule:
        """Work the times out from *now*.  Raises ValidationError."""
        due_at = self._due_time(now)
        return Schedule(now, now if due_at is None else due_at, self._expiry(due_at, now))

    def _due_time(self, now: int) -> int | None:
        """Find the due time; None when nothing says it.  Raises ValidationError for the past."""
        at, within = ("--at", "--in") if self.typed else ("at", "in")
        if self.within is not None:
            due = now + duration_seconds(self.within, within)
        elif self.at is not None:
            due = self.at if isinstance(self.at, int) else unix_time(self.at, at)
        else:
            return None
        if due < now:
            raise ValidationError(f"{at}: {self.at} is in the past", hint=f"leave {at} out to send as soon as possible")
        if due > LATEST_TIME:
            raise ValidationError(
                "the due time is after the year 9998",
                hint=f"give an earlier time to {at}, or a shorter one to {within}",
            )
        return due

    def _expiry(self, due_at: int | None, now: int) -> int | None:
        """Find the time at which the message expires; None for never.  Raises ValidationError if before it is due."""
        if self.expires_in is None:
            return None
        option = "--expires-in" if self.typed else "expires_in"
        expires_at = now + duration_seconds(self.expires_in, option)
        if expires_at <= (now if due_at is None else due_at):
            raise ValidationError(f"{option}: the message would expire before it is due", hint="give a longer duration")
        return expires_at


def schedule_of(request: "Request", now: int) -> Schedule:
    """Work out when *request* is due and expires, from *now* or its own clock.  Raises ValidationError."""
    now = now if request.now_ts is None else request.now_ts
    if not request.has_times:
        return Schedule.at_once(now)
    return Times(request.at, request.within, request.expires_in, request.typed).resolve(now)
