"""A session never waits by itself: it says what it waits for, and one thread can drive many."""

from __future__ import annotations

import contextlib
import selectors
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from prx_email_cli.delivery.handing_over import envelope_of, outcome_of
from prx_email_cli.outbox.lifecycle import Outcome
from prx_email_cli.smtp.pipeline import Waiting
from prx_email_cli.smtp.session import Closed, Ended, Session
from prx_email_cli.smtp.transaction import Transaction

from ..support.certs import Certificates
from ..support.faults import UNBUFFERABLE, Fault
from ..support.scripted import ScriptedServer
from ..support.step_server import PATIENCE_SECONDS, StepServer, Talk
from .courier import message_to, session_with

BLOCK = (b"x" * 76 + b"\r\n") * 1000
each_tls = pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])


def transaction(session: Session, *blocks: bytes) -> Transaction:
    """One that sends a small message, or one of *blocks*, to a@example.org."""
    claimed = message_to("a@example.org", size=sum(map(len, blocks)) if blocks else None)
    return Transaction(envelope_of(claimed, blocks or (claimed.head or b"",)), session.profile, session.patience)


def drive(sessions: list[Session]) -> dict[Session, Outcome]:
    """Drive *sessions*, each of which carries out a transaction, in this thread until all have ended."""
    ended: dict[Session, Outcome] = {}
    with selectors.DefaultSelector() as selector:
        for session in sessions:
            selector.register(session, selectors.EVENT_READ, session)
        due = list(sessions)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(ended) < len(sessions):
            for session in due:
                event = session.go_on(time.monotonic())
                if isinstance(event, Ended):
                    selector.unregister(session.wire.sock or session)
                    ended[session] = outcome_of(event.result)
                elif isinstance(event, Waiting):
                    wanted = selectors.EVENT_READ * event.read | selectors.EVENT_WRITE * event.write
                    selector.modify(session, wanted, session)
            due = [key.data for key, _ in selector.select(1)]
            assert time.monotonic() < deadline
    return ended


@contextlib.contextmanager
def sessions_with(many: int, server: ScriptedServer, **options: Any) -> Iterator[list[Session]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(session_with(server.port, **options)) for _ in range(many)]


@each_tls
def test_one_thread_carries_out_many_transactions_at_once(tls: str, certificates: Certificates) -> None:
    """None of them can end before the last one's server has been let go on, so all are under way together."""
    many = 10
    options: dict[str, Any] = {} if tls == "none" else {"tls": tls, "context": certificates.server_context()}
    trust: dict[str, Any] = {} if tls == "none" else {"tls_ca_file": certificates.ca_file}
    with (
        ScriptedServer([Fault("after_dot", "pause", delivered=True)], **options) as server,
        sessions_with(many, server, tls=tls, **trust) as sessions,
    ):
        for session in sessions:
            session.start(transaction(session))
        while len(server.messages) < many:
            for session in sessions:
                assert isinstance(session.go_on(time.monotonic()), Waiting)
        server.release()
        outcomes = drive(sessions)
    assert [outcome.error for outcome in outcomes.values()] == [None] * many


@each_tls
def test_a_message_larger_than_what_the_kernel_takes_does_not_keep_the_thread(
    tls: str, certificates: Certificates
) -> None:
    options: dict[str, Any] = {} if tls == "none" else {"tls": tls, "context": certificates.server_context()}
    trust: dict[str, Any] = {} if tls == "none" else {"tls_ca_file": certificates.ca_file}
    blocks = [BLOCK] * (UNBUFFERABLE // len(BLOCK))
    with ScriptedServer(**options) as server, sessions_with(2, server, tls=tls, **trust) as sessions:
        for session in sessions:
            session.start(transaction(session, *blocks))
        outcomes = drive(sessions)
        assert [outcome.error for outcome in outcomes.values()] == [None, None]
        assert all(BLOCK * len(blocks) in message.content for message in server.messages)
        assert len(server.messages) == 2


def test_one_go_writes_no_more_than_a_share_of_a_large_message() -> None:
    """The server reads as fast as it can; the others of the thread must not wait until it has everything."""
    blocks = [BLOCK] * (UNBUFFERABLE // len(BLOCK))
    with ScriptedServer() as server, session_with(server.port) as session:
        session.start(transaction(session, *blocks))
        waits = 0
        while isinstance(event := session.go_on(time.monotonic()), Waiting):
            waits += event.write
        assert waits >= UNBUFFERABLE // (512 * 1024)
        assert isinstance(event, Ended)
        assert event.result.acceptance is not None


def test_while_content_is_sent_it_waits_for_both_and_progress_begins_the_wait_anew() -> None:
    def read_nothing(talk: Talk) -> None:
        talk.open()
        for reply in ("250 ok", "250 ok", "354 go ahead"):
            talk.line()
            talk.say(reply)
        over.wait(PATIENCE_SECONDS)

    over = threading.Event()
    with StepServer(read_nothing) as server, session_with(server.port, timeout_seconds=30) as session:
        session.start(transaction(session, *[BLOCK] * (2 * UNBUFFERABLE // len(BLOCK))))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while session.go_on(1010.0) != Waiting(read=True, write=True, until=1040.0):  # the content has begun to leave
            assert time.monotonic() < deadline
        now = 1011.0
        while session.go_on(now) != Waiting(read=True, write=True, until=now + 29.0):  # nothing left since a second ago
            assert time.monotonic() < deadline
            now += 1
        assert isinstance(ended := session.go_on(now + 29.0), Ended)
        assert "does not read" in str(outcome_of(ended.result).detail)
        over.set()


def test_a_reply_that_does_not_come_in_its_time_is_a_lost_connection() -> None:
    with ScriptedServer([Fault("mail", "timeout")]) as server, session_with(server.port, timeout_seconds=30) as session:
        session.start(transaction(session))
        event = session.go_on(1000.0)
        assert event == Waiting(read=True, write=False, until=1030.0)
        assert session.go_on(1029.0) == event
        ended = session.go_on(1030.0)
        assert isinstance(ended, Ended)
        assert "timeout" in str(outcome_of(ended.result).detail)
        assert (session.alive, session.fileno()) == (False, -1)


def test_one_transaction_at_a_time_is_carried_out() -> None:
    with ScriptedServer() as server, session_with(server.port) as session:
        with pytest.raises(RuntimeError):
            session.go_on(0)
        session.start(transaction(session))
        with pytest.raises(RuntimeError):
            session.start(transaction(session))


@pytest.mark.parametrize("manner", ["221 bye", "close", "garbage", "500 no"])
def test_goodbye_is_said_without_waiting_and_ends_with_the_session_closed(manner: str) -> None:
    with ScriptedServer([Fault("quit", manner)]) as server, session_with(server.port) as session:
        session.say_goodbye()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while isinstance(event := session.go_on(time.monotonic()), Waiting):
            assert (event.read, event.write) == (True, False)
            assert time.monotonic() < deadline
        assert (event, session.fileno()) == (Closed(), -1)
        assert server.commands[-1].line == "QUIT"


def test_goodbye_is_not_waited_for_longer_than_five_seconds() -> None:
    with ScriptedServer([Fault("quit", "timeout")]) as server, session_with(server.port) as session:
        session.say_goodbye()
        assert session.go_on(1000.0) == Waiting(read=True, write=False, until=1005.0)
        assert session.go_on(1005.0) == Closed()
