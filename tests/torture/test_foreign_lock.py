"""Somebody else holds the outbox's lock for longer than the busy timeout."""

import threading

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .conftest import size
from .field import Field

CONNECTIONS = 3
LOCKED_SECONDS = 1.5
BUSY = "busy_timeout_seconds = 1"


def _send_is_refused(field: Field) -> None:
    ended = field.run("send", "--to", "a@example.org", "--subject", "m-0", "--body", "text")
    assert (ended.status, ended.out) == (75, ""), ended
    assert "locked" in ended.err


@pytest.mark.on_both
def test_what_the_provider_accepted_while_the_outbox_was_locked_is_recorded_once_the_lock_goes(
    program: Program,
) -> None:
    with ScriptedServer([Fault("after_dot", "pause", times=CONNECTIONS)]) as server:
        field = Field(program, {"work": server}, outbox=BUSY)
        field.send(CONNECTIONS)
        drain = field.start("drain", "--connections", str(CONNECTIONS))
        server.wait_for(lambda: len(server.messages) == CONNECTIONS, 60)
        with field.program.locked():
            server.release()
            for _ in range(size("ROUNDS", 1)):  # each of them waits for the busy timeout
                _send_is_refused(field)
            assert drain.poll() is None
        ended = field.end(drain)
        assert ended.status == 0, ended
        tally = field.tally()
        print(f"\nforeign lock: {tally}")
        tally.check()
        assert (tally.delivered, tally.doubled, tally.recoveries) == (CONNECTIONS, 0, 0)


@pytest.mark.on_both
def test_a_lock_that_comes_and_goes_during_a_drain_loses_and_doubles_nothing(program: Program) -> None:
    with ScriptedServer() as server:
        field = Field(program, {"work": server}, outbox=BUSY)
        for _ in range(size("ROUNDS", 1)):
            field.send(300)
            seen = len(server.messages)
            drain = field.start("drain", "--connections", str(CONNECTIONS))
            server.wait_for(lambda seen=seen: len(server.messages) > seen + 20, 60)  # type: ignore[misc]
            with field.program.locked():
                threading.Event().wait(LOCKED_SECONDS)
            assert field.end(drain).status in (0, 75)

        field.finish("--connections", "3")
        tally = field.tally()
        print(f"\na lock comes and goes: {tally}")
        tally.check()
        assert tally.doubled == 0
