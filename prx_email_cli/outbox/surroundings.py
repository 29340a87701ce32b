"""What can be known of an outbox without opening it, whatever database keeps it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from prx_email_cli.errors import ChangeableByOthers, LockUnreadable, ReadableByOthers


class Surroundings(Protocol):
    """An outbox seen from outside; nothing here changes anything."""

    def is_made(self) -> bool:
        """Whether there is an outbox."""

    def directory(self) -> Path:
        """Return the directory that holds it, or what exists of the path to that."""

    def open_to_others(self) -> Iterator[ReadableByOthers]:
        """Find what lets others read or change its files, by their modes."""

    def changeable(self) -> Iterator[ChangeableByOthers]:
        """Find what else lets others change it, or put something in its place."""

    def last_drain_at(self) -> int | None:
        """Return when the last drain ended, None when none ever did."""

    def dead_among(self, run_ids: Iterable[str]) -> list[str]:
        """Return the ids of the runs that are over although they did not end."""

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Why ``dead_among`` cannot tell of certain runs whether they live; they count as alive."""
