"""A whole transaction has a deadline beside the one for each reply, and the answer to the dot has its own."""

import pytest

from prx_email_cli.smtp import transaction
from prx_email_cli.smtp.transaction import content_seconds

from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .courier import hand_over, message_to, session_with


class Clock:
    """A clock that goes on by *step* seconds at each look."""

    def __init__(self, step: float) -> None:
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


def test_it_never_shortens_the_wait_for_the_answer_to_the_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "ENVELOPE_SECONDS", 2.0)
    monkeypatch.setattr(transaction, "CONTENT_SECONDS", 0.2)
    with (
        ScriptedServer([Fault("after_dot", "slow", interval=0.02)]) as server,
        session_with(server.port, data_timeout_seconds=1) as session,
    ):
        outcome = hand_over(session)
        assert outcome.uncertain
        assert "no complete answer in time" in (outcome.detail or "")


def test_the_next_message_of_the_connection_has_its_whole_time_again() -> None:
    with ScriptedServer() as server, session_with(server.port) as session:
        for _ in range(3):
            assert hand_over(session).error is None
            assert session.wire.until is None
        assert len(server.messages) == 3
