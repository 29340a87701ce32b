"""Record what became of an attempt, however long a lock lasts: what a provider accepted must not be forgotten."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from prx_email_cli.errors import OutboxBusy, OutboxDamaged

PATIENCE = 60  # busy timeouts

T = TypeVar("T")


def record(*ways: Callable[[], T]) -> tuple[int, T]:
    """Record an attempt in the first of *ways* that damage does not prevent; which that was, and its result."""
    for number, way in enumerate(ways[:-1]):
        with suppress(OutboxDamaged):
            return number, patiently(way)
    return len(ways) - 1, patiently(ways[-1])


def patiently(change: Callable[[], T]) -> T:
    """Result of *change*, made again while another process holds the lock."""
    for _ in range(PATIENCE):
        with suppress(OutboxBusy):
            return change()
    return change()
