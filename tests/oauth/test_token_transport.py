"""The way to the authorization server: what is no HTTP, whoever stands in between, and no secret to anybody else."""

from __future__ import annotations

import gc
import socket
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from prx_email_cli.oauth import server
from prx_email_cli.smtp.credentials import TokenLogin

from ..support.certs import Certificates
from ..support.oauth_server import Failure, OAuthServer
from ..support.scripted import refusing_port
from .field import USER, account_asking, account_with, failed_renewal, given_by, renewed_by


@contextmanager
def listening(pieces: Iterable[bytes]) -> Iterator[str]:
    """A token address whose server says *pieces* to its one request, as long as it is listened to, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            connection.settimeout(0.2)
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
                if over.is_set():
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/token"
    finally:
        over.set()
        thread.join(5)
        listener.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"220 mail.example.com ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n{}",
        b"\x16\x03\x01\x00\x00",
    ],
    ids=["nothing", "SMTP", "half", "bad chunks", "bad gzip", "bad status", "long header", "many headers", "TLS"],
)
def test_what_is_no_http_is_no_token(answer: bytes, oauth: OAuthServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # requests leaves what cannot be decoded to the collector
        with listening([answer]) as url:
            failed = failed_renewal(account_asking(oauth, token_url=url))
        told = (failed.category, failed.hint.split(";")[0])
        del failed
        gc.collect()
    assert told == ("network", "check the network and token_url")


def test_a_connection_refused_is_told_in_few_words(oauth: OAuthServer) -> None:
    with refusing_port() as port:
        failed = failed_renewal(account_asking(oauth, token_url=f"http://127.0.0.1:{port}/token"))
    assert failed.message == f"cannot get an OAuth token: http://127.0.0.1:{port}/token: Connection refused"
    assert failed.category == "network"


def test_an_unknown_host_is_told(oauth: OAuthServer) -> None:
    failed = failed_renewal(account_asking(oauth, token_url="https://login.invalid/token"))
    assert (failed.category, "https://login.invalid/token" in failed.message) == ("network", True)


def test_one_that_never_answers_is_left_in_time(oauth: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(server.TIMEOUT_SECONDS) <= 60
    monkeypatch.setattr(server, "TIMEOUT_SECONDS", (0.3, 0.3))
    oauth.hang = True
    failed = failed_renewal(account_asking(oauth))
    assert (failed.category, "timeout" in failed.message) == ("network", True)


def test_an_answer_without_end_is_left_before_it_fills_the_memory(oauth: OAuthServer) -> None:
    megabytes = [0]

    def pieces() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        while megabytes[0] < 64:
            megabytes[0] += 1
            yield b" " * (1 << 20)

    with listening(pieces()) as url:
        failed_renewal(account_asking(oauth, token_url=url))
    assert megabytes[0] < 32  # the kernel's buffers are taken to the brim before anybody looks


class TestARedirect:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_is_not_followed_with_the_secrets(self, status: int, oauth: OAuthServer) -> None:
        with OAuthServer() as elsewhere:
            location = {"Location": elsewhere.token_url}
            oauth.fail_with = Failure(status, "moved", "text/plain", location)
            failed = failed_renewal(account_asking(oauth))
            assert elsewhere.requests == []
        assert (failed.category, len(oauth.requests)) == ("network", 1)

    def test_is_not_followed_on_the_same_host_either(self, oauth: OAuthServer) -> None:
        oauth.fail_with = Failure(307, "moved", "text/plain", {"Location": "/elsewhere"})
        failed_renewal(account_asking(oauth))
        assert [asked.path for asked in oauth.requests] == ["/token"]


def test_a_proxy_never_sees_what_is_for_this_machine(oauth: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """http is permitted towards this machine only, where nobody listens in between."""
    with OAuthServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        given = given_by(oauth)
        TokenLogin(account_with(renewed_by(oauth, given.refresh))).secret()
        assert proxy.requests == []


class TestTls:
    def test_with_a_certificate_that_nobody_vouches_for_gets_no_secret(self, certificates: Certificates) -> None:
        with OAuthServer(context=certificates.server_context("untrusted")) as oauth:
            failed = failed_renewal(account_asking(oauth))
            assert oauth.requests == []
        assert (failed.category, "certificate" in failed.message) == ("network", True)

    @pytest.mark.parametrize("kind", ["wrong_host", "expired"])
    def test_with_a_wrong_certificate_gets_no_secret(
        self, kind: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.ca_file))
        with OAuthServer(context=certificates.server_context(kind)) as oauth:
            assert "certificate" in failed_renewal(account_asking(oauth)).message
            assert oauth.requests == []

    def test_with_a_good_one_of_a_private_ca_is_asked(
        self, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.ca_file))
        with OAuthServer(context=certificates.server_context()) as oauth:
            account = account_with(renewed_by(oauth, given_by(oauth).refresh))
            assert oauth.valid(TokenLogin(account).secret()) == USER
