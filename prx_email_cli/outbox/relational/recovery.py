"""Settle the messages that a dead run had claimed, by its flight record, inside the caller's transaction."""

from typing import Any, NamedTuple

from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.flight_record import Flight, Flights, Stage
from prx_email_cli.outbox.lifecycle import Ending, Outcome, RetryPolicy, after_crash
from prx_email_cli.outbox.messages import Finished, Moment, Recovered
from prx_email_cli.outbox.relational import attempts, sql
from prx_email_cli.outbox.relational.claimed import claimed
from prx_email_cli.outbox.relational.database import Connection
from prx_email_cli.outbox.relational.queue import WHOLE, Parts, finalize, settle_recipients, stands_without_recipients

DIED = "the run that was delivering it died; the provider may have accepted it"


class Recovery(NamedTuple):
    """The dead run whose messages are settled, its record, the rules, and the time."""

    run: str
    flights: Flights
    policy: RetryPolicy
    now: int


class _Row(NamedTuple):
    """A row of ``sql.ROWS_OF_RUN``.  claim: the claim's number; where a damaged row has none, it may be anything."""

    outbox_id: int
    account: str
    retries: int
    message_id: str
    claimed_at: int
    by_hand: int
    claim: object


def recover_run(
    connection: Connection, recovery: Recovery, *, only: int | None = None, parts: Parts = WHOLE
) -> Recovered:
    """Settle the messages that a dead run left in ``sending``.

    only: this message alone.  parts: what to write beside its row, which damage may prevent.
    """
    recovered = Recovered([], [], [])
    rows = connection.execute(sql.ROWS_OF_RUN, {"run": recovery.run, "only": only}).fetchall()
    for row in map(_Row._make, rows):
        flight = recovery.flights.of(row.claim) if isinstance(row.claim, int) else Flight(Stage.UNKNOWN)
        finished = _finished(connection, recovery, row, flight)
        if flight.stage is Stage.NOT_ENDED:
            values = {"id": row.outbox_id, "run": recovery.run, "claim": row.claim}
            if connection.execute(sql.GIVE_BACK, values).rowcount == 1:
                recovered.given_back.append(row.outbox_id)
        elif finished is not None and (parts.recipients or stands_without_recipients(finished)):
            finalize(connection, recovery.run, finished, parts=parts)
            recovered.finished.append(finished)
        elif _doubt(connection, recovery, row, flight.outcome if flight.stage is Stage.UNANSWERED else None, parts):
            recovered.uncertain.append(row.outbox_id)
    return recovered


def _finished(connection: Connection, recovery: Recovery, row: _Row, flight: Flight) -> Finished | None:
    """Apply the rules to an answered attempt; None if it was not answered, or its recipients cannot be read."""
    if flight.stage is not Stage.ANSWERED or flight.outcome is None:
        return None
    found = connection.execute(
        connection.spelling.claimed_before, {"id": row.outbox_id, "run": recovery.run}
    ).fetchone()
    if found is None:
        return None
    before = claimed(found, by_hand=bool(row.by_hand))
    known = {target.number for target in (*before.targets, *before.others)}
    if not known or not known.issuperset(flight.outcome.recipients):
        return None
    return finish(before, flight.outcome, recovery.policy, Moment(flight.at))


def _doubt(connection: Connection, recovery: Recovery, row: _Row, unanswered: Outcome | None, parts: Parts) -> bool:
    """Record that a message may have been sent; False if the run does not hold it, whatever the index says.

    unanswered: the attempt as it stood; it names the uncertain recipients.  Without it those are all that it addressed.
    """
    settled = after_crash(row.retries, recovery.policy, recovery.now)
    values = {
        "id": row.outbox_id, "run": recovery.run, "retries": settled.retries, "now": recovery.now,
        "held": settled.held, "next_attempt_at": settled.next_attempt_at, "last_error": DIED,
    }  # fmt: skip
    if connection.execute(sql.RECOVER, values).rowcount != 1:
        return False
    doubtful = _doubt_recipients(connection, row, unanswered) if parts.recipients else 0
    if parts.history:
        attempts.record(connection, [{
            "outbox_id": row.outbox_id, "retries": row.retries, "account": row.account, "run_id": recovery.run,
            "message_id": row.message_id, "started_at": row.claimed_at, "finished_at": recovery.now,
            "outcome": Ending.DIED, "code": None, "enhanced": None, "response": DIED, "uncertain": True,
            "counts": True, "dialogue": None, "recipients": doubtful,
        }])  # fmt: skip
    return True


def _doubt_recipients(connection: Connection, row: _Row, unanswered: Outcome | None) -> int:
    """Mark recipients as uncertain, and record what the server answered to RCPT for the others; count the former."""
    values: dict[str, Any] = {"id": row.outbox_id, "by_hand": bool(row.by_hand), "all": True, "numbers": "[]"}
    if unanswered is not None and unanswered.uncertain:
        certain = {number: one for number, one in unanswered.recipients.items() if not one.uncertain}
        settle_recipients(connection, row.outbox_id, certain)
        values["all"] = False
        values["numbers"] = str([number for number in unanswered.recipients if number not in certain])
    return connection.execute(sql.DOUBT_RECIPIENTS, values).rowcount
