"""Settle what dead runs of any machine had claimed."""

import json
from functools import partial
from typing import TYPE_CHECKING

from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import Recovered
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.schema import LOCK
from prx_email_cli.outbox.relational import sql as moves
from prx_email_cli.outbox.relational.recovery import Recovery, recover_run
from prx_email_cli.outbox.runs import Runs

if TYPE_CHECKING:
    from prx_email_cli.outbox.postgres.store import PostgresStore


def recover(store: "PostgresStore", runs: Runs, policy: RetryPolicy, now: int) -> Recovered:
    """Settle the messages that dead runs had claimed; see ``Run.recover``.  Costs two reads when there are none."""
    recovered = Recovered([], [], [])
    living = set(store.living())
    with store.reading() as connection:
        sending = [run for (run,) in connection.execute(moves.RUNS_SENDING)]
    dead = [run for run in sending if run not in living]
    for run in dead:
        with runs.flights_of(run, store.identity()) as flights:
            settle = partial(_recover_one, recovery=Recovery(run, flights, policy, now), store=store)
            some = store.change(settle, tell=False)
        if some is not None:
            recovered.uncertain.extend(some.uncertain)
            recovered.finished.extend(some.finished)
            recovered.given_back.extend(some.given_back)
    if dead:
        store.change(lambda connection: connection.execute(sql.CLEAR_DEAD, {"dead": json.dumps(dead)}), tell=False)
    return recovered


def _recover_one(connection: PostgresConnection, recovery: Recovery, store: "PostgresStore") -> Recovered | None:
    """Settle the messages of one dead run; None if it is not this machine's turn."""
    found = connection.execute(sql.NOTE_DEATH, {"run": recovery.run, "now": recovery.now}).fetchone()
    if found is not None:
        died_at, host, number = found
        if not connection.execute(sql.TRY_RECOVERING, (LOCK, number)).fetchone()[0]:
            return None
        if not recovery.flights.is_there and not store.may_recover(host, recovery.now - died_at):
            return None
    return recover_run(connection, recovery)
