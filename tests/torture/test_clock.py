"""The clock steps back and forth between drains, some of which are killed."""

import random
from typing import NamedTuple

from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .conftest import size
from .field import Field

NOW = 2_000_000_000
# An odd number, so that of some message one recipient is deferred and the other is not.
DEFERRING = [Fault("rcpt", "451 4.3.0 later", times=61), Fault("after_dot", "451 4.3.0 later", times=20, skip=20)]
POINTS = ("claim, after COMMIT", "final dot written", "finalize, before COMMIT", "finalize, after COMMIT")


class Row(NamedTuple):
    status: str
    due: int
    died: int


def _rows(field: Field) -> dict[int, Row]:
    statement = """
        SELECT id, status, next_attempt_at,
               (SELECT count(*) FROM attempt WHERE outbox_id = id AND outcome = 'died') FROM outbox
    """
    return {outbox_id: Row(*values) for outbox_id, *values in field.query(statement)}


def _assert_in_order(before: dict[int, Row], after: dict[int, Row]) -> None:
    for outbox_id, row in before.items():
        now = after[outbox_id]
        assert row.status != "sent" or now.status == "sent", (outbox_id, row, now)
        assert now.due >= row.due or now.died > row.died, (outbox_id, row, now)  # a dead run's is due at once


def test_nothing_is_sent_twice_in_silence_and_due_times_only_move_later_when_the_clock_steps_back(
    program: Program, rng: random.Random
) -> None:
    with ScriptedServer(DEFERRING) as server:
        field = Field(program, {"work": server})
        tokens, text = field.lines(200)
        field.acknowledge(tokens, field.run("send", "--batch", "-", "--now-ts", str(NOW), text=text).out)
        for _ in range(8 * size("ROUNDS", 1)):
            before = _rows(field)
            clock = NOW + rng.choice((-86_400, -3600, -60, 0, 5, 30, 100, 1000))
            point = rng.choice((*POINTS, "-", "-", "-"))
            limit = ("--limit", "20")
            field.run("drain", *limit, "--now-ts", str(clock), point=point, nth=rng.randint(1, 6))
            _assert_in_order(before, _rows(field))

        field.finish("--now-ts", str(NOW + 86_400))
        field.finish("--now-ts", str(NOW + 2 * 86_400))
        tally = field.tally()
        print(f"clock: {tally}")
        tally.check()
