"""How the scripted server takes tokens: both mechanisms, in one step and in two, and every answer to a refusal."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator

import pytest

from .raw_client import RawClient
from .scripted import ScriptedServer
from .scripted_auth import MAX_AUTH_OCTETS

MECHANISMS = ["XOAUTH2", "OAUTHBEARER"]
ANSWERS = {"XOAUTH2": "", "OAUTHBEARER": "AQ=="}

each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def response(mechanism: str, token: str, user: str = "user") -> str:
    if mechanism == "XOAUTH2":
        return encoded(f"user={user}\x01auth=Bearer {token}\x01\x01")
    return encoded(f"n,a={user},\x01host=localhost\x01port=25\x01auth=Bearer {token}\x01\x01")


@contextlib.contextmanager
def greeted(server: ScriptedServer) -> Iterator[RawClient]:
    """A started server and a client that has said EHLO."""
    with server, RawClient(server.port) as client:
        client.reply()
        client.ask("EHLO client")
        yield client


@each_mechanism
def test_a_good_token_is_taken_in_one_step_and_in_two(mechanism: str) -> None:
    for at_once in (True, False):
        with greeted(ScriptedServer(auth={"user": "token"}, auth_mechanisms=[mechanism])) as client:
            if at_once:
                assert client.code(f"AUTH {mechanism} {response(mechanism, 'token')}") == 235
            else:
                assert client.ask(f"AUTH {mechanism}") == "334 "
                assert client.code(response(mechanism, "token")) == 235
            assert client.code("MAIL FROM:<a@test>") == 250


@each_mechanism
def test_a_bad_token_hears_why_and_then_the_verdict(mechanism: str) -> None:
    with greeted(server := ScriptedServer(auth={"user": "token"}, auth_mechanisms=[mechanism])) as client:
        code, _, reason = client.ask(f"AUTH {mechanism} {response(mechanism, 'stale')}").partition(" ")
        assert (code, b"401" in base64.b64decode(reason)) == ("334", True)
        assert client.code(ANSWERS[mechanism]) == 535
        assert server.violations == []


@each_mechanism
@pytest.mark.parametrize("answer", ["*", "QUIT", "", "AQ=="])
def test_another_answer_to_the_reason_is_a_violation(mechanism: str, answer: str) -> None:
    with greeted(server := ScriptedServer(auth={"user": "token"}, auth_mechanisms=[mechanism])) as client:
        client.ask(f"AUTH {mechanism} {response(mechanism, 'stale')}")
        assert client.code(answer) == 535
        assert bool(server.violations) == (answer != ANSWERS[mechanism])


@each_mechanism
def test_challenges_come_as_they_were_scripted(mechanism: str) -> None:
    server = ScriptedServer(auth={}, auth_mechanisms=[mechanism], challenges=["first", "", "!third"])
    with greeted(server) as client:
        assert client.ask(f"AUTH {mechanism} {response(mechanism, 'stale')}") == "334 first"
        assert client.ask(ANSWERS[mechanism]) == "334 "
        assert client.ask(ANSWERS[mechanism]) == "334 !third"
        assert client.code(ANSWERS[mechanism]) == 535


def test_no_challenges_at_all_are_a_verdict_at_once() -> None:
    with greeted(ScriptedServer(auth={}, auth_mechanisms=["XOAUTH2"], challenges=[])) as client:
        assert client.code(f"AUTH XOAUTH2 {response('XOAUTH2', 'stale')}") == 535


def test_a_password_hears_no_reason() -> None:
    with greeted(ScriptedServer(auth={}, challenges=["first"])) as client:
        assert client.code(f"AUTH PLAIN {encoded(chr(0) + 'user' + chr(0) + 'wrong')}") == 535


def test_a_function_can_say_who_belongs_in() -> None:
    server = ScriptedServer(auth=lambda user, token: user == token, auth_mechanisms=["XOAUTH2"])
    with greeted(server) as client:
        assert client.code(f"AUTH XOAUTH2 {response('XOAUTH2', 'other')}") == 334
        client.ask("")
        assert client.code(f"AUTH XOAUTH2 {response('XOAUTH2', 'user')}") == 235


@pytest.mark.parametrize(("saslname", "user"), [("a=2Cb", "a,b"), ("a=3Db", "a=b"), ("=3D2C", "=2C")])
def test_a_saslname_is_decoded(saslname: str, user: str) -> None:
    with greeted(ScriptedServer(auth={user: "token"}, auth_mechanisms=["OAUTHBEARER"])) as client:
        assert client.code(f"AUTH OAUTHBEARER {response('OAUTHBEARER', 'token', saslname)}") == 235


@pytest.mark.parametrize(
    "text",
    [
        "n,a=a,b,\x01host=h\x01port=25\x01auth=Bearer token\x01\x01",
        "n,a=a=b,\x01host=h\x01port=25\x01auth=Bearer token\x01\x01",
        "y,a=user,\x01host=h\x01port=25\x01auth=Bearer token\x01\x01",
        "n,a=user,\x01host=h\x01port=x\x01auth=Bearer token\x01\x01",
        "n,a=user,\x01host=h\x01port=25\x01auth=Bearer token\x01",
        "n,a=user,\x01auth=Bearer token\x01\x01",
        "user=user\x01auth=Bearer token\x01\x01",
    ],
)
def test_what_is_no_oauthbearer_is_cancelled(text: str) -> None:
    with greeted(ScriptedServer(auth=lambda *_: True, auth_mechanisms=["OAUTHBEARER"])) as client:
        assert client.code(f"AUTH OAUTHBEARER {encoded(text)}") == 501


@each_mechanism
def test_a_command_that_is_too_long_is_a_violation_and_a_response_is_not(mechanism: str) -> None:
    with greeted(server := ScriptedServer(auth=lambda *_: True, auth_mechanisms=[mechanism])) as client:
        long = response(mechanism, "t" * MAX_AUTH_OCTETS)
        assert client.code(f"AUTH {mechanism}") == 334
        assert client.code(long) == 235
        assert server.violations == []
    with greeted(server := ScriptedServer(auth=lambda *_: True, auth_mechanisms=[mechanism])) as client:
        assert client.code(f"AUTH {mechanism} {long}") == 500
        assert len(server.violations) == 1
