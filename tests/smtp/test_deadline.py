"""A whole transaction has a deadline beside the one for each reply, and the answer to the dot has its own."""

import threading

import pytest

from prx_email_cli.delivery.handing_over import envelope_of
from prx_email_cli.smtp.pipeline import Waiting
from prx_email_cli.smtp.session import Ended
from prx_email_cli.smtp.transaction import Transaction, content_seconds

from ..support.faults import UNBUFFERABLE
from ..support.scripted import ScriptedServer
from ..support.step_server import PATIENCE_SECONDS, StepServer, Talk
from .courier import CONTENT, hand_over, message_to, session_with

BLOCK = (b"x" * 76 + b"\r\n") * 1000
READ_AT_ONCE = 64 * 1024


class Clock:
    """A clock that goes on when it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_content_has_half_an_hour_and_a_second_for_each_4_kib() -> None:
    assert content_seconds(0) == 1800
    assert content_seconds(34 * 1024 * 1024) == 1800 + 34 * 256


def test_a_server_that_answers_each_recipient_just_in_time_does_not_hold_the_connection_for_hours() -> None:
    """Each answer comes a minute after its command: none is late by itself, but thirty of them are half an hour."""
    asked_for = threading.Semaphore(0)

    def take_a_minute_each(talk: Talk) -> None:
        talk.open()
        while talk.line() and asked_for.acquire(timeout=PATIENCE_SECONDS):
            talk.say("250 ok")

    with StepServer(take_a_minute_each) as server, session_with(server.port, timeout_seconds=600) as session:
        claimed = message_to(*(f"r{number}@example.org" for number in range(90)))
        session.start(Transaction(envelope_of(claimed, (CONTENT,)), session.profile, session.patience))
        minutes = 0
        while isinstance(event := session.go_on(60.0 * minutes), Waiting):
            minutes += 1
            asked_for.release()
            session._channel.wait(read=True, write=False, seconds=PATIENCE_SECONDS)
        assert isinstance(event, Ended)
        assert (event.result.recipients, event.result.acceptance, session.alive) == ({}, None, False)
        assert "the transaction lasts too long (timeout)" in str(event.result.trouble)
        assert minutes == 30
        asked_for.release()


@pytest.mark.parametrize(("seconds_a_read", "passes"), [(15, True), (45, False)], ids=["4 KiB/s", "1.4 KiB/s"])
def test_a_server_that_reads_slowly_has_the_time_that_the_size_allows(seconds_a_read: int, passes: bool) -> None:
    """The message is too large to be written ahead of the server's reads."""
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
    # A busy machine may let the server read much between two looks of ours: nothing but the deadline is to be judged.
    patient = {"timeout_seconds": 3600, "data_timeout_seconds": 3600}
    with StepServer(read_slowly) as server, session_with(server.port, **patient) as session:
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
