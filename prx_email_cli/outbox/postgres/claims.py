"""Claim, record, give back, recover and expire messages for a run on a PostgreSQL outbox."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import count
from typing import TypeVar

from prx_email_cli.errors import ClaimLost, OutboxBusy, PrxEmailError
from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.in_flight import InFlight
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, Moment
from prx_email_cli.outbox.postgres import claiming, settling, sql, stepping
from prx_email_cli.outbox.postgres.claiming import Claimant
from prx_email_cli.outbox.postgres.database import OpenDatabase
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.faults import SessionLost
from prx_email_cli.outbox.relational import actions, queue
from prx_email_cli.outbox.relational import sql as moves
from prx_email_cli.outbox.relational.actions import Deed

READ_BYTES = 32 * 1024  # of a content: what each connection holds of a large one adds up
READ_AGAIN = 10  # times, a second apart: all that a drain has on the wire waits meanwhile
PATIENCE = 60  # lock timeouts, or seconds without a server: what a provider accepted must not be forgotten
_PART = "SELECT substr(data, ?, ?) FROM content WHERE id = ?"

T = TypeVar("T")
_Claims = list[list[Claimed]]  # by wish


class Claims:
    """Claims on the messages of one open database.

    domain: of the Message-IDs.  session: the one in which a run claims, which holds its lock.
    """

    def __init__(self, database: OpenDatabase, domain: str, session: int | None = None) -> None:
        self._database, self._domain, self._session = database, domain, session

    def of_session(self, session: int) -> "Claims":
        """Return what a run claims with that lives as long as this session."""
        return Claims(self._database, self._domain, session)

    def claim(self, run: InFlight, wish: ClaimOne, deed: Deed | None = None) -> Claimed:
        """Claim this message for ``retry``, and record the *deed*; its refused recipients are tried again, too."""

        def make(connection: PostgresConnection, who: Claimant) -> _Claims:
            claimed = claiming.claim_one(connection, who, wish)
            if deed is not None:
                actions.record(connection, [wish.outbox_id], deed)
            return [[claimed]]

        ((claimed,),) = self._claiming(run, 1, make)
        return claimed

    def advance(
        self, run: InFlight, finished: Sequence[Finished], wishes: Sequence[ClaimNext], returned: Sequence[Claimed]
    ) -> Advanced:
        """Record attempts, give back and claim messages, all in one transaction; see ``Run.advance``."""
        lost: list[ClaimLost | None] = []
        recording = bool(finished or returned)

        def make(connection: PostgresConnection, who: Claimant) -> _Claims:
            step = stepping.Step(run.run_id, finished, returned)
            lost[:], claims = step.make(connection, who, wishes)
            return claims

        change = partial(self._claiming, run, sum(wish.most for wish in wishes), make, recording=recording)
        try:
            claims = patiently(change) if finished else change()
        except SessionLost:
            if not recording:
                raise
            self._settle_anew(run.run_id, finished, returned, lost)
            claims = [[] for _ in wishes]
        run.ended([*(one.claimed for one in finished), *returned])
        return Advanced(lost, claims)

    def settle(
        self, run: InFlight, finished: Sequence[Finished], returned: Sequence[Claimed]
    ) -> list[ClaimLost | None]:
        """Record attempts and give back claims of a run whose session was lost, as far as they are still its own."""
        lost: list[ClaimLost | None] = []
        self._settle_anew(run.run_id, finished, returned, lost)
        run.ended([*(one.claimed for one in finished), *returned])
        return lost

    def _settle_anew(
        self, run_id: str, finished: Sequence[Finished], returned: Sequence[Claimed], lost: list[ClaimLost | None]
    ) -> None:
        """Settle through a new session, once there is one.

        What was settled by a transaction of which no answer came is not settled again: its attempts are there.
        """

        def make(connection: PostgresConnection) -> None:
            lost[:] = settling.settle(connection, run_id, finished)
            for number, one in enumerate(finished):
                if lost[number] is not None and _is_recorded(connection, run_id, one):
                    lost[number] = None
            queue.give_back(connection, run_id, returned)

        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(SessionLost, OutboxBusy):
                return self._database.change(make, tell=False)
            time.sleep(1)
        return self._database.change(make, tell=False)

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*; costs one read when no message waits, or it was just recorded."""
        values = {"now": now, "least": queue.RECORD_EVERY_SECONDS}
        with self._database.finding() as connection:
            if connection.execute(moves.TO_RECORD, values).fetchone() is None:
                return Moment(now)

        def make(connection: PostgresConnection) -> Moment:
            connection.execute(sql.BY_INDEX)
            return queue.begin_drain(connection, now)

        return self._database.change(make, tell=False)

    def expire(self, now: int) -> list[int]:
        """Give up the messages that expired unsent; costs one read when there are none."""
        with self._database.finding() as connection:
            if connection.execute(moves.EXPIRING, {"now": now, "limit": 1}).fetchone() is None:
                return []
        return self._database.change(partial(queue.expire, now=now), tell=False)

    def rest_of_content(self, claimed: Claimed) -> Iterator[bytes]:
        """Yield the content after its head, READ_BYTES at most at once."""
        for number in range(1 if claimed.head or not claimed.size_bytes else 0, PIECES_PER_MESSAGE):
            place = claimed.outbox_id * PIECES_PER_MESSAGE + number
            for start in count(1, READ_BYTES):
                found = self._part(place, start)
                if found is None:
                    return
                if found[0]:
                    yield found[0]
                if len(found[0]) < READ_BYTES:
                    break

    def _part(self, place: int, start: int) -> tuple[bytes] | None:
        """Read a part of a content; in a new session where one was lost, for the message is on the wire."""
        for _ in range(READ_AGAIN):
            with suppress(SessionLost, OutboxBusy), self._database.reading() as connection:
                return self._read_part(connection, place, start)
            time.sleep(1)
        with self._database.reading() as connection:
            return self._read_part(connection, place, start)

    @staticmethod
    def _read_part(connection: PostgresConnection, place: int, start: int) -> tuple[bytes] | None:
        found: tuple[bytes] | None = connection.execute(_PART, (start, READ_BYTES, place)).fetchone()
        return found

    def _claiming(
        self, run: InFlight, most: int, make: Callable[[PostgresConnection, Claimant], _Claims], *,
        recording: bool = False,
    ) -> _Claims:  # fmt: skip
        """Run a change that claims up to *most* messages for *run*.

        recording: the change also records or gives back, which must not fail because nothing can be claimed.
        """
        numbers: list[int] = []
        with suppress(PrxEmailError) if recording else nullcontext():
            numbers = run.numbers(most) if most else []
        who = Claimant(run.run_id, self._domain, numbers)
        try:
            claims = self._database.change(lambda connection: make(connection, who), tell=False, session=self._session)
        except SessionLost:  # it may have been made: its slots stay taken, by which the next run gives it back
            raise
        except BaseException:
            run.began(numbers, [])
            raise
        run.began(numbers, [one for some in claims for one in some])
        return claims


def _is_recorded(connection: PostgresConnection, run_id: str, finished: Finished) -> bool:
    claimed = finished.claimed
    return connection.execute(sql.ATTEMPT_OF_RUN, (claimed.outbox_id, claimed.retries, run_id)).fetchone() is not None


def patiently(change: Callable[[], T]) -> T:
    """Return the result of *change*, which is repeated while others hold the lock, or the server starts."""
    for _ in range(PATIENCE):
        with suppress(OutboxBusy):
            return change()
        time.sleep(1)
    return change()
