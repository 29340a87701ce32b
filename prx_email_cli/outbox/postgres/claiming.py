"""Claim messages by statements on a connection, each inside its caller's transaction."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import Rollback

from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Limit
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.relational import sql as moves
from prx_email_cli.outbox.relational.claimed import claimed
from prx_email_cli.outbox.relational.database import Cursor
from prx_email_cli.outbox.relational.queue import check_one, refusal, values_of, within_limits


class Claimant(NamedTuple):
    """The run that claims, the domain of its Message-IDs, and the numbers of its next claims."""

    run: str
    domain: str
    numbers: Sequence[int]

    def values(self) -> dict[str, Any]:
        """Return what the statements that claim take."""
        return {"run": self.run, "domain": self.domain, "numbers": str(list(self.numbers))}


class Asked(NamedTuple):
    """A wish on its way to the server."""

    wish: ClaimNext
    numbers: Sequence[int]
    answer: Cursor

    def claims(self) -> list[Claimed]:
        """Return what was claimed, in the order of the drain; to be called once the pipeline has ended."""
        found = [claimed(row) for row in self.answer.fetchall()]
        return sorted(found, key=lambda one: self.numbers.index(one.claim))


def ask(connection: PostgresConnection, claimant: Claimant, wish: ClaimNext) -> Asked:
    """Claim the next due messages that *wish* admits, and for which there are numbers; its limits are not looked at."""
    numbers = claimant.numbers[: wish.most]
    values = {
        **claimant._replace(numbers=numbers).values(), "account": wish.account, "due_before": wish.due_before,
        "now": wish.now, "most": len(numbers),
    }  # fmt: skip
    return Asked(wish, numbers, connection.execute_soon(sql.CLAIM_NEXT, values))


def claim_next(connection: PostgresConnection, claimant: Claimant, wish: ClaimNext) -> list[Claimed]:
    """Claim the next due messages that *wish* and its locked limits admit, and for which there are numbers."""
    if not wish.limits:
        return ask(connection, claimant, wish).claims()
    claims: list[Claimed] = []  # one by one, for each counts against the limits
    for number in claimant.numbers[: wish.most]:
        if not within_limits(connection, wish):
            break
        one = _claim_within_limits(connection, claimant._replace(numbers=[number]), wish)
        if not one:
            break
        claims += one
    return claims


def lock_limits(connection: PostgresConnection, wishes: Sequence[ClaimNext]) -> None:
    """Keep others from claiming for the accounts whose limits these wishes have, until the transaction ends.

    All lock them in one order, so that no two wait for each other.
    """
    for account in sorted({wish.account for wish in wishes if wish.limits and wish.most}):
        connection.execute(sql.LOCK_LIMITS, (account,))


def _claim_within_limits(connection: PostgresConnection, claimant: Claimant, wish: ClaimNext) -> list[Claimed]:
    """Claim the next message, unless it has more recipients than the limits leave room for.

    It may be another than the one that was counted before: what others are changing is passed by.
    """
    of_recipients = [limit for limit in wish.limits if limit.of_recipients]
    if not of_recipients:
        return ask(connection, claimant, wish).claims()
    with connection.transaction() as part:
        claims = ask(connection, claimant, wish).claims()
        if not all(_admits(connection, limit, one, wish.now) for one in claims for limit in of_recipients):
            raise Rollback(part)
        return claims
    return []


def _admits(connection: PostgresConnection, limit: Limit, claimed: Claimed, now: int) -> bool:
    """Tell whether a limit of recipients has room for a message that was just claimed, beside all others."""
    values = {"account": claimed.account, "since": now - limit.seconds}
    (taken,) = connection.execute(moves.COUNT_RECIPIENTS_TAKEN, values).fetchone()
    (of_this,) = connection.execute(moves.RECIPIENTS_OF_ONE, {"id": claimed.outbox_id}).fetchone()
    return limit.admits(taken - of_this, len(claimed.targets))


def claim_one(connection: PostgresConnection, claimant: Claimant, wish: ClaimOne) -> Claimed:
    """Claim this message for ``retry``.  Raises what ``Run.claim_by_id`` does."""
    if wish.limits:
        connection.execute(sql.LOCK_LIMITS, (check_one(connection, wish._replace(limits=())),))
    check_one(connection, wish)
    found = connection.execute_soon(sql.CLAIM_ONE, {**claimant.values(), **values_of(wish)}).fetchone()
    if found is None:  # another run was quicker
        raise refusal(connection, wish.outbox_id, wish.now)
    return claimed(found, by_hand=True)
