"""Record finished attempts, all by one statement, which asks the server only once."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from prx_email_cli.errors import ClaimLost
from prx_email_cli.outbox.lifecycle import Scope, code_class
from prx_email_cli.outbox.messages import Finished
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.many import as_json, rows_of
from prx_email_cli.outbox.relational import accounts, queue, sql
from prx_email_cli.outbox.relational.database import Cursor

# The columns of what is written, and their types: of messages, of their recipients, and of their attempts.
_ENDED = {
    "id": "BIGINT", "run": "TEXT", "claim": "BIGINT", "status": "TEXT", "message_id": "TEXT", "drained_from": "BIGINT",
    "retries": "BIGINT", "next_attempt_at": "BIGINT", "gave_up": "TEXT", "uncertain": "BOOLEAN", "held": "BOOLEAN",
    "now": "BIGINT", "sent_at": "BIGINT", "acceptance": "TEXT", "last_error": "TEXT", "error_code": "TEXT",
    "by_account": "BOOLEAN",
}  # fmt: skip
_ANSWER = {
    "id": "BIGINT", "number": "BIGINT", "status": "TEXT", "code": "INTEGER", "response": "TEXT", "uncertain": "BOOLEAN",
}  # fmt: skip
_ATTEMPT = {
    "outbox_id": "BIGINT", "retries": "BIGINT", "account": "TEXT", "run_id": "TEXT", "message_id": "TEXT",
    "started_at": "BIGINT", "finished_at": "BIGINT", "outcome": "TEXT", "code": "INTEGER", "enhanced": "TEXT",
    "response": "TEXT", "uncertain": "BOOLEAN", "counts": "BOOLEAN", "dialogue": "TEXT", "recipients": "BIGINT",
}  # fmt: skip

SETTLE = f"""
-- sending -> sent|failed, with recipients, attempts and their counts: each whose claim this run still holds; reads
-- which those were, and whether an account is failing
WITH ended AS MATERIALIZED ({rows_of("ended", _ENDED)}),
     mine AS ({sql.END_CLAIMS} RETURNING outbox.id),
     answer AS (SELECT one.* FROM ({rows_of("answers", _ANSWER)}) AS one WHERE id = ANY (ARRAY(SELECT id FROM mine))),
     answered AS ({sql.RECORD_ANSWERS}),
     counted AS MATERIALIZED (
         SELECT one.* FROM ({rows_of("attempts", {**_ATTEMPT, "code_class": "INTEGER"})}) AS one
          WHERE outbox_id = ANY (ARRAY(SELECT id FROM mine))),
     recorded AS (INSERT INTO attempt ({", ".join(_ATTEMPT)}) SELECT {", ".join(_ATTEMPT)} FROM counted),
     slots AS (
         INSERT INTO attempted_slot (account, outcome, code_class, attempts, latest_at)
         SELECT account, outcome, code_class, count(*), (SELECT max(finished_at) FROM counted)
           FROM counted GROUP BY account, outcome, code_class ORDER BY account, outcome, code_class
             ON CONFLICT (account, outcome, code_class, slot)
             DO UPDATE SET attempts = attempted_slot.attempts + excluded.attempts,
                           latest_at = greatest(attempted_slot.latest_at, excluded.latest_at))
SELECT CAST(coalesce(json_agg(id), '[]') AS TEXT), EXISTS ({accounts.FAILING}) FROM mine
"""


class Settling(NamedTuple):
    """Finished attempts on their way to the server."""

    finished: Sequence[Finished]
    asked: Cursor

    def end(self, connection: PostgresConnection) -> tuple[list[ClaimLost | None], bool]:
        """Take in what the server answered, and what the attempts show of their accounts.

        Returns for each attempt the error if it was no longer the run's to record, else None; and whether the states
        of accounts have been looked at.
        """
        found, failing = self.asked.fetchone()
        ours = set(json.loads(found))
        lost: list[ClaimLost | None] = []
        ending: list[Finished] = []
        for one in self.finished:
            mine = one.claimed.outbox_id in ours
            ours.discard(one.claimed.outbox_id)
            lost.append(None if mine else queue.no_longer_ours(one.claimed.outbox_id))
            if mine:
                ending.append(one)
        looked = failing or any(one.outcome.scope is Scope.ACCOUNT for one in ending)
        if looked:
            accounts.note(connection, ending)
        return lost, looked


def begin(connection: PostgresConnection, run_id: str, finished: Sequence[Finished]) -> Settling:
    """Send finished attempts to be recorded; in a pipeline, the answer is there once that has ended."""
    once = {one.claimed.outbox_id: one for one in reversed(finished)}.values()
    values = {
        "ended": as_json([queue.row_of(one, run_id) for one in once]),
        "answers": as_json([
            queue.recipient_of(one.claimed.outbox_id, *item) for one in once for item in one.outcome.recipients.items()
        ]),
        "attempts": as_json([_attempt_of(one, run_id) for one in once]),
    }  # fmt: skip
    return Settling(finished, connection.execute_soon(SETTLE, values))


def settle(connection: PostgresConnection, run_id: str, finished: Sequence[Finished]) -> list[ClaimLost | None]:
    """Record finished attempts; return for each the error if it is no longer *run_id*'s to record, else None."""
    lost, _ = begin(connection, run_id, finished).end(connection)
    return lost


def _attempt_of(finished: Finished, run_id: str) -> dict[str, Any]:
    row = queue.attempt_of(finished, run_id)
    return {**row, "code_class": code_class(row["outcome"], row["code"])}
