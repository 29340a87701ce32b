"""A living run on a PostgreSQL outbox: a session that holds the lock of its number says that it lives."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from prx_email_cli.errors import LockUnreadable, PrxEmailError, StorageError
from prx_email_cli.outbox.history import host_name
from prx_email_cli.outbox.in_flight import InFlight
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RetryPolicy
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, Moment, Recovered
from prx_email_cli.outbox.postgres import recovery, sql
from prx_email_cli.outbox.postgres.faults import run_ended
from prx_email_cli.outbox.postgres.schema import LOCK
from prx_email_cli.outbox.relational import marks, queue
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.runs import Runs

if TYPE_CHECKING:
    from prx_email_cli.outbox.postgres.store import PostgresStore


class PostgresRun:
    """See ``Run`` for what each method promises."""

    def __init__(self, store: "PostgresStore", runs: Runs, now: int) -> None:
        """Begin a run.  runs: where flight records are kept on this machine."""
        self._store, self._runs = store, runs
        self.run_id = f"{now}-{os.getpid()}-{os.urandom(4).hex()}@{host_name()}"
        try:
            home = runs.machine()
        except OSError as error:
            raise StorageError(
                f"cannot keep flight records in {runs.directory}: {error.strerror}",
                hint="check that the directory is writable by you",
            ) from None
        with store.session() as (connection, session):
            self._session, self._claims = session, store.claims.of_session(session)
            self._number = connection.execute(sql.NEXT_RUN).fetchone()[0]
            connection.execute(sql.LOCK_RUN, (LOCK, self._number))
            connection.execute(sql.INSERT_RUN, (self.run_id, self._number, now, home))
        self._is_checked = False
        self.in_flight = InFlight(runs, self.run_id, store.identity)

    def __enter__(self) -> "PostgresRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight.close()
        if self._store.cut_off():
            return
        with suppress(PrxEmailError), self._store.session() as (connection, session):
            if session == self._session:
                connection.execute(sql.DELETE_RUN, (self.run_id, self.run_id))
                connection.execute(sql.UNLOCK_RUN, (LOCK, self._number))

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Return nothing: the database tells of every run whether it lives."""
        return []

    def recover(self, policy: RetryPolicy, now: int) -> Recovered:
        """Settle the messages that dead runs had claimed, by those runs' flight records."""
        self._store.refuse_restored()
        return recovery.recover(self._store, self._runs, policy, now)

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
        try:
            if wishes:
                self._check_claimable()
        except PrxEmailError:
            if not finished and not returned:
                raise
            wishes = [wish._replace(most=0) for wish in wishes]
        if self._session == self._store.sessions:
            return self._claims.advance(self.in_flight, finished, wishes, returned)
        return Advanced(self._claims.settle(self.in_flight, finished, returned), [[] for _ in wishes])

    def _check_claimable(self) -> None:
        """Raise SessionLost when the session is over that holds this run's lock, and RestoredBackup."""
        if self._session != self._store.sessions:
            raise run_ended()
        if not self._is_checked:
            self._store.refuse_restored()
            self._is_checked = True  # it becomes no other while a run lives

    def claim_by_id(self, wish: ClaimOne) -> Claimed:
        """Claim this message for ``retry`` or ``send --now``; the former is recorded as what a person did."""
        self._check_claimable()
        acting = self._store.acting
        deed = Deed("retried", wish.now, acting, "--force" if wish.force else None) if acting else None
        return self._claims.claim(self.in_flight, wish, deed)

    def wanted_back(self, now: int) -> list[int]:
        """Return the ids of claimed messages that a person has held or cancelled, or whose account is paused."""
        with self._store.reading() as connection:
            return queue.ids(connection.execute(marks.MARKED, {"run": self.run_id, "now": now}))

    def about_to_end(self, claimed: Claimed, results: Mapping[int, RecipientResult]) -> None:
        """Note that the bytes that complete the content may leave now."""
        if self._store.unheard_seconds() > self._store.others_wait_seconds / 2:
            self._check_held(claimed)
        self.in_flight.about_to_end(claimed, results)

    def _check_held(self, claimed: Claimed) -> None:
        """Raise StorageError if others may by now take this run for dead, and the message for theirs."""
        with self._store.session() as (connection, session):
            asked = {"ids": str([claimed.outbox_id]), "run": self.run_id}
            held = connection.execute(sql.OURS, asked).fetchone()[0]
        if session != self._session or held == "[]":
            raise StorageError(
                f"outbox message {claimed.outbox_id} was not sent, for the session with the database was lost",
                hint="the next drain sends it",
            )

    def answered(self, claimed: Claimed, outcome: Outcome, at: int) -> None:
        """Note what the attempt came to."""
        self.in_flight.answered(claimed, outcome, at)

    def content(self, claimed: Claimed) -> Iterator[bytes]:
        """Yield the pieces of the message's content after its head."""
        return self._claims.rest_of_content(claimed)
