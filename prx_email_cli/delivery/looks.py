"""Decide when a follower looks at its outbox; pure, stepped with ticks: seconds that never go back."""

import math

LOOK_SECONDS = 1.0  # between two looks where no file tells of a change
GLANCES = (0.005, 0.02, 0.05, 0.1)
"""Seconds after a file was written: the change can be seen once it is durable, of which no file tells."""


class Looks:
    """The times of a follower's looks, and of the rounds for which nothing but time asks, so many seconds apart."""

    def __init__(self, round_seconds: float = math.inf) -> None:
        self._round_seconds = round_seconds
        self._glances: list[float] = []
        self._look = self._round = 0.0

    def stirred(self, now: float) -> None:
        """The outbox's files were written, perhaps by this process itself."""
        if not self._glances:
            self._glances = [now + seconds for seconds in GLANCES]

    def until(self) -> float:
        """Return when to look next."""
        return min([self._look, *self._glances[:1]])

    def due(self, now: float) -> bool:
        """Tell whether to look now; then the next look is later."""
        if now < self.until():
            return False
        self._glances = [glance for glance in self._glances if glance > now]
        if now >= self._look:
            self._look = now + LOOK_SECONDS
        return True

    def round_due(self, now: float) -> bool:
        """Tell whether the last round was long ago."""
        return now >= self._round

    def round_begins(self, now: float) -> None:
        """Note a round: what has been seen until now is seen."""
        self._round = now + self._round_seconds
