"""Define how an outbox is rid of what it has kept long enough.  Time is an argument, in Unix seconds."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Keeping, Prunable, Pruned, Pruning


class Keeper(Protocol):
    """Deleting contents, names and records of messages that ended.  Every method may raise StorageError."""

    def prunable(self, pruning: "Pruning") -> "Prunable":
        """Find what ``prune`` would take; changes nothing."""

    def prune(self, pruning: "Pruning") -> "Pruned":
        """Take content, names or everything from messages that ended; what is broken off is finished by the next call.

        Without its names a message keeps pseudonyms, the same for the same name; its idempotency key is still known.
        """

    def tidy(self, keeping: "Keeping") -> None:
        """Delete a part of what has been kept long enough; calls at later times go on, and begin again.

        Nothing of what has not ended, is held or uncertain.
        """

    def bytes_used(self) -> int:
        """Return how much room the outbox takes, in bytes."""

    def compact(self, most_bytes: int | None = None) -> bool:
        """Rewrite the outbox, so that nothing is left in it of what was deleted; tell whether that is so.

        It keeps others from writing meanwhile.  False without doing it, if that is more than *most_bytes* of work, or
        when another process keeps a remainder in use.
        """
