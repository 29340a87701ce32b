"""Move messages by statements on a connection, each inside its caller's transaction."""

import sqlite3
from typing import Any, NamedTuple

from prx_email_cli.errors import (
    ClaimLost,
    LimitUsedUp,
    NotAllowedForStatus,
    NotFound,
    OutboxDamaged,
    PrxEmailError,
    RetryNotDue,
)
from prx_email_cli.outbox.lifecycle import (
    Ending,
    RecipientStatus,
    RetryPolicy,
    Status,
    Verdict,
    after_crash,
    clock_in_doubt,
)
from prx_email_cli.outbox.messages import (
    Claimed,
    ClaimNext,
    ClaimOne,
    Finished,
    Limit,
    Moment,
)
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.claimed import claimed

RECORD_EVERY_SECONDS = 60  # so old may the recorded start of a drain be: a follower looks every second
DIED = "the run that was delivering it died; the provider may have accepted it"


class Claimant(NamedTuple):
    """The run that claims, and the domain of its Message-IDs."""

    run: str
    domain: str


class Recovery(NamedTuple):
    """The dead run whose messages are settled, by which rules, and when."""

    run: str
    policy: RetryPolicy
    now: int


class Parts(NamedTuple):
    """What is written beside a message's row when its attempt is over: the attempt's row, and its recipients' rows."""

    history: bool = True
    recipients: bool = True


WHOLE = Parts()


def claim_next(connection: sqlite3.Connection, claimant: Claimant, wish: ClaimNext) -> Claimed | None:
    """Claim the longest-due message that *wish* admits; None when there is none.

    Raises OutboxDamaged when the index and the rows do not agree on which that is, or it cannot be read.
    """
    if not within_limits(connection, wish):
        return None
    values = _values_of_next(claimant, wish)
    found = connection.execute(sql.CLAIM_NEXT, values).fetchall()
    if not found and connection.execute(sql.NEXT, values).fetchone():
        raise OutboxDamaged("an index of the outbox is damaged")
    return claimed(found[0], wish.now) if found else None


def claim_this(
    connection: sqlite3.Connection, claimant: Claimant, wish: ClaimNext, outbox_id: int, *, unread: bool
) -> Claimed | None:
    """Claim this message; None when *wish* does not admit it.

    unread: leave content and recipients out, because the message is to be given up.
    Raises OutboxDamaged when it cannot be read, or the index knows it and there is no such row.
    """
    values = {**_values_of_next(claimant, wish), "id": outbox_id}
    found = connection.execute(sql.CLAIM_THIS_UNREAD if unread else sql.CLAIM_THIS, values).fetchall()
    if not found and connection.execute(sql.ROW, (outbox_id,)).fetchone() is None:
        raise OutboxDamaged("its record is gone")
    return claimed(found[0], wish.now) if found else None


def _values_of_next(claimant: Claimant, wish: ClaimNext) -> dict[str, Any]:
    return {**claimant._asdict(), "account": wish.account, "due_before": wish.due_before, "now": wish.now}


def check_one(connection: sqlite3.Connection, wish: ClaimOne) -> str:
    """Return the account of the message, or raise what ``claim_one`` would; changes nothing."""
    found = connection.execute(sql.CLAIMABLE, _values(wish)).fetchone()
    if found is None:
        raise refusal(connection, wish.outbox_id, wish.now)
    account = str(found[0])
    for limit in wish.limits:
        if not _has_room(connection, account, limit, wish.now, (sql.RECIPIENTS_OF_ONE, {"id": wish.outbox_id})):
            what = "recipients" if limit.of_recipients else "messages"
            raise LimitUsedUp(
                f"account {account} has used up its limit: {limit.most} {what} in {limit.seconds} s",
                hint="wait, or raise the limit in the config if the provider allows more",
            )
    return account


