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
