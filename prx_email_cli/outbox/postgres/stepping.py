"""Make one step of a run: results in, claims out, inside the caller's transaction, at the cost of one answer."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from prx_email_cli.errors import ClaimLost
from prx_email_cli.outbox.messages import Claimed, ClaimNext, Finished
from prx_email_cli.outbox.postgres import claiming, settling, sql
from prx_email_cli.outbox.postgres.claiming import Asked, Claimant
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.relational import queue

_Lost = list[ClaimLost | None]


class Step(NamedTuple):
    """What a run records and gives back before it claims."""

    run_id: str
    finished: Sequence[Finished]
    returned: Sequence[Claimed]

    def make(
        self, connection: PostgresConnection, who: Claimant, wishes: Sequence[ClaimNext]
    ) -> tuple[_Lost, list[list[Claimed]]]:
        """Record, give back and claim; return for each attempt the error if it was lost, and the claims by wish."""
        together = not any(wish.limits for wish in wishes) and 0 < sum(wish.most for wish in wishes) <= len(who.numbers)
        with connection.pipeline():
            connection.execute(sql.BY_INDEX)
            settled = settling.begin(connection, self.run_id, self.finished) if self.finished else None
            if self.returned:
                queue.give_back(connection, self.run_id, self.returned)
            asked = _ask(connection, who, wishes) if together else []
        lost, looked = settled.end(connection) if settled else ([], False)
        claims = [one.claims() for one in asked] or [[] for _ in wishes]
        if looked or not together:  # an account that works again may have made more due
            _claim_more(connection, who, wishes, claims)
        return lost, claims


def _ask(connection: PostgresConnection, who: Claimant, wishes: Sequence[ClaimNext]) -> list[Asked]:
    """Send all wishes, each with numbers of its own."""
    starts = list(accumulate((wish.most for wish in wishes), initial=0))
    return [
        claiming.ask(connection, who._replace(numbers=who.numbers[start : start + wish.most]), wish)
        for start, wish in zip(starts, wishes, strict=False)
    ]


def _claim_more(
    connection: PostgresConnection, who: Claimant, wishes: Sequence[ClaimNext], claims: list[list[Claimed]]
) -> None:
    """Claim what *claims* lack of the wishes, one wish after the other."""
    claiming.lock_limits(connection, wishes)
    taken = {one.claim for some in claims for one in some}
    for wish, some in zip(wishes, claims, strict=True):
        left = [number for number in who.numbers if number not in taken][: wish.most - len(some)]
        if left:
            more = claiming.claim_next(connection, who._replace(numbers=left), wish)
            some += more
            taken.update(one.claim for one in more)
