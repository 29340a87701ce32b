"""Claim, record, give back, recover and expire messages for a run on a SQLite outbox."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import count
from typing import TypeVar

from prx_email_cli.errors import ClaimLost, OutboxBusy, OutboxDamaged, PrxEmailError
from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.in_flight import InFlight
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, Moment, Recovered
from prx_email_cli.outbox.relational import actions, queue
from prx_email_cli.outbox.relational import sql as moves
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import Database
from prx_email_cli.outbox.relational.recovery import Recovery, recover_run
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite import claiming
from prx_email_cli.outbox.sqlite.claiming import Claimant
from prx_email_cli.outbox.sqlite.connection import keep_little
from prx_email_cli.outbox.sqlite.damage import DespiteDamage
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection
from prx_email_cli.outbox.sqlite.high_water import Mark
from prx_email_cli.outbox.sqlite.restored import RestoreGuard

READ_BYTES = 32 * 1024  # of a content: what each connection holds of a large one adds up
PATIENCE = 60  # busy timeouts: what a provider accepted must not be forgotten, however long a lock lasts

T = TypeVar("T")
_Claims = list[list[Claimed]]  # by wish


class Claims:
    """Claims on the messages of one open database.  domain: of the Message-IDs."""

    def __init__(self, database: Database, guard: RestoreGuard, damage: DespiteDamage, domain: str) -> None:
        self._change, self._reading = database.change, database.reading
        self._guard, self._damage, self._domain = guard, damage, domain

    def claim(self, run: InFlight, wish: ClaimOne, deed: Deed | None = None) -> Claimed:
        """Claim this message for ``retry``, and record the *deed*; its refused recipients are tried again, too."""

        def make(connection: SqliteConnection, who: Claimant, *, unread: bool) -> _Claims:
            self._guard.before_claim(connection)
            claimed = claiming.claim_one(connection, who, wish, unread=unread)
            if deed is not None:
                actions.record(connection, [wish.outbox_id], deed)
            return [[claimed]]

        try:
            ((claimed,),) = self._claiming(run, 1, partial(make, unread=False))
        except OutboxDamaged:
            ((claimed,),) = self._claiming(run, 1, partial(make, unread=True))
        return claimed

    def _claim_despite_damage(self, run: InFlight, wish: ClaimNext) -> list[Claimed]:
        """Claim messages by *wish* one by one, so that damage costs none but its own."""

        def claim_this(outbox_id: int, *, unread: bool) -> Claimed | None:
            def make(connection: SqliteConnection, who: Claimant) -> _Claims:
                self._guard.before_claim(connection)
                one = claiming.claim_this(connection, who, wish, outbox_id, unread=unread)
                return [[] if one is None else [one]]

            ((*claimed,),) = self._claiming(run, 1, make)
            return claimed[0] if claimed else None

        claims: list[Claimed] = []
        while len(claims) < wish.most and (one := self._damage.claim_next(wish, claim_this)) is not None:
            claims.append(one)
        return claims

    def advance(
        self, run: InFlight, finished: Sequence[Finished], wishes: Sequence[ClaimNext], returned: Sequence[Claimed]
    ) -> Advanced:
        """Record attempts, give back and claim messages, all in one transaction; see ``Run.advance``.

        Raises OutboxDamaged, having changed nothing, when there are several; a single one gets around damage.
        """
        try:
            advanced = self._together(run, finished, wishes, returned)
        except OutboxDamaged:
            if returned or len(finished) > 1 or len(wishes) > 1:
                raise
            advanced = self._despite_damage(run, finished, wishes)
        run.ended([*(one.claimed for one in finished), *returned])
        return advanced

    def _together(
        self, run: InFlight, finished: Sequence[Finished], wishes: Sequence[ClaimNext], returned: Sequence[Claimed]
    ) -> Advanced:
        lost: list[ClaimLost | None] = []
        recorded: list[int] = []
        most = sum(wish.most for wish in wishes)
        recording = bool(finished or returned)

        def make(connection: SqliteConnection, who: Claimant) -> _Claims:
            lost[:] = queue.finalize_all(connection, run.run_id, finished) if finished else []
            recorded[:] = [one.claimed.outbox_id for one, error in zip(finished, lost, strict=True) if error is None]
            queue.give_back(connection, run.run_id, returned)
            if not wishes or not self._may_claim(connection, recording=recording):
                return [[] for _ in wishes]
            numbers, claims = list(who.numbers), []
            for wish in wishes:
                claims.append(claiming.claim_next(connection, who._replace(numbers=numbers), wish))
                del numbers[: len(claims[-1])]
            return claims

        def change() -> _Claims:
            return self._claiming(run, most, make, recording=recording, recorded=recorded)

        return Advanced(lost, patiently(change) if finished else change())

    def _despite_damage(self, run: InFlight, finished: Sequence[Finished], wishes: Sequence[ClaimNext]) -> Advanced:
        """Record the attempt, if there is one, as far as damage lets it; and claim the next message that is sound."""
        lost = [self._finalize_despite_damage(run.run_id, one) for one in finished]
        claims: _Claims = [[] for _ in wishes]
        with suppress(PrxEmailError) if finished else nullcontext():
            claims = [self._claim_despite_damage(run, wish) for wish in wishes]
        return Advanced(lost, claims)

    def _finalize_despite_damage(self, run_id: str, finished: Finished) -> ClaimLost | None:
        alone = partial(queue.finalize, run_id=run_id, finished=finished)
        kinds = [queue.WHOLE, queue.Parts(history=False)]
        if queue.stands_without_recipients(finished):  # the page of one may be full, and the next one damaged
            kinds.append(queue.Parts(recipients=False))
        try:
            record(*[lambda parts=parts: self._change(partial(alone, parts=parts)) for parts in kinds])
        except ClaimLost as lost:
            return lost
        return None

    def recover(self, runs: Runs, policy: RetryPolicy, now: int, *, living: str = "") -> Recovered:
        """Settle the messages that dead runs had claimed; see ``Run.recover``.  Costs one read when there are none.

        living: the run that asks, which lives even if somebody has removed its lock file.
        """
        recovered = Recovered([], [], [])
        for run in [run for run in self._sending() if run != living and runs.is_dead(run)]:
            with runs.flights_of(run, self.identity()) as flights:
                recover = partial(recover_run, recovery=Recovery(run, flights, policy, now))
                try:
                    settled = [self._change(recover)]
                except OutboxDamaged:
                    settled = self._damage.recover(run, recover)
            for some in settled:
                recovered.uncertain.extend(some.uncertain)
                recovered.finished.extend(some.finished)
                recovered.given_back.extend(some.given_back)
        runs.clear_dead(self._sending())
        return recovered

    def identity(self) -> str:
        """Return the outbox's identity, which no other outbox has."""
        with self._reading() as connection:
            return self._guard.identity(connection)

    def _sending(self) -> list[str]:
        """Return the ids of the runs that hold messages."""
        with self._reading() as connection:
            return [run for (run,) in connection.execute(moves.RUNS_SENDING)]

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*; costs one read when no message waits, or it was just recorded."""
        with self._reading() as connection:
            if (
                connection.execute(moves.TO_RECORD, {"now": now, "least": queue.RECORD_EVERY_SECONDS}).fetchone()
                is None
            ):
                return Moment(now)
        try:
            return self._change(partial(queue.begin_drain, now=now))
        except OutboxDamaged:  # the oldest message, by which a first drain judges the clock
            return Moment(now)

    def expire(self, now: int) -> list[int]:
        """Give up the messages that expired unsent; costs one read when there are none."""
        with self._reading() as connection:
            if connection.execute(moves.EXPIRING, {"now": now, "limit": 1}).fetchone() is None:
                return []
        try:
            return self._change(partial(queue.expire, now=now))
        except OutboxDamaged:
            return self._damage.expire(now)

    def rest_of_content(self, claimed: Claimed) -> Iterator[bytes]:
        """Yield the content after its head, READ_BYTES at most at once."""
        with self._reading() as connection:
            keep_little(connection)
        for number in range(1 if claimed.head or not claimed.size_bytes else 0, PIECES_PER_MESSAGE):
            place = claimed.outbox_id * PIECES_PER_MESSAGE + number
            for start in count(0, READ_BYTES):
                with self._reading() as connection:
                    if connection.execute(moves.HAS_PIECE, (place,)).fetchone() is None:
                        return
                    with connection.blobopen("content", "data", place, readonly=True) as piece:
                        piece.seek(start)
                        part, last = piece.read(READ_BYTES), start + READ_BYTES >= len(piece)
                yield part
                if last:
                    break

    def _claiming(
        self, run: InFlight, most: int, make: Callable[[SqliteConnection, Claimant], _Claims], *,
        recording: bool = False, recorded: Sequence[int] = (),
    ) -> _Claims:  # fmt: skip
        """Run a change that claims up to *most* messages for *run*.

        The claims, and the results of the messages *recorded*, are counted in its transaction, and the mark is raised
        once that is durable.  recording: the change also records or gives back, which must not fail because nothing can
        be claimed.
        """
        numbers: list[int] = []
        with suppress(PrxEmailError) if recording else nullcontext():
            numbers = run.numbers(most) if most else []
        who = Claimant(run.run_id, self._domain, numbers)

        def counted(connection: SqliteConnection) -> tuple[_Claims, Mark | None]:
            claims = make(connection, who)
            ids = [*recorded, *(one.outbox_id for some in claims for one in some)]
            return claims, self._guard.count(connection, ids) if ids else None

        begun: list[Claimed] = []
        try:
            claims, mark = self._change(counted)
            begun += [one for some in claims for one in some]
        finally:
            run.began(numbers, begun)
        if mark is not None and not self._noted(mark, recorded):
            self._change(lambda connection: queue.give_back(connection, run.run_id, begun))
            run.ended(begun)
            return [[] for _ in claims]
        return claims

    def _noted(self, mark: Mark, recorded: Sequence[int]) -> bool:
        """Raise the mark; False if that fails where results were recorded, which must be told all the same."""
        with suppress(PrxEmailError) if recorded else nullcontext():
            self._guard.note(mark)
            return True
        return False

    def _may_claim(self, connection: SqliteConnection, *, recording: bool) -> bool:
        """Tell whether the change may claim; raise why not if it does nothing else, for an error undoes all of it."""
        try:
            self._guard.before_claim(connection)
        except PrxEmailError:
            if recording:
                return False
            raise
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
