"""The connection against servers that are slow, endless, hostile or gone."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from prx_email_cli.smtp.connection import Wire
from prx_email_cli.smtp.errors import BadReply, ConnectionLost
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.steps import Heard, Read, Step, Write, WriteContent
from prx_email_cli.smtp.transaction import Transaction
from prx_email_cli.smtp.transcript import MAX_LINES, Transcript

from ..support.faults import Fault, Place
from ..support.scripted import ScriptedServer, refusing_port
from .courier import PASSWORD, USER, account_for, hand_over, message_to, open_session, session_with

TIMEOUT = 0.3  # seconds, for whatever must time out
ENOUGH = 60  # seconds for whatever must not time out, and for a wait to end, on the busiest machine
SILENT = ("slow", "timeout")
OPENING: list[Place] = ["greeting", "ehlo"]
TALK: list[Place] = ["mail", "rcpt", "data", "after_dot"]


@contextmanager
def ends_in_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < ENOUGH


def patience(manner: str) -> float:
    """Seconds to wait for a reply: none is late where the client's patience is not what is tried."""
    return TIMEOUT if manner in SILENT else ENOUGH


@pytest.fixture
def impatient_from(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets clients wait for the reply to that command, and for those after it, no longer than TIMEOUT."""

    def shorten(command: str) -> None:
        say, step_on = Wire.write, Transaction.step
        hurried: set[Transaction] = set()

        def write(wire: Wire, data: bytes) -> None:
            if data.upper().startswith(command.upper().encode()):
                wire.reply_timeout = TIMEOUT
            say(wire, data)

        def step(transaction: Transaction, heard: Heard, now: float) -> Step:
            step = step_on(transaction, heard, now)
            if isinstance(step, Write) and step.data.upper().startswith(command.upper().encode()):
                hurried.add(transaction)
            if transaction in hurried and isinstance(step, Write | WriteContent | Read):
                return step._replace(seconds=min(TIMEOUT, step.seconds))
            return step

        monkeypatch.setattr(Wire, "write", write)
        monkeypatch.setattr(Transaction, "step", step)

    return shorten


@contextmanager
def wire_fed_with(*data: bytes) -> Iterator[Wire]:
    """A wire whose peer has said *data*, and then stays silent."""
    ours, theirs = socket.socketpair()
    feeder = threading.Thread(target=_feed, args=(theirs, data))
    wire = Wire(local_hostname="test", reply_timeout=ENOUGH, transcript=Transcript(), profile=ServerProfile())
    wire.sock = ours
    feeder.start()
    try:
        yield wire
    finally:
        wire.close()
        ours.close()
        feeder.join()
        theirs.close()


def _feed(sock: socket.socket, data: tuple[bytes, ...]) -> None:
    with contextlib.suppress(OSError):
        for piece in data:
            sock.sendall(piece)


@pytest.mark.parametrize("place", OPENING)
@pytest.mark.parametrize(
    ("manner", "says"),
    [
        ("endless", "a reply without end"),
        ("slow", "timeout"),
        ("timeout", "timeout"),
        ("megabyte_line", "a line of over 64 KiB"),
        ("garbage", "not an SMTP reply"),
        ("close", "closed the connection"),
        ("reset", "reset"),
    ],
)
def test_a_server_that_misbehaves_at_the_opening_is_left_in_time(
    place: Place, manner: str, says: str, impatient_from: Callable[[str], None]
) -> None:
    at_once = place == "greeting"
    if manner in SILENT and not at_once:
        impatient_from(place)
    with ScriptedServer([Fault(place, manner)]) as server, ends_in_time():
        with pytest.raises(SessionFailed, match=says) as failed:
            open_session(account_for(server.port, timeout_seconds=patience(manner) if at_once else ENOUGH))
        assert [happened.fault.place for happened in server.happened] == [place]
        server.wait_for(lambda: server.open_connections == 0)
    assert failed.value.category in ("network", "provider")
    assert failed.value.hint
    assert f"localhost:{server.port}" in failed.value.message


def test_a_server_that_wants_nobody_is_left_alone() -> None:
    with ScriptedServer([Fault("greeting", "554 5.7.1 go away")]) as server:
        with pytest.raises(SessionFailed, match=r"554 5\.7\.1 go away"):
            open_session(account_for(server.port))
        server.wait_for(lambda: server.open_connections == 0)


@pytest.mark.parametrize("place", TALK)
@pytest.mark.parametrize("manner", ["endless", "slow", "timeout", "megabyte_line", "garbage", "close", "reset"])
def test_a_server_that_misbehaves_later_ends_the_attempt_in_time(
    place: Place, manner: str, impatient_from: Callable[[str], None]
) -> None:
    if manner in SILENT and place != "after_dot":
        impatient_from(place)
    with ScriptedServer([Fault(place, manner)], pipelining=False) as server:
        with session_with(server.port, timeout_seconds=ENOUGH, data_timeout_seconds=patience(manner)) as session:
            with ends_in_time():
                outcome = hand_over(session)
            assert not session.alive
        assert server.happened
    assert outcome.error in ("network", "provider")
    assert outcome.detail
    assert outcome.uncertain == (place == "after_dot")
    assert outcome.acceptance is None
    assert len(outcome.dialogue) < 100_000


def test_a_whole_dialogue_in_fragments_delivers() -> None:
    with ScriptedServer(fragments=True, pipelining=False) as server:
        with session_with(server.port) as session:
            assert hand_over(session).error is None
        assert len(server.messages) == 1


def test_nobody_at_home_is_told_with_host_and_port() -> None:
    with refusing_port() as port, pytest.raises(SessionFailed, match=f"cannot connect to localhost:{port}") as failed:
        open_session(account_for(port))
    assert (failed.value.category, failed.value.reply) == ("network", None)
    assert "smtp.port" in failed.value.hint


def test_a_host_without_an_address_is_told_by_its_name() -> None:
    with pytest.raises(SessionFailed, match=r"cannot find no-such-host\.invalid") as failed:
        open_session(account_for(25, host="no-such-host.invalid", allow_plaintext=True))
    assert "DNS" in failed.value.hint


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"250-" + b"x" * 1000 + b"\r\n", id="lines without end"),
        pytest.param(b"250-\r\n", id="short lines without end"),
        pytest.param(b"x" * 1000, id="one line without end"),
        pytest.param(b"\0" * 1000, id="NULs"),
    ],
)
def test_a_flood_takes_bounded_memory(flood: bytes) -> None:
    block = flood * (8 * 1024 * 1024 // len(flood))
    with wire_fed_with(block) as wire:
        tracemalloc.start()
        try:
            with ends_in_time(), pytest.raises(BadReply):
                wire.getreply()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 1024 * 1024


@pytest.mark.parametrize(
    "line",
    ["", "25", "250x", "abc hello", "150 no", "650 no", "99 bottles", "+50 x", "²50 x", "HTTP/1.1 400 Bad Request",
     "SSH-2.0-OpenSSH_9", "\x1b[2J250 ok", "\x16\x03\x01"],
)  # fmt: skip
def test_what_is_no_reply_is_shown_escaped(line: str) -> None:
    with wire_fed_with(line.encode() + b"\r\n") as wire, pytest.raises(BadReply) as refused:
        wire.getreply()
    assert str(refused.value).startswith("not an SMTP reply: ")
    assert str(refused.value).isprintable()


def test_a_reply_may_be_a_bare_code_or_end_in_a_bare_lf() -> None:
    with wire_fed_with(b"250\r\n250 ok\n250-a\r\n250-\r\n250 b\r\n") as wire:
        replies = [wire.getreply() for _ in range(3)]
    assert replies == [(250, b""), (250, b"ok"), (250, b"a\n\nb")]


def test_a_reply_whose_codes_differ_is_no_reply() -> None:
    with wire_fed_with(b"250-ok\r\n550 not ok\r\n") as wire, pytest.raises(BadReply, match="250 and 550"):
        wire.getreply()


def test_a_reply_that_trickles_in_counts_against_one_deadline() -> None:
    stop = threading.Event()
    ours, theirs = socket.socketpair()

    def trickle() -> None:
        while not stop.wait(0.05):
            theirs.send(b"2")

    feeder = threading.Thread(target=trickle)
    wire = Wire(local_hostname="test", reply_timeout=TIMEOUT, transcript=Transcript(), profile=ServerProfile())
    wire.sock = ours
    feeder.start()
    try:
        with ends_in_time(), pytest.raises(ConnectionLost, match="timeout"):
            wire.getreply()
    finally:
        stop.set()
        feeder.join()
        wire.close()
        theirs.close()


def test_a_server_that_does_not_read_is_left_in_time(impatient_from: Callable[[str], None]) -> None:
    impatient_from("DATA")
    with ScriptedServer([Fault("during_data", "timeout")], pipelining=False) as server:
        with session_with(server.port) as session:
            block = (b"x" * 76 + b"\r\n") * 1000
            with ends_in_time():
                outcome = hand_over(session, message_to("a@example.org", size=300 * len(block)), [block] * 300)
    assert outcome.error == "network"
    assert "timeout" in (outcome.detail or "")
    assert not outcome.uncertain


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_transcript_holds_no_credentials(mechanism: str) -> None:
    fault = Fault("auth", "535 5.7.8 no", times=1)
    with ScriptedServer([fault], auth={USER: PASSWORD}, auth_mechanisms=[mechanism]) as server:
        with pytest.raises(SessionFailed) as failed:
            open_session(account_for(server.port, password=PASSWORD))
        payloads = [command.line.split(" ")[-1] for command in server.commands if "AUTH" in command.line.upper()]
        answers = [command.line for command in server.commands if command.line.endswith("=")]
    lines = failed.value.dialogue.split("\n")
    assert f"C: AUTH {mechanism} ***" in lines
    assert any(line.startswith("S: 535 5.7.8") for line in lines)
    for secret in (PASSWORD, *answers, *(payload for payload in payloads if payload != mechanism)):
        assert secret not in failed.value.dialogue


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_nonsense_in_answer_to_a_password_is_a_login_that_failed(mechanism: str) -> None:
    with ScriptedServer([Fault("auth", "garbage")], auth={USER: PASSWORD}, auth_mechanisms=[mechanism]) as server:
        with pytest.raises(SessionFailed) as failed:
            open_session(account_for(server.port, password=PASSWORD))
    assert (failed.value.category, failed.value.step, failed.value.reply) == ("provider", "login", None)


def test_a_transcript_ends_however_much_is_said() -> None:
    transcript = Transcript()
    for number in range(10_000):
        transcript.client(f"RCPT TO:<user{number}@example.org>")
    lines = str(transcript.take()).split("\n")
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == f"-- {10_000 - MAX_LINES} more lines"
    assert str(transcript.take()) == ""


@pytest.mark.parametrize(
    "manner",
    ["close", "reset", "timeout", "garbage", "endless", "slow", "megabyte_line", "500 no", "421 gone", "250 not 221"],
)
def test_closing_a_session_never_raises(manner: str) -> None:
    with ScriptedServer([Fault("quit", manner)]) as server:
        session = open_session(account_for(server.port))
        assert hand_over(session).error is None
        session.wire.reply_timeout = patience(manner)
        with ends_in_time():
            session.close()
        session.close()
        assert server.commands[-1].line.upper() == "QUIT"


def test_closing_after_the_server_has_gone_never_raises() -> None:
    with ScriptedServer() as server:
        session = open_session(account_for(server.port))
    session.close()


def test_a_command_with_a_line_break_is_never_sent() -> None:
    with wire_fed_with() as wire:
        for line in ("a\r\nRCPT TO:<x@y.org>", "a\nb", "a\rb"):
            with pytest.raises(ValueError, match="line break"):
                wire.putcmd("MAIL", line)