def claim_one(connection: sqlite3.Connection, claimant: Claimant, wish: ClaimOne, *, unread: bool = False) -> Claimed:
    """Claim this message for ``retry``; *unread* as in ``claim_this``.  Raises what ``Run.claim_by_id`` does."""
    check_one(connection, wish)
    values = {**claimant._asdict(), **_values(wish)}
    found = connection.execute(sql.CLAIM_ONE_UNREAD if unread else sql.CLAIM_ONE, values).fetchall()
    return claimed(found[0], wish.now, by_hand=True)


def _values(wish: ClaimOne) -> dict[str, Any]:
    return {"id": wish.outbox_id, "now": wish.now, "force": wish.force}


def refusal(connection: sqlite3.Connection, outbox_id: int, now: int) -> PrxEmailError:
    """Make the error for a message that could not be claimed for ``retry``, in the order of ``Run.claim_by_id``."""
    found = connection.execute(sql.STATUS_OF, (outbox_id,)).fetchone()
    if found is None:
        return NotFound("outbox record not found", hint=f"there is no {outbox_id}: prx-email list shows the ids")
    status, due, pruned_at, held_at = found
    if status not in (Status.PENDING, Status.FAILED):
        return NotAllowedForStatus(
            f"outbox message {outbox_id} is {status}: only pending and failed ones are retried",
            hint=f"prx-email show {outbox_id} tells what happened to it",
        )
    if pruned_at is not None:
        return NotAllowedForStatus(
            f"the content of outbox message {outbox_id} was pruned", hint="send it anew from where it came"
        )
    if held_at is not None:
        return NotAllowedForStatus(
            f"outbox message {outbox_id} is held",
            hint=f"prx-email release {outbox_id} lets drains take it again; --force tries it now",
        )
    return RetryNotDue(
        "retry_not_due", hint=f"outbox message {outbox_id} is due in {due - now} s; --force tries it now"
    )


def finalize(connection: sqlite3.Connection, run_id: str, finished: Finished, *, parts: Parts = WHOLE) -> None:
    """Record a finished attempt, if it is still *run_id*'s to record; raises ClaimLost otherwise.

    parts: what to write beside the message's row, which damage may prevent.
    """
    claimed, outcome, settled = finished.claimed, finished.outcome, finished.settled
    sent = finished.verdict is Verdict.SENT
    values = {
        "id": claimed.outbox_id, "run": run_id, "claimed_retries": claimed.retries, "status": settled.status,
        "retries": settled.retries, "next_attempt_at": settled.next_attempt_at, "gave_up": settled.gave_up,
        "uncertain": settled.uncertain, "held": settled.held, "now": finished.finished_at,
        "sent_at": finished.finished_at if sent else None, "acceptance": outcome.acceptance,
        "last_error": finished.detail, "error_code": finished.error,
    }  # fmt: skip
    if connection.execute(sql.FINALIZE, values).rowcount != 1:
        raise ClaimLost(
            f"outbox message {claimed.outbox_id} is no longer this run's: its result was not recorded",
            hint=f"prx-email show {claimed.outbox_id} tells who has it",
        )
    for number, result in outcome.recipients.items() if parts.recipients else ():
        connection.execute(
            sql.SETTLE_RECIPIENT,
            {"id": claimed.outbox_id, "number": number, "status": result.status, "code": result.code,
             "response": result.response, "uncertain": result.uncertain},
        )  # fmt: skip
    if not parts.history:
        return
    connection.execute(sql.RECORD_ATTEMPT, {
        "outbox_id": claimed.outbox_id, "retries": claimed.retries, "account": claimed.account, "run_id": run_id,
        "message_id": claimed.message_id, "started_at": claimed.started_at, "finished_at": finished.finished_at,
        "outcome": finished.verdict, "code": outcome.code, "enhanced": outcome.enhanced,
        "response": outcome.response, "uncertain": outcome.uncertain, "counts": outcome.counts,
        "dialogue": outcome.dialogue, "recipients": outcome.reached,
    })  # fmt: skip


def stands_without_recipients(finished: Finished) -> bool:
    """Tell whether nobody gets the message twice if the rows of its recipients stay as they are."""
    reached = any(result.uncertain or result.status is RecipientStatus.ACCEPTED
                  for result in finished.outcome.recipients.values())  # fmt: skip
    return finished.verdict is Verdict.SENT or not reached


