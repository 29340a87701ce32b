"""Tell the time by the server's clock, which many machines share, whatever the clock of this one says."""

import time
from typing import NamedTuple

from prx_email_cli.outbox.skew import Skew

SAID = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


class Reading(NamedTuple):
    """What the server's clock said, in Unix seconds, at some instant between *asked_at* and *answered_at*."""

    said: float
    asked_at: float
    answered_at: float


class ServerClock:
    """The server's clock as the latest reading had it, from where it runs by the machine's steady clock.

    So nothing changes when the machine's own clock is set.  Calls return Unix seconds; any thread may call.
    """

    def __init__(self, first: Reading) -> None:
        self._ahead, self._unsure = _between(first)  # of the steady clock

    def __call__(self) -> float:
        return steady() + self._ahead

    def take(self, reading: Reading) -> None:
        """Go by another reading, unless the one before says the same, and no less exactly."""
        ahead, unsure = _between(reading)
        if unsure < self._unsure or abs(ahead - self._ahead) > unsure:
            self._ahead, self._unsure = ahead, unsure

    def skew(self) -> Skew:
        """Compare the machine's clock with the server's."""
        return Skew(time.time() - self(), self._unsure)


def steady() -> float:
    """Return seconds that never go back, and pass while the machine is suspended, too, where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _between(reading: Reading) -> tuple[float, float]:
    """Return how far the server's clock is ahead of the steady one, and by how much more or less that may be."""
    unsure = (reading.answered_at - reading.asked_at) / 2
    return reading.said - reading.asked_at - unsure, unsure
