"""Every place x every manner: the servers that the fault tests rely on do what they claim."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from .certs import Certificates
from .faults import GARBAGE, PLACES, Fault, Place
from .raw_client import PLAIN_LOGIN, RawClient
from .scripted import ScriptedServer

TO_MAIL = ["EHLO client", "MAIL FROM:<a@example.com>"]
TO_RCPT = [*TO_MAIL, "RCPT TO:<b@example.com>"]
TO_DATA = [*TO_RCPT, "DATA"]
STEPS: dict[Place, list[str]] = {
    "connect": [],
    "handshake": [],
    "greeting": [],
    "ehlo": ["EHLO client"],
    "starttls": ["EHLO client", "STARTTLS"],
    "auth": ["EHLO client", PLAIN_LOGIN],
    "mail": TO_MAIL,
    "rcpt": TO_RCPT,
    "data": TO_DATA,
    "during_data": [*TO_DATA, "Subject: half a message"],
    "after_dot": [*TO_DATA, "Message-ID: <1@test>\r\n\r\nhello\r\n."],
    "idle": [*TO_DATA, "Message-ID: <1@test>\r\n\r\nhello\r\n."],
    "rset": ["EHLO client", "RSET"],
    "quit": ["QUIT"],
}
"""The lines up to the place; the reply to the last one is the one that goes wrong."""

CODES: dict[Place, str] = {
    **dict.fromkeys(PLACES, "250"),
    **dict.fromkeys(("connect", "handshake", "greeting", "starttls"), "220"),
    "auth": "235",
    "data": "354",
    "quit": "221",
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.create(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def no_thread_outlives_its_server() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("scripted-")] == []


@contextlib.contextmanager
def at_fault(fault: Fault, certificates: Certificates) -> Iterator[tuple[ScriptedServer, RawClient]]:
    """A server and a client that have come to where *fault* is performed."""
    context = certificates.server_context()
    if fault.place == "handshake":
        server = ScriptedServer([fault], tls="implicit", context=context)
    elif fault.place == "starttls":
        server = ScriptedServer([fault], tls="starttls", context=context)
    else:
        server = ScriptedServer([fault], auth={"user": "secret"} if fault.place == "auth" else None)
    with server, RawClient(server.port) as client:
        steps = STEPS[fault.place]
        replies_due = len(steps) + (fault.place == "idle")
        for step in steps[:replies_due]:
            assert client.reply()[:1] in ("2", "3")
            client.say(step)
        if fault.place == "idle":
            assert client.reply().startswith("250")
        server.wait_for(lambda: server.happened)
        yield server, client
        assert [happened.fault for happened in server.happened] == [fault]


def goes_silent(client: RawClient) -> bool:
    """Nothing comes.  The fault is already being performed, so a reply would be here or on its way."""
    client.sock.settimeout(0.02)
    try:
        client.read(1)
    except TimeoutError:
        return True
    finally:
        client.sock.settimeout(5)
    return False


@pytest.mark.parametrize("place", PLACES)
class TestEveryPlace:
    @pytest.mark.parametrize(
        ("manner", "said"),
        [("451 4.3.0 try later", b"451 4.3.0 try later\r\n"), ("garbage", GARBAGE), ("close", b"")],
        ids=["a reply", "garbage", "close"],
    )
    def test_says_what_it_is_told_or_ends(
        self, manner: str, said: bytes, place: Place, certificates: Certificates
    ) -> None:
        with at_fault(Fault(place, manner), certificates) as (_, client):
            assert client.read(max(1, len(said))) == said

    def test_resets_the_connection(self, place: Place, certificates: Certificates) -> None:
        with (
            pytest.raises(ConnectionResetError),
            at_fault(Fault(place, "reset"), certificates) as (_, client),
        ):
            client.read(1)  # early in the dialogue the reset may even come before `connect` returns

    def test_goes_silent_until_the_client_leaves(self, place: Place, certificates: Certificates) -> None:
        with at_fault(Fault(place, "timeout"), certificates) as (server, client):
            assert goes_silent(client)
            assert server.open_connections == 1
            client.close()
            if place != "during_data":  # there only the server's stop ends it, as `Wire.stay_silent` says
                server.wait_for(lambda: server.open_connections == 0)

    def test_sends_an_endless_reply_until_the_client_leaves(self, place: Place, certificates: Certificates) -> None:
        with at_fault(Fault(place, "endless"), certificates) as (server, client):
            lines = [client.line() for _ in range(5000)]
            assert all(line.startswith(f"{CODES[place]}-".encode()) for line in lines)
            client.close()
            server.wait_for(lambda: server.open_connections == 0)

    def test_sends_a_line_of_a_megabyte(self, place: Place, certificates: Certificates) -> None:
        with at_fault(Fault(place, "megabyte_line"), certificates) as (_, client):
            line = client.line()
            assert (len(line), line[:4], line[-2:]) == (1024 * 1024, f"{CODES[place]} ".encode(), b"\r\n")

    def test_sends_one_byte_at_a_time_until_the_client_leaves(self, place: Place, certificates: Certificates) -> None:
        started = time.monotonic()
        with at_fault(Fault(place, "slow", interval=0.004), certificates) as (server, client):
            assert client.read(10) == f"{CODES[place]}-one by".encode()
            assert time.monotonic() - started >= 10 * 0.004
            client.close()
            server.wait_for(lambda: server.open_connections == 0)
