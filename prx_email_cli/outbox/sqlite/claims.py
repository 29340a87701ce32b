"""Claim, record, give back, recover and expire messages for a run on a SQLite outbox."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Protocol, TypeVar

from prx_email_cli.errors import ClaimLost, OutboxBusy, OutboxDamaged, PrxEmailError, RestoredBackup
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, Moment
from prx_email_cli.outbox.sqlite import queue, sql
from prx_email_cli.outbox.sqlite.damage import DespiteDamage
from prx_email_cli.outbox.sqlite.high_water import Mark
from prx_email_cli.outbox.sqlite.restored import RestoreGuard
from prx_email_cli.outbox.sqlite.schema import PIECES_PER_MESSAGE

PATIENCE = 60  # busy timeouts: what a provider accepted must not be forgotten, however long a lock lasts

T = TypeVar("T")
C = TypeVar("C", bound="Claimed | None")


class Database(Protocol):
    """The open database: one connection, used by one thread at a time."""

    def change(self, make: Callable[[sqlite3.Connection], T]) -> T:
        """Run *make* in a transaction and return its result once that is durable; its error undoes the changes."""

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Yield the connection, for reading."""


class Claims:
    """Claims on the messages of one open database.  domain: of the Message-IDs."""

    def __init__(self, database: Database, guard: RestoreGuard, damage: DespiteDamage, domain: str) -> None:
        self._change, self._reading = database.change, database.reading
        self._guard, self._damage, self._domain = guard, damage, domain

    def claim_next(self, run_id: str, wish: ClaimNext) -> Claimed | None:
        """Claim the longest-due message; None when none is due."""
        claimant = queue.Claimant(run_id, self._domain)

        def make(connection: sqlite3.Connection) -> Claimed | None:
            self._guard.before_claim(connection)
            return queue.claim_next(connection, claimant, wish)

        def claim_this(outbox_id: int, *, unread: bool) -> Claimed | None:
            def make(connection: sqlite3.Connection) -> Claimed | None:
                self._guard.before_claim(connection)
                return queue.claim_this(connection, claimant, wish, outbox_id, unread=unread)

            return self._claiming(make)

        try:
            return self._claiming(make)
        except OutboxDamaged:
            return self._damage.claim_next(wish, claim_this)

    def claim(self, run_id: str, wish: ClaimOne) -> Claimed:
        """Claim this message for ``retry``; its refused recipients are tried again, too."""

        def make(connection: sqlite3.Connection, *, unread: bool) -> Claimed:
            self._guard.before_claim(connection)
            return queue.claim_one(connection, queue.Claimant(run_id, self._domain), wish, unread=unread)

        try:
            return self._claiming(partial(make, unread=False))
        except OutboxDamaged:
            return self._claiming(partial(make, unread=True))

    def finalize(self, run_id: str, finished: Finished, then: ClaimNext | None = None) -> Claimed | None:
        """Record a finished attempt and, in the same transaction, claim the next message.

        Damage of the next message, or of what else is to be written, does not undo the result as far as that can be.
        Raises ClaimLost, having changed nothing, when *run_id* no longer owns the row.
        """

        def together(connection: sqlite3.Connection) -> Claimed | None:
            queue.finalize(connection, run_id, finished)
            if then is None or not self._may_claim(connection):
                return None
            return queue.claim_next(connection, queue.Claimant(run_id, self._domain), then)

        alone = partial(queue.finalize, run_id=run_id, finished=finished)
        ways: list[Callable[[], Claimed | None]] = [
            lambda: self._claiming(together),
            lambda: self._change(alone),
            lambda: self._change(partial(alone, parts=queue.Parts(history=False))),
        ]
        if queue.stands_without_recipients(finished):  # the page of one may be full, and the next one damaged
            ways.append(lambda: self._change(partial(alone, parts=queue.Parts(recipients=False))))
        way, following = record(*ways)
        if way == 0 or then is None:
            return following
        with suppress(RestoredBackup):
            return self.claim_next(run_id, then)
        return None

    def advance(self, run_id: str, finished: Sequence[Finished], wishes: Sequence[ClaimNext]) -> Advanced:
        """Record attempts and claim messages, all in one transaction; see ``Run.advance``.

        Raises OutboxDamaged, having changed nothing, when there are several; a single one gets around damage.
        """
        if len(finished) == 1 and len(wishes) <= 1:
            try:
                claimed = self.finalize(run_id, finished[0], wishes[0] if wishes else None)
            except ClaimLost as lost:
                return Advanced([lost], [None] * len(wishes))
            return Advanced([None], [claimed] * len(wishes))
        if not finished and len(wishes) == 1:
            return Advanced([], [self.claim_next(run_id, wishes[0])])
        advanced, mark = patiently(lambda: self._change(partial(self._advance, run_id, finished, wishes)))
        if mark is not None:
            self._guard.note(mark)
        return advanced

    def _advance(
        self, run_id: str, finished: Sequence[Finished], wishes: Sequence[ClaimNext], connection: sqlite3.Connection
    ) -> tuple[Advanced, Mark | None]:
        lost = [queue.finalize_or_lose(connection, run_id, one) for one in finished]
        if wishes and not finished:
            self._guard.before_claim(connection)
        may_claim = bool(wishes) and (not finished or self._may_claim(connection))
        claimant = queue.Claimant(run_id, self._domain)
        claims = [queue.claim_next(connection, claimant, wish) if may_claim else None for wish in wishes]
        mark = None
        for claimed in claims:
            if claimed is not None:
                mark = self._guard.count(connection, claimed.outbox_id)
        return Advanced(lost, claims), mark

    def give_back(self, run_id: str, claimed: Sequence[Claimed]) -> None:
        """Undo claims of which no byte of content was written; see ``Run.give_back``."""
        rows = [{"id": one.outbox_id, "run": run_id, "retries": one.retries} for one in claimed]
        self._change(lambda connection: connection.executemany(sql.GIVE_BACK, rows))

    def recover(self, is_dead: Callable[[str], bool], policy: RetryPolicy, now: int) -> list[int]:
        """Move the ``sending`` messages of dead runs to ``failed``; costs one read when there are none."""
        with self._reading() as connection:
            runs = [run for (run,) in connection.execute(sql.RUNS_SENDING) if is_dead(run)]
        recovered: list[int] = []
        for run in runs:
            recover = partial(queue.recover_run, recovery=queue.Recovery(run, policy, now))
            try:
                recovered += self._change(recover)
            except OutboxDamaged:
                recovered += self._damage.recover(run, recover)
        return recovered

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*; costs one read when no message waits, or it was just recorded."""
        with self._reading() as connection:
            if connection.execute(sql.TO_RECORD, {"now": now, "least": queue.RECORD_EVERY_SECONDS}).fetchone() is None:
                return Moment(now)
        try:
            return self._change(partial(queue.begin_drain, now=now))
        except OutboxDamaged:  # the oldest message, by which a first drain judges the clock
            return Moment(now)

    def expire(self, now: int) -> list[int]:
        """Give up the messages that expired unsent; costs one read when there are none."""
        with self._reading() as connection:
            if connection.execute(sql.EXPIRING, {"now": now, "limit": 1}).fetchone() is None:
                return []
        try:
            return self._change(partial(queue.expire, now=now))
        except OutboxDamaged:
            return self._damage.expire(now)

    def rest_of_content(self, outbox_id: int) -> Iterator[bytes]:
        """Yield the pieces of a message's content after its head."""
        for number in range(1, PIECES_PER_MESSAGE):
            with self._reading() as connection:
                piece = connection.execute(sql.PIECE, (outbox_id * PIECES_PER_MESSAGE + number,)).fetchone()
            if piece is None:
                return
            yield piece[0]

    def _claiming(self, make: Callable[[sqlite3.Connection], C]) -> C:
        """Run a change that claims; count the claim in its transaction, and raise the mark once it is durable."""

        def counted(connection: sqlite3.Connection) -> tuple[C, Mark | None]:
            claimed = make(connection)
            return claimed, self._guard.count(connection, claimed.outbox_id) if claimed is not None else None

        claimed, mark = self._change(counted)
        if mark is not None:
            self._guard.note(mark)
        return claimed

    def _may_claim(self, connection: sqlite3.Connection) -> bool:
        """Tell whether a claim may follow in a finalize's transaction: a refused claim must not undo the result."""
        try:
            self._guard.before_claim(connection)
        except PrxEmailError:
            return False
        return True


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
