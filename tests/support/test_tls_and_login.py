"""Certificates, TLS and AUTH of both servers, and `MailHost` under load."""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .certs import CertificateKind, Certificates
from .faults import Fault
from .mailhost import MailHost
from .raw_client import PLAIN_LOGIN, RawClient
from .scripted import ScriptedServer

USERS = {"user": "secret"}
ENVELOPE = ["MAIL FROM:<a@test>", "RCPT TO:<b@test>", "DATA"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.create(tmp_path_factory.mktemp("certificates"))


class TestTheCertificates:
    def test_of_the_valid_kind_are_accepted(self, certificates: Certificates) -> None:
        with ScriptedServer(tls="implicit", context=certificates.server_context()) as server:
            with RawClient(server.port, context=certificates.client_context()) as client:
                assert client.reply().startswith("220")
            for host in ("localhost", "127.0.0.1"):
                smtplib.SMTP_SSL(host, server.port, context=certificates.client_context()).quit()

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("wrong_host", "Hostname mismatch"),
            ("expired", "certificate has expired"),
            ("untrusted", "unable to get local issuer"),
            ("cn_only", "Hostname mismatch"),
        ],
    )
    def test_of_the_other_kinds_are_refused(
        self, kind: CertificateKind, reason: str, certificates: Certificates
    ) -> None:
        with ScriptedServer(tls="implicit", context=certificates.server_context(kind)) as server:
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                RawClient(server.port, context=certificates.client_context())
            assert server.commands == []

    def test_with_a_name_only_do_not_stand_for_the_address(self, certificates: Certificates) -> None:
        context = certificates.client_context()
        with ScriptedServer(tls="implicit", context=certificates.server_context("name_only")) as server:
            smtplib.SMTP_SSL("localhost", server.port, context=context).quit()
            with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
                smtplib.SMTP_SSL("127.0.0.1", server.port, context=context)

    def test_of_another_ca_are_not_trusted(self, certificates: Certificates) -> None:
        context = certificates.client_context(certificates.other_ca_file)
        server = ScriptedServer(tls="implicit", context=certificates.server_context())
        with server, pytest.raises(ssl.SSLCertVerificationError):
            RawClient(server.port, context=context)

    def test_of_an_old_tls_version_are_never_reached(self, certificates: Certificates) -> None:
        server = ScriptedServer(tls="implicit", context=certificates.old_tls_context())
        with server, pytest.raises(ssl.SSLError, match=r"(?i)protocol version|legacy sigalg"):
            RawClient(server.port, context=certificates.client_context())


class TestStarttls:
    def test_comes_before_login_and_mail(self, certificates: Certificates) -> None:
        server = ScriptedServer(tls="starttls", context=certificates.server_context(), auth=USERS)
        with server, RawClient(server.port) as client:
            client.reply()
            capabilities = client.ask("EHLO client")
            assert "STARTTLS" in capabilities
            assert "AUTH" not in capabilities
            assert [client.code(PLAIN_LOGIN), client.code("MAIL FROM:<a@test>")] == [538, 530]
            assert client.code("STARTTLS") == 220
            client.start_tls(certificates.client_context())
            assert client.code("MAIL FROM:<a@test>") == 503
            capabilities = client.ask("EHLO client")
            assert "AUTH PLAIN LOGIN" in capabilities
            assert "STARTTLS" not in capabilities
            assert [client.code("MAIL FROM:<a@test>"), client.code(PLAIN_LOGIN)] == [530, 235]
            clear = [command.line for command in server.commands if not command.over_tls]
            assert clear[-1] == "STARTTLS"
            assert PLAIN_LOGIN in clear

    def test_throws_away_what_came_in_clear_behind_it(self, certificates: Certificates) -> None:
        server = ScriptedServer(tls="starttls", context=certificates.server_context())
        with server, RawClient(server.port) as client:
            client.reply()
            client.say("EHLO client", "STARTTLS", "NOOP injected")
            assert client.reply().startswith("250")
            assert client.reply().startswith("220")
            client.start_tls(certificates.client_context())
            assert client.code("EHLO client") == 250
            assert "NOOP injected" not in [command.line for command in server.commands]

    def test_can_be_refused_and_the_connection_goes_on_in_clear(self, certificates: Certificates) -> None:
        fault = Fault("starttls", "454 4.7.0 TLS not available")
        server = ScriptedServer([fault], tls="starttls", context=certificates.server_context())
        with server, RawClient(server.port) as client:
            client.reply()
            assert [client.code("EHLO client"), client.code("STARTTLS"), client.code("NOOP")] == [
                250,
                454,
                250,
            ]

    def test_can_carry_a_reply_injected_before_the_handshake(self, certificates: Certificates) -> None:
        fault = Fault("starttls", "220 go ahead\r\n250 injected")
        server = ScriptedServer([fault], tls="starttls", context=certificates.server_context())
        with server, RawClient(server.port) as client:
            client.reply()
            client.ask("EHLO client")
            assert [client.ask("STARTTLS"), client.reply()] == ["220 go ahead", "250 injected"]
            client.start_tls(certificates.client_context())
            assert client.code("EHLO client") == 250


