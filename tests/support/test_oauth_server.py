"""The authorization server does what RFC 6749, 7009, 7636 and 8628 say, and what its knobs say instead."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from .certs import Certificates
from .http_listener import HttpListener
from .oauth_server import DEVICE_CODE, OAuthServer

VERIFIER = "a-verifier-of-at-least-forty-three-characters"
FORTY_THREE = "x" * 43


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with OAuthServer() as server:
        yield server


@contextlib.contextmanager
def client(server: OAuthServer, *, auth: str = "none", **options: Any) -> Iterator[Any]:
    """An OAuth2Session; *auth* other than "none" is the confidential client's."""
    secret = None if auth == "none" else server.client_secret
    identity = server.public_client_id if secret is None else server.confidential_client_id
    options = {"code_challenge_method": "S256", "default_timeout": 10, **options}
    with OAuth2Session(identity, secret, auth, auth, **options) as session:
        session.trust_env = False
        yield session


class Listener(HttpListener):
    """What a program that logs in starts: it takes one redirect after the other."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(dict(parse_qsl(urlsplit(self.path).query)))
                self.send_response(204)
                self.end_headers()

        super().__init__(Handler)
        self.url += "/callback"


def authorize(session: Any, server: OAuthServer, **options: Any) -> dict[str, str]:
    """Follow the redirects; what arrived at the listener, `state` checked and its address added."""
    with Listener() as listener:
        session.redirect_uri = listener.url
        url, state = session.create_authorization_url(server.authorize_url, **{"code_verifier": VERIFIER, **options})
        assert session.get(url, withhold_token=True).status_code == 204
    (arrived,) = listener.asked
    assert arrived.pop("state") == state
    return arrived


def login(session: Any, server: OAuthServer) -> dict[str, Any]:
    """The whole code flow."""
    code = authorize(session, server)["code"]
    return session.fetch_token(server.token_url, code=code, code_verifier=VERIFIER)  # type: ignore[no-any-return]


def refused(ask: Callable[[], object]) -> str:
    """The error code with which *ask* is refused."""
    with pytest.raises(OAuthError) as caught:
        ask()
    return str(caught.value.error)


def ask_for_token(server: OAuthServer, **form: str) -> requests.Response:
    """One client_credentials request without Authlib's view of the answer."""
    with requests.Session() as session:
        session.trust_env = False
        return session.post(
            server.token_url,
            {"grant_type": "client_credentials", **form},
            auth=(server.confidential_client_id, server.client_secret),
            timeout=10,
        )


class TestTheCodeFlow:
    def test_redirects_at_once_to_any_loopback_port_and_to_nowhere_else(self, server: OAuthServer) -> None:
        with client(server) as session:
            for uri, status in (
                ("http://127.0.0.1:1/x", 302),
                ("http://localhost:65535", 302),
                ("http://127.0.0.1.example.com/", 400),
                ("http://localhost@example.com/", 400),
                ("http://example.com/", 400),
                ("https://127.0.0.1/", 400),
                (None, 400),
            ):
                url, _ = session.create_authorization_url(
                    server.authorize_url, code_verifier=VERIFIER, redirect_uri=uri
                )
                answer = session.get(url, withhold_token=True, allow_redirects=False)
                assert answer.status_code == status, uri
                assert answer.headers.get("Location", "").startswith(uri if uri and status == 302 else ""), uri

    def test_needs_pkce_with_s256(self, server: OAuthServer) -> None:
        with client(server, auth="client_secret_basic") as session:
            for options in (
                {"code_verifier": None},
                {"code_verifier": None, "code_challenge": FORTY_THREE},
                {"code_verifier": None, "code_challenge": FORTY_THREE, "code_challenge_method": "plain"},
                {"code_verifier": None, "code_challenge_method": "S256"},
            ):
                assert authorize(session, server, **options)["error"] == "invalid_request"

    def test_refuses_a_wrong_verifier_and_none(self, server: OAuthServer) -> None:
        with client(server) as session:
            code = authorize(session, server)["code"]
            ask = session.fetch_token
            assert refused(lambda: ask(server.token_url, code=code, code_verifier=FORTY_THREE)) == "invalid_grant"
            assert refused(lambda: ask(server.token_url, code=code)) == "invalid_request"
        assert server.issued == []

    def test_refuses_a_code_that_was_used_or_is_old_or_came_for_another(self, server: OAuthServer) -> None:
        with client(server) as session, client(server, auth="client_secret_post") as other:
            code = authorize(session, server)["code"]
            ask = {"url": server.token_url, "code": code, "code_verifier": VERIFIER}
            assert refused(lambda: other.fetch_token(**ask, redirect_uri=session.redirect_uri)) == "invalid_grant"
            assert refused(lambda: session.fetch_token(**ask, redirect_uri="http://localhost/")) == "invalid_grant"
            session.fetch_token(**ask)
            assert refused(lambda: session.fetch_token(**ask)) == "invalid_grant"
            ask["code"] = authorize(session, server)["code"]
            at = server.now() + 61
            server.now = lambda: at
            assert refused(lambda: session.fetch_token(**ask)) == "invalid_grant"

    def test_refuses_a_client_that_it_does_not_know_or_that_has_a_wrong_secret(self, server: OAuthServer) -> None:
        with client(server, auth="client_secret_basic") as session:
            session.client_secret = "wrong"
            assert refused(lambda: session.fetch_token(server.token_url)) == "invalid_client"
            session.client_id = "unknown"
            assert refused(lambda: session.fetch_token(server.token_url)) == "invalid_client"
        with client(server) as session:  # the confidential client without its secret
            session.client_id = server.confidential_client_id
            assert refused(lambda: login(session, server)) == "invalid_client"


