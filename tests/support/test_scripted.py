"""The dialogue of `ScriptedServer`: well-behaved by default, and what it records can be believed."""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Iterator

import pytest

from .faults import UNBUFFERABLE, Fault
from .raw_client import RawClient
from .scripted import ScriptedServer, refusing_port

SENDER, RECIPIENT = "a@example.com", "b@example.com"
ENVELOPE = [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{RECIPIENT}>", "DATA"]


@contextlib.contextmanager
def greeted(server: ScriptedServer) -> Iterator[RawClient]:
    """A started server and a client that has said EHLO."""
    with server, RawClient(server.port) as client:
        assert client.reply().startswith("220 ")
        client.ask("EHLO client")
        yield client


def deliver(client: RawClient, *recipients: str, content: bytes = b"hello\r\n") -> list[int]:
    """The codes of the replies to MAIL, each RCPT, DATA and, after a 354, the final dot."""
    lines = [f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{to}>" for to in recipients or [RECIPIENT]), "DATA"]
    codes = [client.code(line) for line in lines]
    if codes[-1] == 354:
        client.send(content + b".\r\n")
        codes.append(int(client.reply()[:3]))
    return codes


class TestAWellBehavedDelivery:
    def test_is_recorded_exactly(self) -> None:
        text = "Message-ID:\r\n <7@test>\r\n\r\n.leading dot\r\n..two\r\n.\r\nend\r\n"
        with ScriptedServer(size=10_000) as server:
            with smtplib.SMTP(server.host, server.port) as client:
                client.sendmail(SENDER, [RECIPIENT, "c@example.com"], text, ["BODY=8BITMIME"])
            (message,) = server.messages
        assert message.content == text.encode()
        assert (message.mail_from, message.recipients) == (SENDER, [RECIPIENT, "c@example.com"])
        assert message.mail_params == [f"size={len(text)}", "BODY=8BITMIME"]
        assert (message.acknowledged, message.bare_newlines, message.connection) == (True, False, 1)
        assert server.received_message_ids() == ["<7@test>"]
        assert [command.line.upper() for command in server.commands][-2:] == ["DATA", "QUIT"]
        assert server.violations == []


class TestPipelining:
    def test_is_a_violation_where_it_was_not_offered(self) -> None:
        with greeted(server := ScriptedServer(pipelining=False)) as client:
            assert "PIPELINING" not in client.ask("EHLO client")
            client.say(*ENVELOPE)
            assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
            assert len(server.violations) == 2

    def test_content_before_the_go_ahead_is_a_violation(self) -> None:
        with greeted(server := ScriptedServer()) as client:
            client.say(*ENVELOPE, "hello", ".")
            assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
            assert server.violations == ["content before the reply to DATA"]

    def test_data_without_an_accepted_recipient_is_refused(self) -> None:
        with greeted(server := ScriptedServer([Fault("rcpt", "550 5.1.1 no")])) as client:
            client.say(*ENVELOPE)
            assert [client.reply()[:3] for _ in range(3)] == ["250", "550", "554"]
            assert client.code("RSET") == 250
            assert server.messages == []


class TestTheEndOfTheContent:
    @pytest.mark.parametrize("trap", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r\r\n", b"\r.\r\n"])
    def test_is_crlf_dot_crlf_and_nothing_like_it(self, trap: bytes) -> None:
        content = b"before" + trap + b"RSET\r\n"
        with greeted(server := ScriptedServer()) as client:
            assert deliver(client, content=content) == [250, 250, 354, 250]
            assert server.messages[0].bare_newlines
            assert server.messages[0].content == content.replace(b"\r\n.", b"\r\n")
            assert client.code("NOOP") == 250

    @pytest.mark.parametrize("content", [b"", b"\r\n", b"..\r\n", b"a\r\n\r\n..\r\n..b\r\n"])
    def test_leaves_the_content_as_it_was_before_stuffing(self, content: bytes) -> None:
        with greeted(server := ScriptedServer()) as client:
            assert deliver(client, content=content)[-1] == 250
            assert server.messages[0].content == content.replace(b"..", b".")
            assert not server.messages[0].bare_newlines


class TestAFault:
    def test_happens_as_often_as_it_is_told(self) -> None:
        with greeted(server := ScriptedServer([Fault("after_dot", "451 4.3.0 later", times=1)])) as client:
            assert [deliver(client)[-1], deliver(client)[-1], deliver(client)[-1]] == [451, 250, 250]
            assert len(server.messages) == 2

    def test_spares_the_visits_it_is_told_to_skip(self) -> None:
        with greeted(ScriptedServer([Fault("mail", "421 4.3.2 bye", skip=2)])) as client:
            assert [deliver(client)[-1], deliver(client)[-1]] == [250, 250]
            assert client.code("MAIL FROM:<>") == 421

    def test_can_be_for_one_recipient(self) -> None:
        fault = Fault("rcpt", "450 4.2.1 mailbox busy", address="c@test")
        with greeted(server := ScriptedServer([fault])) as client:
            assert deliver(client, "b@test", "c@test", "d@test") == [250, 250, 450, 250, 354, 250]
            assert server.messages[0].recipients == ["b@test", "d@test"]

    def test_that_is_misspelt_is_refused(self) -> None:
        for place, manner in (("rpct", "close"), ("rcpt", "closed"), ("rcpt", "25 ok")):
            with pytest.raises(ValueError, match=r"unknown place|neither"):
                Fault(place, manner)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="delivered"):
            Fault("mail", "close", delivered=True)
        with pytest.raises(ValueError, match="no address"):
            Fault("ehlo", "close", address="b@test")


class TestAFaultAfterTheDot:
    MANNERS = ("451 4.3.0 later", "421 4.3.2 bye", "close", "reset", "timeout", "garbage", "endless", "slow")

    @pytest.mark.parametrize("manner", [*MANNERS, "megabyte_line"])
    @pytest.mark.parametrize("delivered", [True, False])
    def test_leaves_the_message_delivered_or_not_but_never_acknowledged(self, manner: str, delivered: bool) -> None:
        with greeted(server := ScriptedServer([Fault("after_dot", manner, delivered=delivered)])) as client:
            assert [client.code(line) for line in ENVELOPE] == [250, 250, 354]
            client.say("Message-ID: <1@test>", "", "hello", ".")
            server.wait_for(lambda: server.happened)
            assert server.received_message_ids() == (["<1@test>"] if delivered else [])
            assert not any(message.acknowledged for message in server.messages)


class TestAFaultDuringTheContent:
    @pytest.mark.parametrize("manner", ["close", "reset"])
    def test_breaks_off_a_client_that_is_still_writing(self, manner: str) -> None:
        fault = Fault("during_data", manner, after_bytes=100_000)
        with greeted(server := ScriptedServer([fault])) as client:
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                deliver(client, content=b"x" * UNBUFFERABLE)
            assert server.messages == []

    def test_waits_for_so_many_octets(self) -> None:
        with greeted(server := ScriptedServer([Fault("during_data", "close", after_bytes=20)])) as client:
            assert [client.code(line) for line in ENVELOPE] == [250, 250, 354]
            client.send(b"x" * 19)
            assert server.happened == []
            client.send(b"x")
            assert client.read(1) == b""


class TestWhatIsNotOffered:
    @pytest.mark.parametrize("param", ["SIZE=1", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS"])
    def test_is_refused(self, param: str) -> None:
        with greeted(ScriptedServer(eightbitmime=False)) as client:
            assert client.code(f"MAIL FROM:<{SENDER}> {param}") == 555

    def test_an_address_beyond_ascii_needs_smtputf8(self) -> None:
        with greeted(ScriptedServer()) as client:
            assert client.code("MAIL FROM:<ä@test>") == 553

    def test_a_message_beyond_the_size_is_refused_at_mail_and_after_the_dot(self) -> None:
        with greeted(server := ScriptedServer(size=10)) as client:
            assert client.code(f"MAIL FROM:<{SENDER}> SIZE=11") == 552
            assert deliver(client, content=b"twelve bytes\r\n")[-1] == 552
            assert server.messages == []

    def test_recipients_beyond_the_limit_are_deferred(self) -> None:
        with greeted(ScriptedServer(max_recipients=1)) as client:
            assert deliver(client, "b@test", "c@test") == [250, 250, 452, 354, 250]

    @pytest.mark.parametrize("line", ["RCPT TO:<b@test>", "DATA", "STARTTLS", "AUTH PLAIN AGEAYg==", "WHAT"])
    def test_a_command_out_of_order_is_refused(self, line: str) -> None:
        with greeted(ScriptedServer()) as client:
            assert client.code(line) in (500, 502, 503)


def test_a_line_that_ends_in_a_bare_newline_is_a_violation() -> None:
    with greeted(server := ScriptedServer()) as client:
        client.send(b"NOOP\n")
        assert client.reply().startswith("250")
        assert server.violations == ["a bare LF ends 'NOOP'"]


def test_waiting_in_vain_fails_the_test() -> None:
    with ScriptedServer() as server, pytest.raises(AssertionError, match="not within"):
        server.wait_for(lambda: server.messages, timeout=0.01)


def test_a_stopped_server_and_a_refusing_port_refuse_connections() -> None:
    with ScriptedServer() as server:
        pass
    with refusing_port() as port:
        for refused in (port, server.port):
            with pytest.raises(ConnectionRefusedError):
                RawClient(refused)
