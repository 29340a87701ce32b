"""A whole transaction has a deadline beside the one for each reply, and the answer to the dot has its own."""

import pytest

from prx_email_cli.smtp.transaction import content_seconds

from ..support.faults import UNBUFFERABLE
from ..support.scripted import ScriptedServer
from ..support.step_server import StepServer, Talk
from .courier import hand_over, message_to, session_with

BLOCK = (b"x" * 76 + b"\r\n") * 1000
READ_AT_ONCE = 64 * 1024


class Clock:
    """A clock that goes on by *step* seconds at each look, and when it is told."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_the_content_has_half_an_hour_and_a_second_for_each_4_kib() -> None:
    assert content_seconds(0) == 1800
    assert content_seconds(34 * 1024 * 1024) == 1800 + 34 * 256


def test_a_server_that_answers_each_recipient_just_in_time_does_not_hold_the_connection_for_hours() -> None:
    """Each look at the clock is a minute later: no reply is late by itself, but thirty of them are half an hour."""
    with ScriptedServer(pipelining=False) as server, session_with(server.port, timeout_seconds=600) as session:
        session.wire.clock = Clock(60)
        outcome = hand_over(session, message_to(*(f"r{number}@example.org" for number in range(90))))
        assert (outcome.error, outcome.uncertain, server.messages) == ("network", False, [])
        assert "the transaction lasts too long (timeout)" in (outcome.detail or "")
        assert not session.alive


@pytest.mark.parametrize(("seconds_a_read", "passes"), [(15, True), (60, False)], ids=["4 KiB/s", "1 KiB/s"])
def test_a_server_that_reads_slowly_has_the_time_that_the_size_allows(seconds_a_read: int, passes: bool) -> None:
    """Every read is well within the wait for one reply; the message is too large to be written ahead of them."""
    clock = Clock()

    def read_slowly(talk: Talk) -> None:
        talk.open()
        for reply in ("250 ok", "250 ok", "354 go ahead"):
            talk.line()
            talk.say(reply)
        tail = b""
        while not tail.endswith(b"\r\n.\r\n"):
            data = talk.sock.recv(READ_AT_ONCE)
            if not data:
                return
            tail = (tail + data)[-5:]
            clock.now += seconds_a_read * len(data) / READ_AT_ONCE
        talk.say("250 2.0.0 kept")
        talk.line()

    blocks = 2 * UNBUFFERABLE // len(BLOCK)
    with StepServer(read_slowly) as server, session_with(server.port) as session:
        session.wire.clock = clock
        outcome = hand_over(session, message_to("a@example.org", size=blocks * len(BLOCK)), [BLOCK] * blocks)
    assert (outcome.error, outcome.uncertain) == (None if passes else "network", False)
    assert passes or "the transaction lasts too long (timeout)" in (outcome.detail or "")


@pytest.mark.parametrize("hours", [0.4, 1.9])
def test_it_never_shortens_the_wait_for_the_answer_to_the_dot(hours: float) -> None:
    clock = Clock()

    def take_long(talk: Talk) -> None:
        talk.open()
        talk.take()
        clock.now += hours * 3600
        talk.say("250 2.0.0 kept")
        talk.line()

    with StepServer(take_long) as server, session_with(server.port, data_timeout_seconds=7200) as session:
        session.wire.clock = clock
        assert hand_over(session).acceptance == "2.0.0 kept"


def test_the_next_message_of_the_connection_has_its_whole_time_again() -> None:
    with ScriptedServer() as server, session_with(server.port) as session:
        session.wire.clock = clock = Clock()
        for _ in range(3):
            assert hand_over(session).error is None
            clock.now += 3600
        assert len(server.messages) == 3
