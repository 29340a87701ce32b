"""Faults that are put into the program on purpose, to show that the simulation finds them."""

from __future__ import annotations

from heapq import heappush
from typing import Any

import pytest

from prx_email_cli.outbox.flight_record import SLOTS
from prx_email_cli.outbox.in_flight import InFlight
from prx_email_cli.outbox.relational import sql
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection
from prx_email_cli.smtp.transaction import Transaction

from .scenario import Fault


def reuse_a_slot_early(patch: pytest.MonkeyPatch) -> None:
    """Let the next claims have a slot of the flight record before the end of its claim is durable."""
    began, free = InFlight.began, InFlight._free_slot

    def wrapped(self: InFlight, numbers: Any, claims: Any) -> None:
        began(self, numbers, claims)
        for one in claims:
            heappush(self._free, one.claim % SLOTS)

    def free_once(self: InFlight, number: int) -> None:
        if number % SLOTS in self._free:
            del self._taken[number]
        else:
            free(self, number)

    patch.setattr(InFlight, "began", wrapped)
    patch.setattr(InFlight, "_free_slot", free_once)


def give_back_after_the_dot(patch: pytest.MonkeyPatch) -> None:
    """Take a message whose connection was lost after the final dot for one that was left alone."""
    result_of = Transaction._result

    def wrapped(self: Transaction, lost: Any) -> Any:
        result = result_of(self, lost)
        return result._replace(recipients={}, left_alone=True) if lost is not None and self._dot_written else result

    patch.setattr(Transaction, "_result", wrapped)


def finalize_without_its_run(patch: pytest.MonkeyPatch) -> None:
    """Record a result whichever run holds the message by now."""
    guard = "run_id = ended.run AND "
    assert guard in sql.FINALIZE
    patch.setattr(sql, "FINALIZE", sql.FINALIZE.replace(guard, ""))
    spelling, guard = SqliteConnection.spelling, " AND run_id = :run"
    assert guard in spelling.ours
    patch.setattr(SqliteConnection, "spelling", spelling._replace(ours=spelling.ours.replace(guard, "")))


def wait_for_no_other_machine(patch: pytest.MonkeyPatch) -> None:
    """Settle at once what another machine's run had in hand when it lost its session."""
    from prx_email_cli.outbox.postgres.store import PostgresStore  # on use

    patch.setattr(PostgresStore, "has_waited", lambda store, dead_for: True)


def do_it_again_without_an_answer(patch: pytest.MonkeyPatch) -> None:
    """Take a change for undone of whose COMMIT no answer came."""
    from prx_email_cli.outbox.postgres.store import PostgresStore  # on use

    patch.setattr(PostgresStore, "_is_made", lambda store, number: False)


FAULTS_OF_MACHINES: dict[Fault, int] = {wait_for_no_other_machine: 7, do_it_again_without_an_answer: 3}
"""Faults in PostgreSQL's store, each with the seed from which on it is looked for, since a seed takes its time."""

FAULTS: tuple[Fault, ...] = (reuse_a_slot_early, give_back_after_the_dot, finalize_without_its_run)
