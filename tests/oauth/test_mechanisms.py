"""What travels: the bytes of both mechanisms, when in one step and when in two, and over which connections."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.smtp.failure import SessionFailed

from ..smtp.courier import hand_over
from ..support.certs import Certificates
from ..support.scripted import ScriptedServer
from .field import USER, account_with, attempts, sessions_of, xoauth2

TOKEN = "ya29.a0-token_of~the+test/with=all==kinds"
MECHANISMS = ["XOAUTH2", "OAUTHBEARER"]
OVERHEAD = {"XOAUTH2": len("AUTH XOAUTH2 \r\n"), "OAUTHBEARER": len("AUTH OAUTHBEARER \r\n")}

each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)


def oauthbearer(token: str, saslname: str, port: int) -> str:
    text = f"n,a={saslname},\x01host=localhost\x01port={port}\x01auth=Bearer {token}\x01\x01"
    return base64.b64encode(text.encode()).decode()


def log_in(server: ScriptedServer, token: str = TOKEN, user: str = USER, **smtp: Any) -> None:
    """Log in, hand one message over and say goodbye."""
    session = sessions_of(account_with({"oauth_token": token}, server.port, user=user, **smtp)).open()
    assert hand_over(session).error is None
    session.close()


def said_in_login(server: ScriptedServer) -> list[str]:
    """From AUTH to before MAIL."""
    lines = [command.line for command in server.commands]
    names = [line.split(" ")[0].upper() for line in lines]
    return lines[names.index("AUTH") : names.index("MAIL")]


def refusal(server: ScriptedServer, **smtp: Any) -> SessionFailed:
    """How it ends where no session is to be had."""
    with pytest.raises(SessionFailed) as failed:
        sessions_of(account_with({"oauth_token": TOKEN}, server.port, **smtp)).open()
    return failed.value


@pytest.mark.parametrize("user", [USER, "a,b=c@example.com", "ops", "=2C", "user name@example.com"])
def test_xoauth2_is_sent_as_google_documents_it(user: str) -> None:
    with ScriptedServer(auth={user: TOKEN}, auth_mechanisms=["XOAUTH2"]) as server:
        log_in(server, user=user)
        assert said_in_login(server) == [f"AUTH XOAUTH2 {xoauth2(TOKEN, user)}"]
        assert [message.user for message in server.messages] == [user]
        assert server.violations == []


@pytest.mark.parametrize(
    ("user", "saslname"),
    [
        (USER, USER),
        ("a,b@example.com", "a=2Cb@example.com"),
        ("a=b@example.com", "a=3Db@example.com"),
        (",=,=", "=2C=3D=2C=3D"),
        ("=2C", "=3D2C"),  # itself already looks escaped
    ],
)
def test_oauthbearer_is_sent_as_rfc_7628_has_it(user: str, saslname: str) -> None:
    with ScriptedServer(auth={user: TOKEN}, auth_mechanisms=["OAUTHBEARER"]) as server:
        log_in(server, user=user)
        assert said_in_login(server) == [f"AUTH OAUTHBEARER {oauthbearer(TOKEN, saslname, server.port)}"]
        assert [message.user for message in server.messages] == [user]
        assert server.violations == []


@each_mechanism
@settings(max_examples=40, deadline=None)
@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80),
    st.from_regex(r"[A-Za-z0-9._~+/=-]{1,700}", fullmatch=True),
)
@example("a=2C=3D,b", "x" * 600)
def test_a_server_reads_the_user_and_the_token_that_were_meant(mechanism: str, user: str, token: str) -> None:
    with ScriptedServer(auth={user: token}, auth_mechanisms=[mechanism]) as server:
        sessions_of(account_with({"oauth_token": token}, server.port, user=user)).open().close()
        assert server.violations == []


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (["OAUTHBEARER", "XOAUTH2"], "XOAUTH2"),
        (["PLAIN", "LOGIN", "XOAUTH2"], "XOAUTH2"),
        (["PLAIN", "LOGIN", "OAUTHBEARER"], "OAUTHBEARER"),
    ],
)
def test_oauthbearer_is_taken_only_where_xoauth2_is_not_offered(offered: list[str], taken: str) -> None:
    with ScriptedServer(auth={USER: TOKEN}, auth_mechanisms=offered) as server:
        log_in(server)
        assert [attempt.split()[0] for attempt in attempts(server)] == [taken]


@each_mechanism
@pytest.mark.parametrize("octets", [499, 503, 507, 511, 515, 519, 1500])
def test_what_does_not_fit_into_a_command_of_512_octets_is_sent_in_two_steps(mechanism: str, octets: int) -> None:
    with ScriptedServer(auth=lambda *_: True, auth_mechanisms=[mechanism]) as server:
        bare = xoauth2("") if mechanism == "XOAUTH2" else oauthbearer("", USER, server.port)
        payload = octets - OVERHEAD[mechanism]
        payload -= payload % 4
        token = "t" * (payload // 4 * 3 - len(base64.b64decode(bare)))
        whole = xoauth2(token) if mechanism == "XOAUTH2" else oauthbearer(token, USER, server.port)
        assert len(whole) == payload
        log_in(server, token)
        at_once = len(f"AUTH {mechanism} {whole}\r\n") <= 512
        assert said_in_login(server) == ([f"AUTH {mechanism} {whole}"] if at_once else [f"AUTH {mechanism}", whole])
        assert at_once == (octets <= 512)
        assert server.violations == []


@each_mechanism
@pytest.mark.parametrize("octets", [4_000, 12_000, 60_000])
def test_a_token_of_any_size_arrives_whole(mechanism: str, octets: int) -> None:
    token = "0123456789abcdef" * (octets // 16)
    with ScriptedServer(auth={USER: token}, auth_mechanisms=[mechanism]) as server:
        log_in(server, token)
        assert [message.user for message in server.messages] == [USER]
        assert server.violations == []


@pytest.mark.parametrize("fragments", [False, True])
@each_mechanism
def test_the_two_steps_work_when_replies_come_in_pieces(mechanism: str, fragments: bool) -> None:
    token = "x" * 2000
    with ScriptedServer(auth={USER: token}, auth_mechanisms=[mechanism], fragments=fragments) as server:
        log_in(server, token)
        assert len(server.messages) == 1


@each_mechanism
@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_token_travels_under_tls_only(tls: Any, mechanism: str, certificates: Certificates) -> None:
    context = certificates.server_context()
    with ScriptedServer(tls=tls, context=context, auth={USER: TOKEN}, auth_mechanisms=[mechanism]) as server:
        log_in(server, tls=tls, tls_ca_file=str(certificates.ca_file))
        assert [(message.user, message.over_tls) for message in server.messages] == [(USER, True)]
        in_clear = [line.split(" ")[0].upper() for _, line, over_tls in server.commands if not over_tls]
        assert in_clear in ([], ["EHLO", "STARTTLS"])


def test_without_tls_where_it_is_due_no_token_is_sent() -> None:
    with ScriptedServer(auth={USER: TOKEN}, auth_mechanisms=["XOAUTH2"]) as server:
        failed = refusal(server, tls="starttls")
        assert attempts(server) == []
    assert (failed.category, failed.step) == ("network", "tls")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_server_with_a_wrong_certificate_gets_no_token(tls: Any, certificates: Certificates) -> None:
    context = certificates.server_context("untrusted")
    with ScriptedServer(tls=tls, context=context, auth={USER: TOKEN}, auth_mechanisms=["XOAUTH2"]) as server:
        refusal(server, tls=tls, tls_ca_file=str(certificates.ca_file))
        assert attempts(server) == []


@pytest.mark.parametrize("offered", [["PLAIN", "LOGIN"], ["XOAUTH", "OAUTHBEARER2", "GSSAPI"], None])
def test_a_server_that_takes_no_tokens_is_not_shown_one(offered: list[str] | None) -> None:
    users = {USER: TOKEN} if offered else None
    with ScriptedServer(auth=users, auth_mechanisms=offered or []) as server:
        failed = refusal(server)
        assert attempts(server) == []
    assert (failed.category, failed.step) == ("auth", "login")
    assert "no login that an OAuth token fits" in failed.message
    for mechanism in offered or []:
        assert mechanism in failed.message
    assert TOKEN not in failed.message + failed.hint + failed.dialogue