class TestARefresh:
    def test_brings_no_more_than_was_granted(self, server: OAuthServer) -> None:
        with client(server, scope="a b") as session:
            login(session, server)
            assert session.refresh_token(server.token_url, scope="b")["scope"] == "b"
            assert refused(lambda: session.refresh_token(server.token_url, scope="b c")) == "invalid_scope"

    def test_with_rotation_ends_the_old_refresh_token(self, server: OAuthServer) -> None:
        server.rotate = True
        with client(server) as session:
            old = login(session, server)["refresh_token"]
            new = session.refresh_token(server.token_url)["refresh_token"]
            assert server.refresh_tokens == [old, new]
            assert refused(lambda: session.refresh_token(server.token_url, refresh_token=old)) == "invalid_grant"
            assert session.refresh_token(server.token_url)["refresh_token"] not in (old, new)


class TestTheDeviceFlow:
    def start(self, session: Any, server: OAuthServer) -> dict[str, Any]:
        form = {"client_id": server.public_client_id, "scope": "a b"}
        answer = session.post(server.device_url, form, withhold_token=True)
        assert answer.status_code == 200
        return answer.json()  # type: ignore[no-any-return]

    def poll(self, session: Any, server: OAuthServer, device: dict[str, Any]) -> Any:
        return session.fetch_token(server.token_url, grant_type=DEVICE_CODE, device_code=device["device_code"])

    def test_ends_when_the_device_code_expires(self, server: OAuthServer) -> None:
        with client(server) as session:
            device = self.start(session, server)
            at = server.now() + device["expires_in"]
            server.now = lambda: at
            assert refused(lambda: self.poll(session, server, device)) == "expired_token"


class TestClientCredentials:
    def test_are_not_for_a_client_without_a_secret(self, server: OAuthServer) -> None:
        with client(server) as session:
            assert refused(lambda: session.fetch_token(server.token_url)) == "invalid_client"


class TestAToken:
    def test_is_good_until_it_expires_by_the_servers_clock(self, server: OAuthServer) -> None:
        server.expires_in = 10
        token = ask_for_token(server).json()["access_token"]
        start = server.now()
        server.now = lambda: start + 9
        assert server.valid(token) == "ops@example.com"
        server.now = lambda: start + 11
        assert server.valid(token) is None

    def test_is_good_until_the_test_ends_it(self, server: OAuthServer) -> None:
        one, two, three = (ask_for_token(server).json()["access_token"] for _ in range(3))
        server.expire(one)
        server.revoke(two)
        assert [server.valid(token) for token in (one, two, three, "at-other")] == [None, None, server.user, None]


class TestRevocation:
    @pytest.mark.parametrize("rotate", [False, True])
    def test_of_a_refresh_token_is_of_all_that_came_of_the_grant(self, server: OAuthServer, rotate: bool) -> None:
        server.rotate = rotate
        with client(server, auth="client_secret_basic") as session:
            login(session, server)
            session.refresh_token(server.token_url)
            other = session.fetch_token(server.token_url, grant_type="client_credentials")["access_token"]
            hint = {"token_type_hint": "access_token"}  # wrong, and to be ignored
            assert session.revoke_token(server.revoke_url, server.refresh_tokens[-1], **hint).status_code == 200
            assert [token for token in server.issued if server.valid(token)] == [other]
            last = server.refresh_tokens[-1]
            assert refused(lambda: session.refresh_token(server.token_url, last)) == "invalid_grant"


class TestATokenEndpointThatFails:
    def test_by_a_fault_of_the_test_fails_the_test(self) -> None:
        def broken(*_arguments: object) -> str:
            raise ZeroDivisionError

        server = OAuthServer().start()
        server.make_access_token = broken
        assert ask_for_token(server).status_code == 500
        with pytest.raises(RuntimeError, match="failed") as caught:
            server.__exit__(None, None, None)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


class TestOverTls:
    def test_it_works_for_a_client_that_trusts_it_and_for_no_other(self, certificates: Certificates) -> None:
        with OAuthServer(context=certificates.server_context()) as server, client(server) as session:
            assert server.url.startswith("https://127.0.0.1:")
            session.verify = str(certificates.ca_file)
            token = login(session, server)
            assert server.valid(token["access_token"])
            session.verify = str(certificates.other_ca_file)
            with pytest.raises(requests.exceptions.SSLError):
                session.refresh_token(server.token_url)
            assert server.count("refresh_token") == 0


def test_waiting_in_vain_fails_the_test(server: OAuthServer) -> None:
    with pytest.raises(AssertionError, match="not within"):
        server.wait_for(lambda: server.issued, timeout=0.01)
