"""Move messages by statements on a connection, each inside its caller's transaction."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from prx_email_cli.errors import (
    ClaimLost,
    LimitUsedUp,
    NotAllowedForStatus,
    NotFound,
    PrxEmailError,
    RetryNotDue,
)
from prx_email_cli.outbox.lifecycle import (
    RecipientResult,
    RecipientStatus,
    Scope,
    Status,
    Verdict,
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
from prx_email_cli.outbox.relational import accounts, attempts, sql
from prx_email_cli.outbox.relational.database import Connection, Cursor
from prx_email_cli.outbox.relational.rows import write_rows

RECORD_EVERY_SECONDS = 60  # so old may the recorded start of a drain be: a follower looks every second


class Parts(NamedTuple):
    """What is written beside a message's row when its attempt is over: the attempt's row, and its recipients' rows."""

    history: bool = True
    recipients: bool = True


WHOLE = Parts()


def check_one(connection: Connection, wish: ClaimOne) -> str:
    """Return the account of the message, or raise what ``claim_one`` would; changes nothing."""
    found = connection.execute(sql.CLAIMABLE, values_of(wish)).fetchone()
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


def values_of(wish: ClaimOne) -> dict[str, Any]:
    """Return what the statements on one message take."""
    return {"id": wish.outbox_id, "now": wish.now, "force": wish.force}


def refusal(connection: Connection, outbox_id: int, now: int) -> PrxEmailError:
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


def finalize(connection: Connection, run_id: str, finished: Finished, *, parts: Parts = WHOLE) -> None:
    """Record a finished attempt, if it is still *run_id*'s to record; raises ClaimLost otherwise.

    parts: what to write beside the message's row, which damage may prevent.
    """
    (lost,) = finalize_all(connection, run_id, [finished], parts=parts)
    if lost is not None:
        raise lost


def finalize_all(
    connection: Connection, run_id: str, finished: Sequence[Finished], *, parts: Parts = WHOLE
) -> list[ClaimLost | None]:
    """Record finished attempts; return for each the error if it is no longer *run_id*'s to record, else None."""
    asked = {"ids": str([one.claimed.outbox_id for one in finished]), "run": run_id}
    ours = dict(json.loads(connection.execute(connection.spelling.ours, asked).fetchone()[0]))
    ending: list[Finished] = []
    lost: list[ClaimLost | None] = []
    for one in finished:
        outbox_id, number = one.claimed.outbox_id, one.claimed.claim
        mine = ours.pop(outbox_id, None) == number
        lost.append(None if mine else no_longer_ours(outbox_id))
        if mine:
            ending.append(one)
    write_rows(connection, sql.FINALIZE, [row_of(one, run_id) for one in ending])
    if parts.recipients:
        settled = [recipient_of(one.claimed.outbox_id, *item) for one in ending
                   for item in one.outcome.recipients.items()]  # fmt: skip
        write_rows(connection, sql.SETTLE_RECIPIENTS, settled)
    if parts.history and ending:
        attempts.record(connection, [attempt_of(one, run_id) for one in ending])
        accounts.note(connection, ending)
    return lost


def no_longer_ours(outbox_id: int) -> ClaimLost:
    """Return the error for a result that is not recorded, because the claim is another run's by now."""
    return ClaimLost(
        f"outbox message {outbox_id} is no longer this run's: its result was not recorded",
        hint=f"prx-email show {outbox_id} tells who has it",
    )


def row_of(finished: Finished, run_id: str) -> dict[str, Any]:
    """Return what ends the claim of a finished attempt."""
    claimed, settled = finished.claimed, finished.settled
    return {
        "id": claimed.outbox_id, "run": run_id, "claim": claimed.claim, "status": settled.status,
        "message_id": claimed.message_id, "drained_from": claimed.drained_from,
        "retries": settled.retries, "next_attempt_at": settled.next_attempt_at, "gave_up": settled.gave_up,
        "uncertain": settled.uncertain, "held": settled.held, "now": finished.finished_at,
        "sent_at": finished.finished_at if finished.verdict is Verdict.SENT else None,
        "acceptance": finished.outcome.acceptance, "last_error": finished.detail, "error_code": finished.error,
        "by_account": finished.outcome.scope is Scope.ACCOUNT,
    }  # fmt: skip


