"""A living run on a SQLite outbox: a locked file beside the database says that it lives."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from prx_email_cli.errors import LockUnreadable
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, Moment
from prx_email_cli.outbox.sqlite.runs import Lock, Runs

if TYPE_CHECKING:
    from prx_email_cli.outbox.sqlite.store import SqliteStore


class SqliteRun:
    """See ``Run`` for what each method promises."""

    def __init__(self, store: "SqliteStore", runs: Runs, lock: Lock) -> None:
        self.run_id = lock.run_id
        self._store, self._claims = store, store.claims
        self._runs, self._lock = runs, lock

    def __enter__(self) -> "SqliteRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Return an error for each run of which ``recover`` could not tell whether it lives."""
        return list(self._runs.unreadable.values())

    def recover(self, policy: RetryPolicy, now: int) -> list[int]:
        """Move the ``sending`` messages of dead runs to ``failed``; return their ids."""
        self._store.refuse_restored()
        recovered = self._claims.recover(self._runs.is_dead, policy, now)
        self._runs.clear_dead()
        return recovered

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*."""
        return self._claims.begin_drain(now)

    def expire(self, now: int) -> list[int]:
        """Give up the messages that expired unsent; return their ids."""
        return self._claims.expire(now)

    def advance(self, finished: Sequence[Finished], wishes: Sequence[ClaimNext]) -> Advanced:
        """Record finished attempts and claim messages, in one transaction."""
        return self._claims.advance(self.run_id, finished, wishes)

    def claim_by_id(self, wish: ClaimOne) -> Claimed:
        """Claim this message for ``retry`` or ``send --now``."""
        return self._claims.claim(self.run_id, wish)

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Undo claims of which no byte of content was written."""
        self._claims.give_back(self.run_id, claimed)

    def content(self, claimed: Claimed) -> Iterator[bytes]:
        """Yield the pieces of the message's content after its head."""
        return self._claims.rest_of_content(claimed.outbox_id)
