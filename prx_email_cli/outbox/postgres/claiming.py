"""Claim messages by statements on a connection, each inside its caller's transaction."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.relational import accounts
from prx_email_cli.outbox.relational.claimed import claimed
from prx_email_cli.outbox.relational.queue import check_one, refusal, values_of, within_limits


class Claimant(NamedTuple):
    """The run that claims, the domain of its Message-IDs, and the numbers of its next claims."""

    run: str
    domain: str
    numbers: Sequence[int]

    def values(self) -> dict[str, Any]:
        """Return what the statements that claim take."""
        return {"run": self.run, "domain": self.domain, "numbers": str(list(self.numbers))}


def claim_next(connection: PostgresConnection, claimant: Claimant, wish: ClaimNext) -> list[Claimed]:
    """Claim the next due messages that *wish* admits, and for which there are numbers."""
    most = min(wish.most, len(claimant.numbers))
    if accounts.is_paused(connection, wish.account, wish.now):
        return []
    if not wish.limits:
        return _claim_next(connection, claimant, wish, most)
    connection.execute(sql.LOCK_LIMITS, (wish.account,))
    claims: list[Claimed] = []  # one by one, for each counts against the limits
    for number in claimant.numbers[:most]:
        if not within_limits(connection, wish):
            break
        one = _claim_next(connection, claimant._replace(numbers=[number]), wish, 1)
        if not one:
            break
        claims += one
    return claims


def _claim_next(connection: PostgresConnection, claimant: Claimant, wish: ClaimNext, most: int) -> list[Claimed]:
    claims: list[Claimed] = []
    for statement in sql.CLAIM_NEXT:
        left = claimant._replace(numbers=claimant.numbers[len(claims) : most])
        if not left.numbers:
            break
        values = {
            **left.values(), "account": wish.account, "due_before": wish.due_before, "now": wish.now,
            "most": len(left.numbers),
        }  # fmt: skip
        found = [claimed(row) for row in connection.execute(statement, values).fetchall()]
        claims += sorted(found, key=lambda one: left.numbers.index(one.claim))
    return claims


def claim_one(connection: PostgresConnection, claimant: Claimant, wish: ClaimOne) -> Claimed:
    """Claim this message for ``retry``.  Raises what ``Run.claim_by_id`` does."""
    if wish.limits:
        connection.execute(sql.LOCK_LIMITS, (check_one(connection, wish._replace(limits=())),))
    check_one(connection, wish)
    found = connection.execute(sql.CLAIM_ONE, {**claimant.values(), **values_of(wish)}).fetchone()
    if found is None:  # another run was quicker
        raise refusal(connection, wish.outbox_id, wish.now)
    return claimed(found, by_hand=True)
