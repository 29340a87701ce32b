"""Claim messages by statements on a connection, each inside its caller's transaction."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from prx_email_cli.errors import OutboxDamaged
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne
from prx_email_cli.outbox.relational import accounts
from prx_email_cli.outbox.relational.claimed import claimed
from prx_email_cli.outbox.relational.queue import check_one, values_of, within_limits
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection


class Claimant(NamedTuple):
    """The run that claims, the domain of its Message-IDs, and the numbers of its next claims."""

    run: str
    domain: str
    numbers: Sequence[int]

    def values(self) -> dict[str, Any]:
        """Return what the statements that claim take."""
        return {"run": self.run, "domain": self.domain, "numbers": str(list(self.numbers))}


def claim_next(connection: SqliteConnection, claimant: Claimant, wish: ClaimNext) -> list[Claimed]:
    """Claim the next due messages that *wish* admits, and for which there are numbers.

    Raises OutboxDamaged when the index and the rows do not agree on which those are, or one cannot be read.
    """
    most = min(wish.most, len(claimant.numbers))
    if accounts.is_paused(connection, wish.account, wish.now):
        return []
    if not wish.limits:
        return _claim_next(connection, claimant, wish, most)
    claimed: list[Claimed] = []  # one by one, for each counts against the limits
    for number in claimant.numbers[:most]:
        if not within_limits(connection, wish):
            break
        one = _claim_next(connection, claimant._replace(numbers=[number]), wish, 1)
        if not one:
            break
        claimed += one
    return claimed


def _claim_next(connection: SqliteConnection, claimant: Claimant, wish: ClaimNext, most: int) -> list[Claimed]:
    values = {**_values_of_next(claimant, wish), "most": most}
    found = connection.execute(sql.CLAIM_NEXT, values).fetchall()
    if len(found) < most and connection.execute(sql.NEXT, values).fetchone():
        raise OutboxDamaged("an index of the outbox is damaged")
    return sorted((claimed(row) for row in found), key=lambda one: claimant.numbers.index(one.claim))


def claim_this(
    connection: SqliteConnection, claimant: Claimant, wish: ClaimNext, outbox_id: int, *, unread: bool
) -> Claimed | None:
    """Claim this message; None when *wish* does not admit it.

    unread: leave content and recipients out, because the message is to be given up.
    Raises OutboxDamaged when it cannot be read, or the index knows it and there is no such row.
    """
    if accounts.is_paused(connection, wish.account, wish.now):
        return None
    values = {**_values_of_next(claimant, wish), "id": outbox_id}
    found = connection.execute(sql.CLAIM_THIS_UNREAD if unread else sql.CLAIM_THIS, values).fetchall()
    if not found and connection.execute(sql.ROW, (outbox_id,)).fetchone() is None:
        raise OutboxDamaged("its record is gone")
    return claimed(found[0]) if found else None


def _values_of_next(claimant: Claimant, wish: ClaimNext) -> dict[str, Any]:
    return {**claimant.values(), "account": wish.account, "due_before": wish.due_before, "now": wish.now}


def claim_one(connection: SqliteConnection, claimant: Claimant, wish: ClaimOne, *, unread: bool = False) -> Claimed:
    """Claim this message for ``retry``; *unread* as in ``claim_this``.  Raises what ``Run.claim_by_id`` does."""
    check_one(connection, wish)
    values = {**claimant.values(), **values_of(wish)}
    found = connection.execute(sql.CLAIM_ONE_UNREAD if unread else sql.CLAIM_ONE, values).fetchall()
    return claimed(found[0], by_hand=True)
