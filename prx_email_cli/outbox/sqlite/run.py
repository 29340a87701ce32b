"""A living run on a SQLite outbox: a locked file beside the database says that it lives."""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from prx_email_cli.errors import LockUnreadable
from prx_email_cli.outbox.in_flight import InFlight
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RetryPolicy
from prx_email_cli.outbox.lock import Lock
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, Moment, Recovered
from prx_email_cli.outbox.relational import marks, queue
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.runs import Runs

if TYPE_CHECKING:
    from prx_email_cli.outbox.sqlite.store import SqliteStore


class SqliteRun:
    """See ``Run`` for what each method promises."""

    def __init__(self, store: "SqliteStore", runs: Runs, lock: Lock) -> None:
        self.run_id = lock.run_id
        self._store, self._claims = store, store.claims
        self._runs, self._lock = runs, lock
        self.in_flight = InFlight(runs, lock.run_id, store.claims.identity)

    def __enter__(self) -> "SqliteRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight.close()
        self._lock.release()

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Return an error for each run of which ``recover`` could not tell whether it lives."""
        return list(self._runs.unreadable.values())

    def recover(self, policy: RetryPolicy, now: int) -> Recovered:
        """Settle the messages that dead runs had claimed, by those runs' flight records."""
        self._store.refuse_restored()
        return self._claims.recover(self._runs, policy, now, living=self.run_id)

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*."""
        return self._claims.begin_drain(now)

    def expire(self, now: int) -> list[int]:
        """Give up the messages that expired unsent; return their ids."""
        return self._claims.expire(now)

    def advance(
        self, finished: Sequence[Finished], wishes: Sequence[ClaimNext], returned: Sequence[Claimed] = ()
    ) -> Advanced:
        """Record finished attempts, give back and claim messages, in one transaction."""
        return self._claims.advance(self.in_flight, finished, wishes, returned)

    def claim_by_id(self, wish: ClaimOne) -> Claimed:
        """Claim this message for ``retry`` or ``send --now``; the former is recorded as what a person did."""
        acting = self._store.acting
        deed = Deed("retried", wish.now, acting, "--force" if wish.force else None) if acting else None
        return self._claims.claim(self.in_flight, wish, deed)

    def wanted_back(self, now: int) -> list[int]:
        """Return the ids of claimed messages that a person has held or cancelled, or whose account is paused."""
        with self._store.reading() as connection:
            return queue.ids(connection.execute(marks.MARKED, {"run": self.run_id, "now": now}))

    def about_to_end(self, claimed: Claimed, results: Mapping[int, RecipientResult]) -> None:
        """Note that the bytes that complete the content may leave now."""
        self.in_flight.about_to_end(claimed, results)

    def answered(self, claimed: Claimed, outcome: Outcome, at: int) -> None:
        """Note what the attempt came to."""
        self.in_flight.answered(claimed, outcome, at)

    def content(self, claimed: Claimed) -> Iterator[bytes]:
        """Yield the pieces of the message's content after its head."""
        return self._claims.rest_of_content(claimed)
