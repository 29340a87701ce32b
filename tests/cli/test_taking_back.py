"""What a person decides of a message that a drain has claimed: obeyed unless it was begun."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer


@contextmanager
def hanging(program: Program, many: int = 4) -> Iterator[ScriptedServer]:
    """A drain over one connection whose server keeps it waiting for the answer to message 1, with 2 claimed ahead."""
    with ScriptedServer([Fault("after_dot", "pause", times=1)], pipelining=False) as server:
        program.configure(server.port, smtp="connections = 1")
        for _ in range(many):
            program.send()
        drain = program.start("drain")
        server.wait_for(lambda: server.happened, timeout=60)
        try:
            while many > 1 and status(program, 2)[0] != "sending":
                assert drain.poll() is None
            yield server
            server.release()
            assert drain.wait(timeout=60) in (0, 75), drain.communicate()
        finally:
            if drain.poll() is None:
                drain.send_signal(signal.SIGKILL)
            drain.communicate()


def status(program: Program, outbox_id: int) -> tuple[str, bool, str | None]:
    row = program.show(outbox_id)
    return row["status"], row["held"], row["gave_up"]


@pytest.mark.on_both
def test_a_claimed_message_that_was_not_begun_is_held_as_if_nobody_had_it(program: Program) -> None:
    with hanging(program) as server:
        answer = program.run("hold", "2")
        assert (answer.status, answer.out, answer.err) == (0, program.run("hold", "4").out.replace("4", "2"), "")
        assert status(program, 2) == ("pending", True, None)
        assert program.show(2)["attempts"] == []
    assert [status(program, outbox_id)[0] for outbox_id in (1, 2, 3, 4)] == ["sent", "pending", "sent", "pending"]
    assert len(server.messages) == 2


def test_a_claimed_message_that_was_not_begun_is_cancelled_as_if_nobody_had_it(program: Program) -> None:
    with hanging(program) as server:
        assert program.run("cancel", "2").status == 0
        assert status(program, 2) == ("pending", False, "cancelled")
    assert status(program, 2) == ("pending", False, "cancelled")
    assert len(server.messages) == 3


@pytest.mark.parametrize("what", ["hold", "cancel"])
def test_what_is_on_the_wire_cannot_be_taken_back_and_stays_as_it_is(program: Program, what: str) -> None:
    with hanging(program, 1):
        answer = program.run(what, "1")
        assert answer.status == 65
        assert "outbox message 1 is sending" in answer.err
        assert status(program, 1) == ("sending", False, None)
    assert status(program, 1) == ("sent", False, None)


def test_holding_everything_takes_back_what_was_not_begun(program: Program) -> None:
    with hanging(program):
        assert program.run("hold", "--all").status == 0
        assert [status(program, outbox_id)[:2] for outbox_id in (2, 3, 4)] == [("pending", True)] * 3
    assert [status(program, outbox_id)[:2] for outbox_id in (1, 2)] == [("sent", False), ("pending", True)]
