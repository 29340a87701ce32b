"""The authorization server does what RFC 6749, 7009, 7636 and 8628 say, and what its knobs say instead."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from .certs import Certificates
from .http_listener import HttpListener
from .oauth_server import DEVICE_CODE, Failure, OAuthServer, Refusal

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
    @pytest.mark.parametrize("auth", ["none", "client_secret_basic", "client_secret_post"])
    def test_brings_tokens(self, server: OAuthServer, auth: str) -> None:
        with client(server, auth=auth, scope="mail.send offline") as session:
            token = login(session, server)
        assert server.issued == [token["access_token"]]
        assert server.refresh_tokens == [token["refresh_token"]]
        assert (token["scope"], token["expires_in"]) == ("mail.send offline", 3600)
        assert server.valid(token["access_token"]) == "ops@example.com"
        assert [asked.path for asked in server.requests] == ["/authorize", "/token"]
        assert server.count("authorization_code") == 1
        asked = server.requests[1]
        assert asked.form["code_verifier"] == VERIFIER
        assert ("Authorization" in asked.headers) == (auth == "client_secret_basic")

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

    def test_ends_with_access_denied_where_the_person_says_no(self, server: OAuthServer) -> None:
        server.deny = True
        with client(server) as session:
            assert authorize(session, server)["error"] == "access_denied"

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
    def test_brings_another_access_token_as_often_as_one_asks(self, server: OAuthServer) -> None:
        with client(server, scope="a b") as session:
            first = login(session, server)
            second, third = session.refresh_token(server.token_url), session.refresh_token(server.token_url)
        assert server.issued == [token["access_token"] for token in (first, second, third)]
        assert len(set(server.issued)) == 3
        assert server.refresh_tokens == [first["refresh_token"]]
        assert (third["scope"], server.count("refresh_token")) == ("a b", 2)

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

    def test_with_rotation_is_granted_once_to_many_that_ask_at_once(self, server: OAuthServer) -> None:
        server.rotate = True
        with client(server) as session:
            old = login(session, server)["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": old, "client_id": server.public_client_id}

        def once_all_have_asked(*_arguments: object) -> str:
            server.wait_for(lambda: server.count("refresh_token") == 16)
            return "at-the-only-one"

        server.make_access_token = once_all_have_asked
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda _: ask_status(server, form), range(16)))
        assert sorted(statuses) == [200] + [400] * 15

    def test_is_refused_once_the_refresh_token_is_revoked(self, server: OAuthServer) -> None:
        with client(server) as session:
            token = login(session, server)
            server.revoke_refresh(token["refresh_token"])
            assert refused(lambda: session.refresh_token(server.token_url)) == "invalid_grant"
        assert server.valid(token["access_token"])

    def test_is_refused_to_another_client(self, server: OAuthServer) -> None:
        with client(server) as session, client(server, auth="client_secret_basic") as other:
            stolen = login(session, server)["refresh_token"]
            assert refused(lambda: other.refresh_token(server.token_url, refresh_token=stolen)) == "invalid_grant"


def ask_status(server: OAuthServer, form: dict[str, str]) -> int:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(server.token_url, form, timeout=10).status_code


class TestTheDeviceFlow:
    def start(self, session: Any, server: OAuthServer) -> dict[str, Any]:
        form = {"client_id": server.public_client_id, "scope": "a b"}
        answer = session.post(server.device_url, form, withhold_token=True)
        assert answer.status_code == 200
        return answer.json()  # type: ignore[no-any-return]

    def poll(self, session: Any, server: OAuthServer, device: dict[str, Any]) -> Any:
        return session.fetch_token(server.token_url, grant_type=DEVICE_CODE, device_code=device["device_code"])

    def test_brings_tokens_once_the_person_has_approved(self, server: OAuthServer) -> None:
        server.interval, server.device_expires_in = 1, 42
        with client(server) as session:
            device = self.start(session, server)
            assert (device["interval"], device["expires_in"]) == (1, 42)
            assert server.user_codes == [device["user_code"]]
            assert refused(lambda: self.poll(session, server, device)) == "authorization_pending"
            assert refused(lambda: self.poll(session, server, device)) == "authorization_pending"
            server.approve_device(device["user_code"])
            token = self.poll(session, server, device)
            assert (token["scope"], token["access_token"]) == ("a b", server.issued[0])
            assert session.refresh_token(server.token_url)["access_token"] == server.issued[1]
            assert refused(lambda: self.poll(session, server, device)) == "invalid_grant"
        assert server.count(DEVICE_CODE) == 4

    def test_is_approved_by_a_visit_to_the_complete_address(self, server: OAuthServer) -> None:
        with client(server) as session:
            device = self.start(session, server)
            assert device["verification_uri_complete"].startswith(device["verification_uri"] + "?user_code=")
            assert session.get(device["verification_uri"], withhold_token=True).status_code == 404
            assert session.get(device["verification_uri_complete"], withhold_token=True).status_code == 200
            assert self.poll(session, server, device)["access_token"] == server.issued[0]

    def test_slows_the_client_down_as_often_as_it_is_told(self, server: OAuthServer) -> None:
        with client(server) as session:
            device = self.start(session, server)
            server.slow_down()
            assert refused(lambda: self.poll(session, server, device)) == "slow_down"
            assert refused(lambda: self.poll(session, server, device)) == "authorization_pending"
            server.slow_down(2)
            server.approve_device(device["user_code"])
            assert refused(lambda: self.poll(session, server, device)) == "slow_down"
            assert refused(lambda: self.poll(session, server, device)) == "slow_down"
            self.poll(session, server, device)

    def test_ends_where_the_person_says_no(self, server: OAuthServer) -> None:
        with client(server) as session:
            device = self.start(session, server)
            server.deny_device(device["user_code"])
            assert refused(lambda: self.poll(session, server, device)) == "access_denied"

    def test_ends_when_the_device_code_expires(self, server: OAuthServer) -> None:
        with client(server) as session:
            device = self.start(session, server)
            at = server.now() + device["expires_in"]
            server.now = lambda: at
            assert refused(lambda: self.poll(session, server, device)) == "expired_token"

    def test_cannot_be_approved_by_a_code_that_nobody_has(self, server: OAuthServer) -> None:
        with pytest.raises(KeyError):
            server.approve_device("BCDF-GHJK")


class TestClientCredentials:
    @pytest.mark.parametrize("auth", ["client_secret_basic", "client_secret_post"])
    def test_bring_an_access_token_alone(self, server: OAuthServer, auth: str) -> None:
        with client(server, auth=auth) as session:
            token = session.fetch_token(server.token_url)
        assert "refresh_token" not in token
        assert token["scope"] == "mail.send"
        assert server.valid(token["access_token"]) == server.user

    def test_are_not_for_a_client_without_a_secret(self, server: OAuthServer) -> None:
        with client(server) as session:
            assert refused(lambda: session.fetch_token(server.token_url)) == "invalid_client"

    def test_may_have_a_secret_that_http_basic_would_break_on(self) -> None:
        with OAuthServer(client_secret="a:b%20+/ü") as server:
            quoted = base64.b64encode(f"{server.confidential_client_id}:a%3Ab%2520%2B%2F%C3%BC".encode()).decode()
            with requests.Session() as session:
                session.trust_env = False
                headers = {"Authorization": f"Basic {quoted}"}
                form = {"grant_type": "client_credentials"}
                assert session.post(server.token_url, form, headers=headers, timeout=10).status_code == 200


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

    def test_may_come_without_a_lifetime(self, server: OAuthServer) -> None:
        server.expires_in = None
        answer = ask_for_token(server).json()
        assert "expires_in" not in answer
        assert server.valid(answer["access_token"])

    def test_may_come_without_a_refresh_token(self, server: OAuthServer) -> None:
        server.issue_refresh_token = False
        with client(server) as session:
            assert "refresh_token" not in login(session, server)
        assert server.refresh_tokens == []

    @pytest.mark.parametrize("length", [10, 64, 6000])
    def test_is_as_long_as_the_test_wants(self, server: OAuthServer, length: int) -> None:
        server.token_bytes = length
        token = ask_for_token(server).json()["access_token"]
        assert (token[:3], len(token)) == ("at-", length)

    def test_may_be_made_by_the_test(self, server: OAuthServer) -> None:
        server.now = lambda: 1000.5
        server.make_access_token = lambda user, scope, expires_at: f"{user} {scope} {expires_at}"
        assert ask_for_token(server, scope="b").json()["access_token"] == "ops@example.com b 4600"
        assert server.valid("ops@example.com b 4600")


class TestRevocation:
    def test_of_an_access_token_is_of_it_alone(self, server: OAuthServer) -> None:
        with client(server) as session:
            token = login(session, server)
            assert session.revoke_token(server.revoke_url, token["access_token"]).status_code == 200
            assert server.valid(token["access_token"]) is None
            session.refresh_token(server.token_url)

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

    def test_of_what_nobody_knows_succeeds(self, server: OAuthServer) -> None:
        with client(server) as session:
            assert session.revoke_token(server.revoke_url, "rt-unknown").status_code == 200

    def test_is_refused_to_another_client(self, server: OAuthServer) -> None:
        with client(server) as session, client(server, auth="client_secret_basic") as other:
            token = login(session, server)["refresh_token"]
            assert other.revoke_token(server.revoke_url, token).json() == {"error": "invalid_grant"}
            session.refresh_token(server.token_url)


class TestATokenEndpointThatFails:
    def test_refuses_with_any_error_and_any_description(self, server: OAuthServer) -> None:
        text = 'no \x1b[31m<b onload="x">\r\nX: y\u202e[/red]'
        server.refuse = Refusal("temporarily_unavailable", text, 503)
        answer = ask_for_token(server)
        assert answer.status_code == 503
        assert answer.json() == {"error": "temporarily_unavailable", "error_description": text}
        assert server.issued == []
        server.refuse = None
        assert ask_for_token(server).status_code == 200

    @pytest.mark.parametrize(
        "failure",
        [
            Failure(500, "<html><h1>Internal Server Error</h1></html>"),
            Failure(200, "not JSON", "application/json"),
            Failure(200, '["a list"]', "application/json"),
            Failure(200, '{"token_type": "Bearer"}', "application/json"),
            Failure(200, b"\xff\xfe\x00"),
            Failure(200, ""),
            Failure(429, "", headers={"Retry-After": "7"}),
            Failure(302, "", headers={"Location": "http://127.0.0.1:1/"}),
        ],
        ids=lambda failure: f"{failure.status} {failure.body[:12]!r}",
    )
    def test_answers_what_it_is_told(self, server: OAuthServer, failure: Failure) -> None:
        server.fail_with = failure
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(server.token_url, {"grant_type": "x"}, timeout=10, allow_redirects=False)
        body = failure.body.encode() if isinstance(failure.body, str) else failure.body
        assert (answer.status_code, answer.content) == (failure.status, body)
        assert answer.headers["Content-Type"] == failure.content_type
        assert failure.headers.items() <= answer.headers.items()
        assert (server.issued, server.count("x")) == ([], 1)

    def test_that_delays_has_done_its_work_before(self, server: OAuthServer) -> None:
        server.delay = 60
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask_for_token, server)
            server.wait_for(lambda: server.issued)
            assert not waiting.done()
            server.close()
            with pytest.raises(requests.ConnectionError):
                waiting.result()

    def test_that_delays_answers_then(self, server: OAuthServer) -> None:
        server.delay = 0.05
        answer = ask_for_token(server)
        assert answer.elapsed.total_seconds() >= 0.05
        assert answer.json()["access_token"] == server.issued[0]

    def test_that_hangs_ends_when_it_is_closed(self, server: OAuthServer) -> None:
        server.hang = True
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(ask_for_token, server) for _ in range(3)]
            server.wait_for(lambda: server.count("client_credentials") == 3)
            assert not any(one.done() for one in waiting)
            server.close()
            server.close()
            for one in waiting:
                with pytest.raises(requests.ConnectionError):
                    one.result()
        assert server.issued == []

    def test_by_a_fault_of_the_test_fails_the_test(self) -> None:
        def broken(*_arguments: object) -> str:
            raise ZeroDivisionError

        server = OAuthServer().start()
        server.make_access_token = broken
        assert ask_for_token(server).status_code == 500
        with pytest.raises(RuntimeError, match="failed") as caught:
            server.__exit__(None, None, None)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def connect(server: OAuthServer) -> socket.socket:
    return socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), 10)


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

    def test_a_client_that_says_nothing_holds_up_neither_others_nor_the_end(self, certificates: Certificates) -> None:
        context = certificates.server_context()
        with OAuthServer(context=context) as server, client(server) as session:
            with connect(server) as silent:
                session.verify = str(certificates.ca_file)
                login(session, server)
                server.close()
                assert silent.recv(1) == b""


def send_nonsense(server: OAuthServer) -> None:
    """Neither HTTP nor TLS, and read what comes back."""
    with connect(server) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(b"\x00\r\n\r\n")
        while raw.recv(1000):
            pass


def test_it_says_nothing(
    certificates: Certificates, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with OAuthServer() as server, client(server) as session:
        login(session, server)
        server.fail_with = Failure(500, "")
        ask_for_token(server)
        session.get(server.url + "/nowhere", withhold_token=True)
        session.get(server.token_url, withhold_token=True)
        send_nonsense(server)
        server.hang = True
        with pytest.raises(requests.ReadTimeout):
            session.get(server.token_url, withhold_token=True, timeout=0.05)
    with OAuthServer(context=certificates.server_context()) as server:
        send_nonsense(server)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_closed_server_refuses_connections_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with contextlib.ExitStack() as silent, OAuthServer() as server:
        for _ in range(20):
            silent.enter_context(connect(server))
        ask_for_token(server)
        assert len(set(threading.enumerate()) - before) > 20
        server.close()
        assert set(threading.enumerate()) <= before
    with pytest.raises(requests.ConnectionError):
        ask_for_token(server)


def test_waiting_in_vain_fails_the_test(server: OAuthServer) -> None:
    with pytest.raises(AssertionError, match="not within"):
        server.wait_for(lambda: server.issued, timeout=0.01)


def test_what_it_answers_is_not_to_be_kept(server: OAuthServer) -> None:
    answer = ask_for_token(server)
    assert (answer.headers["Cache-Control"], answer.headers["Content-Type"]) == ("no-store", "application/json")
    assert json.loads(answer.content)["token_type"] == "Bearer"
