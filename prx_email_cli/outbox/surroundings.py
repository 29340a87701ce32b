"""Define what may be asked of an outbox that is not open."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from prx_email_cli.errors import ChangeableByOthers, LockUnreadable, ReadableByOthers


class Surroundings(Protocol):
    """An outbox seen from outside; no method changes anything.

    is_file: whether it is a file of this machine, and not a database that others may use, too.
    """

    is_file: bool

    def is_made(self) -> bool:
        """Tell whether there is an outbox."""

    def directory(self) -> Path:
        """Return the directory that holds it, or what exists of the path to that; of a database the flight records'."""

    def open_to_others(self) -> Iterator[ReadableByOthers]:
        """Find the files whose modes let others read or change them."""

    def changeable(self) -> Iterator[ChangeableByOthers]:
        """Find what else lets others change or replace the outbox."""

    def last_drain_at(self) -> int | None:
        """Return when the last drain ended, None when none ever did."""

    def dead_among(self, run_ids: Iterable[str]) -> list[str]:
        """Return the ids of the runs whose process died."""

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Return an error for each run of which ``dead_among`` could not tell if it lives; it counts as alive."""
