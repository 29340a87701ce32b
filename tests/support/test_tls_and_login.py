"""Certificates, TLS and AUTH of both servers, and `MailHost` under load."""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
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


def _connect(host: MailHost, tls: str | None, certificates: Certificates) -> smtplib.SMTP:
    if tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", host.port, context=certificates.client_context())
    else:
        client = smtplib.SMTP("localhost", host.port)
    if tls == "starttls":
        client.starttls(context=certificates.client_context())
    client.ehlo()
    return client