@pytest.mark.parametrize("manner", ["close", "reset", "timeout", "endless", "slow", "421 4.3.2 bye"])
@pytest.mark.parametrize("place", ["greeting", "after_dot"])
def test_faults_happen_over_tls_too(place: str, manner: str, certificates: Certificates) -> None:
    fault = Fault(place, manner, interval=0.001)  # type: ignore[arg-type]
    with ScriptedServer([fault], tls="implicit", context=certificates.server_context()) as server:
        with RawClient(server.port, context=certificates.client_context()) as client:
            if place == "after_dot":
                assert [client.reply()[:3], client.ask("EHLO client")[:3]] == ["220", "250"]
                assert [client.code(line) for line in ENVELOPE] == [250, 250, 354]
                client.say("hello", ".")
            server.wait_for(lambda: server.happened)
            _observe(manner, client)
        server.wait_for(lambda: server.open_connections == 0)


def _observe(manner: str, client: RawClient) -> None:
    if manner == "close":
        assert client.read(1) == b""
    elif manner == "reset":
        with pytest.raises(ConnectionResetError):  # noqa: PT012
            while socket.socket.recv(client.sock, 65536):  # below TLS: Python's TLS shows a reset as a plain end
                pass
    elif manner == "timeout":
        client.sock.settimeout(0.02)
        with pytest.raises(TimeoutError):
            client.read(1)
    else:
        assert client.read(30)[:3] in (b"220", b"250", b"421")


class TestLogin:
    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    @pytest.mark.parametrize("at_once", [True, False])
    def test_takes_the_right_password_only(self, mechanism: str, at_once: bool) -> None:
        with ScriptedServer(auth=USERS, auth_mechanisms=[mechanism]) as server:
            for password in ("wrong", "secret"):
                with smtplib.SMTP(server.host, server.port) as client:
                    if password == "wrong":
                        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                            client.login("user", password, initial_response_ok=at_once)
                    else:
                        client.login("user", password, initial_response_ok=at_once)
                        client.sendmail("a@test", ["b@test"], "hello")
            assert [message.user for message in server.messages] == ["user"]
            recorded = "\n".join(command.line for command in server.commands)
            secret = b"secret" if mechanism == "LOGIN" else b"\0user\0secret"
            assert base64.b64encode(secret).decode() in recorded

    def test_with_xoauth2_answers_a_bad_token_with_a_challenge_first(self) -> None:
        server = ScriptedServer(auth={"user": "token"}, auth_mechanisms=["XOAUTH2"])
        with server, RawClient(server.port) as client:
            client.reply()
            assert "AUTH XOAUTH2" in client.ask("EHLO client")
            assert client.code(f"AUTH XOAUTH2 {_xoauth2('stale')}") == 334
            assert client.code("") == 535
            assert client.code("AUTH XOAUTH2") == 334
            assert client.code(_xoauth2("token")) == 235

    @pytest.mark.parametrize("answer", ["*", "not base64"])
    def test_can_be_cancelled(self, answer: str) -> None:
        with ScriptedServer(auth=USERS) as server, RawClient(server.port) as client:
            client.reply()
            assert [client.code("EHLO client"), client.code("AUTH LOGIN"), client.code(answer)] == [
                250,
                334,
                501,
            ]