def finalize_or_lose(connection: sqlite3.Connection, run_id: str, finished: Finished) -> ClaimLost | None:
    """Record a finished attempt; return the error if it was not recorded, else None."""
    try:
        finalize(connection, run_id, finished)
    except ClaimLost as lost:
        return lost
    return None


def within_limits(connection: sqlite3.Connection, wish: ClaimNext, this: int | None = None) -> bool:
    """Tell whether the account's limits leave room for the next message, or *this*; run in the claim's transaction."""
    values = {"account": wish.account, "due_before": wish.due_before, "now": wish.now}
    recipients = (sql.RECIPIENTS_OF_NEXT, values) if this is None else (sql.RECIPIENTS_OF_ONE, {"id": this})
    return all(_has_room(connection, wish.account, limit, wish.now, recipients) for limit in wish.limits)


def _has_room(
    connection: sqlite3.Connection, account: str, limit: Limit, now: int, recipients: tuple[str, dict[str, Any]]
) -> bool:
    """Whether *limit* has room for the message whose recipients that statement counts."""
    values = {"account": account, "since": now - limit.seconds}
    if not limit.of_recipients:
        return limit.admits(connection.execute(sql.COUNT_TAKEN, values).fetchone()[0])
    taken = connection.execute(sql.COUNT_RECIPIENTS_TAKEN, values).fetchone()[0]
    return limit.admits(taken, connection.execute(*recipients).fetchone()[0])


def ids(cursor: sqlite3.Cursor) -> list[int]:
    """Return the ids that a statement gave."""
    return [outbox_id for (outbox_id,) in cursor.fetchall()]


def expire(connection: sqlite3.Connection, now: int, *, only: int | None = None) -> list[int]:
    """Give up the messages (*only* this one, if given) that expired unsent; return their ids."""
    return ids(connection.execute(sql.EXPIRE, {"now": now, "only": only}))


def tell(connection: sqlite3.Connection, outbox_id: int, now: int) -> bool:
    """Mark a given-up message as reported; False if it was before."""
    return connection.execute(sql.TELL, {"id": outbox_id, "now": now}).rowcount == 1


def begin_drain(connection: sqlite3.Connection, now: int) -> Moment:
    """Record that a drain begins at *now*, and tell whether its clock is in doubt."""
    recorded_at = connection.execute(sql.RECORDED_AT).fetchone()[0]
    connection.execute(sql.RECORD_MOMENT, {"now": now, "least": RECORD_EVERY_SECONDS})
    return Moment(now, clock_in_doubt(recorded_at, now))


def recover_run(
    connection: sqlite3.Connection, recovery: Recovery, *, only: int | None = None, parts: Parts = WHOLE
) -> list[int]:
    """Settle the messages that a dead run left in ``sending``; return their ids.

    only: this message alone.
    """
    run, policy, now = recovery
    recovered = []
    rows = connection.execute(sql.ROWS_OF_RUN, {"run": run, "only": only}).fetchall()
    for outbox_id, account, retries, message_id, claimed_at in rows:
        settled = after_crash(retries, policy, now)
        values = {
            "id": outbox_id, "run": run, "retries": settled.retries, "now": now, "held": settled.held,
            "next_attempt_at": settled.next_attempt_at, "last_error": DIED,
        }  # fmt: skip
        if connection.execute(sql.RECOVER, values).rowcount == 1:
            doubtful = connection.execute(sql.DOUBT_RECIPIENTS, {"id": outbox_id}).rowcount if parts.recipients else 0
            recovered.append(outbox_id)
            if not parts.history:
                continue
            connection.execute(sql.RECORD_ATTEMPT, {
                "outbox_id": outbox_id, "retries": retries, "account": account, "run_id": run,
                "message_id": message_id, "started_at": claimed_at, "finished_at": now, "outcome": Ending.DIED,
                "code": None, "enhanced": None, "response": DIED, "uncertain": True, "counts": True, "dialogue": None,
                "recipients": doubtful,
            })  # fmt: skip
    return recovered
