"""Share the connections that accounts may have at once among all runs on all machines."""

import time
from typing import NamedTuple, Protocol

PATIENCE_SECONDS = 10.0  # of a person who waits for one message
_LOOK_SECONDS = 0.1


class Slots(Protocol):
    """The connections that accounts may have at once, in all runs together.

    Every call may wait, and raise StorageError.  What was taken is free again, too, once the process ends, its machine
    dies, or it loses the database.
    """

    def take(self, account: str, most: int) -> int | None:
        """Take one of the account's *most* connections; return its number, None while others have all."""

    def free(self, account: str, number: int) -> None:
        """Let others have a connection that was taken, and is closed."""


class PatientSlots(NamedTuple):
    """Slots for which a run waits that has nothing else to do."""

    slots: Slots
    seconds: float = PATIENCE_SECONDS

    def take(self, account: str, most: int) -> int | None:
        """See ``Slots``; returns None once others have had all for *seconds*."""
        until = time.monotonic() + self.seconds
        while (taken := self.slots.take(account, most)) is None and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        return taken

    def free(self, account: str, number: int) -> None:
        """See ``Slots``."""
        self.slots.free(account, number)
