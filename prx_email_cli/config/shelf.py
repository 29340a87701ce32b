"""Say how a database keeps for all machines what one of them renews at a time: tokens, encrypted, by name."""

from contextlib import AbstractContextManager
from typing import Protocol


class Held(Protocol):
    """What is kept of one login while others wait to renew it.  Every call may raise StorageError."""

    def try_room(self, name: str, size: int) -> None:
        """Raise StorageError if so many bytes could not be kept under *name*; changes nothing."""

    def write(self, name: str, data: bytes, before: bytes | None) -> bool:
        """Keep *data* durably in place of *before*; False if something else is there by now."""


class Shelf(Protocol):
    """What the outbox's database keeps for all machines, by name.  Every call may raise StorageError."""

    def clock(self) -> float:
        """Return the time, in Unix seconds, by the clock of the database, which is one for all machines."""

    def read(self, name: str) -> bytes | None:
        """Return what is kept under *name*; None if that is nothing."""

    def has(self, login: str) -> bool:
        """Tell whether something is kept under a name of *login*."""

    def hold(self, login: str, seconds: float) -> AbstractContextManager[Held]:
        """Keep all others from renewing *login*, until the block ends or this machine dies.

        Raises TimeoutError when others have kept us from it for so long.
        """

    def remove(self, login: str) -> bool:
        """Remove what is kept under names of *login*; False if that was nothing."""
