"""Settle what dead runs of any machine had claimed."""

import json
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.flight_record import Flights
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
    recorded = runs.recorded()  # all of this in the order in which a run that begins meanwhile counts as alive
    with store.finding() as connection:
        sending = [run for (run,) in connection.execute(moves.RUNS_SENDING)]
    known = store.runs()
    for run in [run for run in sending if not known.get(run)]:
        with runs.flights_of(run, store.identity()) as flights:
            settle = partial(_recover_one, recovery=Recovery(run, flights, policy, now), store=store)
            some = store.change(settle, tell=False)
        if some is not None:
            recovered.uncertain.extend(some.uncertain)
            recovered.finished.extend(some.finished)
            recovered.given_back.extend(some.given_back)
    dead = [run for run, lives in known.items() if not lives]
    if dead:
        store.change(lambda connection: connection.execute(sql.CLEAR_DEAD, {"dead": json.dumps(dead)}), tell=False)
    _remove_records(store, runs, [run for run in recorded if not known.get(run)])
    return recovered


def _remove_records(store: "PostgresStore", runs: Runs, dead: list[str]) -> None:
    """Remove the flight records of those dead runs that hold nothing any more."""
    if not dead:
        return
    with store.finding() as connection:
        sending = {run for (run,) in connection.execute(moves.RUNS_SENDING)}
    for run in dead:
        if run not in sending:
            with suppress(OSError, PrxEmailError):
                runs.remove_flight_record(run)


def _recover_one(connection: PostgresConnection, recovery: Recovery, store: "PostgresStore") -> Recovered | None:
    """Settle the messages of one dead run; None if it is not this machine's turn.

    A run that lost its session and whose process lives may be about to send: it is given time to settle them itself.
    """
    found = connection.execute(sql.NOTE_DEATH, {"run": recovery.run, "now": recovery.now}).fetchone()
    died_at, host, number = found or (recovery.now, "", 0)
    if found is not None and not connection.execute(sql.TRY_RECOVERING, (LOCK, number)).fetchone()[0]:
        return None
    has_waited = store.has_waited(recovery.now - died_at)
    if recovery.flights.in_use:
        unknown = recovery._replace(flights=Flights(None, recovery.run, ""))
        return recover_run(connection, unknown) if has_waited else None
    if found is not None and not recovery.flights.is_there and not has_waited and not store.is_here(host):
        return None
    return recover_run(connection, recovery)