def recipient_of(outbox_id: int, number: int, result: RecipientResult) -> dict[str, Any]:
    """Return what records the answer for a recipient."""
    return {"id": outbox_id, "number": number, "status": result.status, "code": result.code,
            "response": result.response, "uncertain": result.uncertain}  # fmt: skip


def attempt_of(finished: Finished, run_id: str) -> dict[str, Any]:
    """Return the row of a finished attempt."""
    claimed, outcome = finished.claimed, finished.outcome
    return {
        "outbox_id": claimed.outbox_id, "retries": claimed.retries, "account": claimed.account, "run_id": run_id,
        "message_id": claimed.message_id, "started_at": claimed.started_at, "finished_at": finished.finished_at,
        "outcome": finished.verdict, "code": outcome.code, "enhanced": outcome.enhanced,
        "response": outcome.response, "uncertain": outcome.uncertain, "counts": outcome.counts,
        "dialogue": outcome.dialogue, "recipients": outcome.reached,
    }  # fmt: skip


def settle_recipients(connection: Connection, outbox_id: int, results: Mapping[int, RecipientResult]) -> None:
    """Record results of recipients, by their numbers."""
    write_rows(connection, sql.SETTLE_RECIPIENTS, [recipient_of(outbox_id, *one) for one in results.items()])


def give_back(connection: Connection, run_id: str, claimed: Sequence[Claimed]) -> None:
    """Undo these claims; a row that is no longer *run_id*'s stays as it is."""
    rows = [{"id": one.outbox_id, "run": run_id, "claim": one.claim} for one in claimed]
    connection.executemany(sql.GIVE_BACK, rows)


def stands_without_recipients(finished: Finished) -> bool:
    """Tell whether nobody gets the message twice if the rows of its recipients stay as they are."""
    reached = any(result.uncertain or result.status is RecipientStatus.ACCEPTED
                  for result in finished.outcome.recipients.values())  # fmt: skip
    return finished.verdict is Verdict.SENT or not reached


def within_limits(connection: Connection, wish: ClaimNext, this: int | None = None) -> bool:
    """Tell whether the account's limits leave room for the next message, or *this*; run in the claim's transaction."""
    values = {"account": wish.account, "due_before": wish.due_before, "now": wish.now}
    recipients = (
        (connection.spelling.recipients_of_next, values) if this is None else (sql.RECIPIENTS_OF_ONE, {"id": this})
    )
    return all(_has_room(connection, wish.account, limit, wish.now, recipients) for limit in wish.limits)


def _has_room(
    connection: Connection, account: str, limit: Limit, now: int, recipients: tuple[str, dict[str, Any]]
) -> bool:
    """Whether *limit* has room for the message whose recipients that statement counts."""
    values = {"account": account, "since": now - limit.seconds}
    if not limit.of_recipients:
        return limit.admits(connection.execute(sql.COUNT_TAKEN, values).fetchone()[0])
    taken = connection.execute(sql.COUNT_RECIPIENTS_TAKEN, values).fetchone()[0]
    return limit.admits(taken, connection.execute(*recipients).fetchone()[0])


def accounts_waiting(reading: Callable[[], AbstractContextManager[Connection]], next_account: str) -> list[str]:
    """Return the names of the accounts with messages for drains, due or not.

    next_account: the statement that reads the first account after another one.
    """
    names: list[str] = []
    with reading() as connection:
        while True:
            found = connection.execute(next_account, {"after": names[-1] if names else ""}).fetchone()
            if found is None:
                return names
            names.append(found[0])


def ids(cursor: Cursor) -> list[int]:
    """Return the ids that a statement gave."""
    return [outbox_id for (outbox_id,) in cursor.fetchall()]


def expire(connection: Connection, now: int, *, only: int | None = None) -> list[int]:
    """Give up the messages (*only* this one, if given) that expired unsent; return their ids."""
    return ids(connection.execute(sql.EXPIRE, {"now": now, "only": only}))


def tell(connection: Connection, outbox_id: int, now: int) -> bool:
    """Mark a given-up message as reported; False if it was before."""
    return connection.execute(sql.TELL, {"id": outbox_id, "now": now}).rowcount == 1


def begin_drain(connection: Connection, now: int) -> Moment:
    """Record that a drain begins at *now*, and tell whether its clock is in doubt."""
    recorded_at = connection.execute(sql.RECORDED_AT).fetchone()[0]
    connection.execute(sql.RECORD_MOMENT, {"now": now, "least": RECORD_EVERY_SECONDS})
    return Moment(now, clock_in_doubt(recorded_at, now))
