"""Record a finished attempt, however long a lock lasts: an accepted message must not be sent again."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from prx_email_cli.errors import OutboxBusy, OutboxDamaged

PATIENCE = 60  # busy timeouts

T = TypeVar("T")


def record(*ways: Callable[[], T]) -> tuple[int, T]:
    """Record an attempt in the first of *ways* that damage does not prevent; return its index and its result."""
    for number, way in enumerate(ways[:-1]):
        with suppress(OutboxDamaged):
            return number, patiently(way)
    return len(ways) - 1, patiently(ways[-1])


def patiently(change: Callable[[], T]) -> T:
    """Return the result of *change*, which is repeated while another process holds the lock."""
    for _ in range(PATIENCE):
        with suppress(OutboxBusy):
            return change()
    return change()