def _xoauth2(token: str) -> str:
    return base64.b64encode(f"user=user\x01auth=Bearer {token}\x01\x01".encode()).decode()


class TestMailHost:
    @pytest.mark.parametrize("tls", [None, "implicit", "starttls"])
    def test_takes_mail_after_tls_and_login(self, tls: str | None, certificates: Certificates) -> None:
        context = certificates.server_context() if tls else None
        with MailHost(tls=tls, context=context, users=USERS) as host:  # type: ignore[arg-type]
            with _connect(host, tls, certificates) as client:
                assert client.mail("a@test")[0] == 530
                with pytest.raises(smtplib.SMTPAuthenticationError):
                    client.login("user", "wrong")
                client.login("user", "secret")
                assert client.has_extn("pipelining")
                client.sendmail("a@test", ["b@test"], "Message-ID: <1@test>\r\n\r\n.dot\r\n")
            (message,) = host.messages
        assert (message.user, message.over_tls, message.connection) == ("user", tls is not None, 1)
        assert message.content == b"Message-ID: <1@test>\r\n\r\n.dot\r\n"
        assert host.received_message_ids() == ["<1@test>"]
        assert host.open_connections == 0

    def test_insists_on_starttls(self, certificates: Certificates) -> None:
        host = MailHost(tls="starttls", context=certificates.server_context(), users=USERS)
        with host, RawClient(host.port) as client:
            client.reply()
            capabilities = client.ask("EHLO client")
            assert "STARTTLS" in capabilities
            assert "AUTH" not in capabilities
            assert client.code(PLAIN_LOGIN) in (530, 538)
            assert client.code("MAIL FROM:<a@test>") == 530

    def test_answers_for_one_recipient_as_it_is_told(self) -> None:
        replies = {"c@test": ["451 4.2.1 busy", "550 5.1.1 gone"]}
        with MailHost(rcpt_replies=replies) as host, smtplib.SMTP(host.host, host.port) as client:
            seen = [client.sendmail("a@test", ["b@test", "c@test"], "hello") for _ in range(3)]
            assert seen == [{"c@test": (451, b"4.2.1 busy")}, {"c@test": (550, b"5.1.1 gone")}, {}]
            assert [len(message.recipients) for message in host.messages] == [1, 1, 2]

    def test_takes_an_envelope_in_one_write(self) -> None:
        with MailHost() as host, RawClient(host.port) as client:
            client.reply()
            client.ask("EHLO client")
            client.say(*ENVELOPE)
            assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
            assert client.code("hello\r\n.") == 250

    def test_takes_hundreds_of_messages_from_24_connections_at_once(self, certificates: Certificates) -> None:
        with MailHost(tls="implicit", context=certificates.server_context(), users=USERS) as host:

            def send_some(worker: int) -> None:
                with _connect(host, "implicit", certificates) as client:
                    client.login("user", "secret")
                    host.wait_for(lambda: host.peak_connections == 24)
                    for number in range(15):
                        client.sendmail("a@test", ["b@test"], f"Message-ID: <{worker}.{number}@test>\r\n\r\nhello")

            with ThreadPoolExecutor(24) as pool:
                list(pool.map(send_some, range(24)))
            assert len(set(host.received_message_ids())) == len(host.messages) == 360
            assert {message.connection for message in host.messages} == set(range(1, 25))

    def test_stops_quickly_and_twice_with_clients_still_connected(self, certificates: Certificates) -> None:
        with MailHost(tls="implicit", context=certificates.server_context()) as host:
            clients = [_connect(host, "implicit", certificates) for _ in range(3)]
            started = time.monotonic()
            host.stop()
            host.stop()
            assert time.monotonic() - started < 30
            for client in clients:
                client.close()


def _connect(host: MailHost, tls: str | None, certificates: Certificates) -> smtplib.SMTP:
    if tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", host.port, context=certificates.client_context())
    else:
        client = smtplib.SMTP("localhost", host.port)
    if tls == "starttls":
        client.starttls(context=certificates.client_context())
    client.ehlo()
    return client
