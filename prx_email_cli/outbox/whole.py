"""Define what may be done with an outbox as a whole, whatever database keeps it.

Every method may raise StorageError.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Copied, Migrated, Replaced, Verified


class Whole(Protocol):
    """An outbox as a whole, which no method but ``migrate`` makes where there is none."""

    def migrate(self) -> "Migrated":
        """Bring the tables up to date, or make them.  Waits for another who does so."""

    def backup(self, file: Path, *, force: bool, progress: Callable[[int, int], None] | None = None) -> "Copied":
        """Copy the outbox as it is at this moment into *file*, while others use it; with *force* in place of a file.

        progress: is told of parts done, and of how many.  Raises ValidationError, InputNotFound, OutboxDamaged.
        """

    def verify(self, file: Path | None, progress: Callable[[int], None]) -> "Verified":
        """Check the outbox, or the one in *file*, and change nothing.  Raises ValidationError, InputNotFound."""

    def restore(self, file: Path, now: int) -> "Replaced":
        """Put a backup in the outbox's place.  Raises as ``backup``, and OutboxBusy while the outbox is in use."""

    def adopt(self, file: Path | None, now: int, by: str) -> "Replaced":
        """Put an outbox that was moved here in its place; without *file*, the one that is there.

        by: who does it, as user@host.  Raises as ``restore``.
        """

    def move(self, file: Path, now: int, by: str, settle: "Callable[[Any], None]") -> "Copied":
        """Leave the outbox, and make the *file* in which it is carried to another machine.

        From then on OutboxMoved is raised by whatever would store a message in it or claim one.  settle: is given the
        store, and settles what dead runs had claimed.  Raises as ``restore``, and OutboxMoved.
        """

    def undo_move(self) -> str:
        """Take the outbox home again; return the file in which it was carried.  Raises ValidationError."""
