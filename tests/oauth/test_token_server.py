"""An authorization server that refuses, breaks or lies: one message bears it, what is kept stays, and secrets too."""

from __future__ import annotations

import json
import time
from typing import NamedTuple
from urllib.parse import quote_plus

import pytest

from prx_email_cli.checks.account import examine
from prx_email_cli.smtp.credentials import TokenLogin

from ..cli.outside import assert_error
from ..conftest import Program
from ..support.oauth_server import Failure, OAuthServer, Refusal
from ..support.scripted import ScriptedServer, refusing_port
from .field import (
    REFRESH,
    SECRET,
    USER,
    account_asking,
    account_with,
    check_kept_secret,
    check_one_probe,
    configure,
    enqueue,
    everything_stored,
    failed_renewal,
    given_by,
    keep,
    kept,
    leftovers,
    mail_server_of,
    renewed_by,
    told,
)

GOOD, NEW_REFRESH = "at-0123456789abcdef", "rt-new-0123456789"


class Told(NamedTuple):
    """What the account failure must say."""

    category: str
    words: str
    hint: str = ""


LOGIN, CLIENT, AGAIN = "prx-email account login work", "client_id", "next run"
REFUSALS = {
    "invalid_grant": Told("auth", "invalid_grant", LOGIN),
    "invalid_scope": Told("auth", "invalid_scope", LOGIN),
    "invalid_request": Told("auth", "invalid_request", LOGIN),
    "access_denied": Told("auth", "access_denied", LOGIN),
    "invalid_client": Told("auth", "invalid_client", CLIENT),
    "unauthorized_client": Told("auth", "unauthorized_client", CLIENT),
    "temporarily_unavailable": Told("provider", "temporarily_unavailable", AGAIN),
    "server_error": Told("provider", "server_error", AGAIN),
    "slow_down": Told("provider", "slow_down", AGAIN),
}
NO_TOKEN = Told("network", "/token", "token_url")


def json_answer(body: object, status: int = 200) -> Failure:
    text = body if isinstance(body, str) else json.dumps(body)
    return Failure(status, text, "application/json")


NONSENSE: dict[str, Failure] = {
    "500 as HTML": Failure(500, "<html><h1>oops</h1></html>"),
    "503 as JSON": json_answer({"error": "temporarily_unavailable"}, 503),
    "404": Failure(404, "not here", "text/plain"),
    "429 as HTML": Failure(429, "<html>slow down</html>"),
    "200 as HTML": Failure(200, "<html>Sign in</html>"),
    "nothing": Failure(200, "", "application/json"),
    "JSON cut off": json_answer('{"access_token": "at-012345'),
    "a list": json_answer([{"access_token": GOOD}]),
    "a string": json_answer('"at-0123456789"'),
    "null": json_answer("null"),
    "an empty object": json_answer({}),
    "only a refresh token": json_answer({"refresh_token": "rt-another-one-0123456789"}),
    "no text": Failure(200, b"\xff\xfe\x00", "application/json"),
    "lists in lists": json_answer("[" * 100_000),
    "objects in objects": json_answer('{"a":' * 50_000),
    "a token that is a number": json_answer({"access_token": 12345}),
    "a token that is null": json_answer({"access_token": None}),
    "a token that is a list": json_answer({"access_token": [GOOD]}),
    "an empty token": json_answer({"access_token": ""}),
    "a token with a space": json_answer({"access_token": "at 0123456789"}),
    "a token with ^A": json_answer({"access_token": "at-0123\x01\x01auth=Bearer x"}),
    "a token with a line break": json_answer({"access_token": "at-0123\r\nQUIT"}),
    "a token beyond ASCII": json_answer({"access_token": "at-0123456789é"}),
    "a token of half a character": json_answer('{"access_token": "at-\\ud800"}'),
    "a redirect without an address": Failure(302, "", "text/plain"),
}
# As it stands in the answer; after how many seconds the token ends, where a clock can tell; requests of two logins.
LIFETIMES: dict[str, tuple[str, int | None, int]] = {
    "a number": ("3600", 3600, 1),
    "a string": ('"3600"', 3600, 1),
    "a fraction": ("3600.9", 3600, 1),
    "null": ("null", None, 1),
    "nothing at all": ("", None, 1),
    "zero": ("0", 0, 2),
    "negative": ("-5", -5, 2),
    "minus a lot": (str(-(10**30)), None, 2),
    "a thousand years": (str(1000 * 365 * 86400), None, 1),
    "more than any clock has": (str(10**30), None, 1),
    "a huge fraction": ("1e300", None, 1),
    "a fraction in a string": ('"3599.0"', 3599, 1),
    "an empty string": ('""', None, 1),
    "a word": ('"soon"', None, 1),
    "beyond all numbers": ("1e999", None, 1),
    "no number": ("NaN", None, 1),
    "a list": ("[3600]", None, 1),
    "an object": ('{"s": 1}', None, 1),
}


@pytest.mark.parametrize("error", REFUSALS)
def test_a_refusal_says_whose_fault_it_is_and_what_to_do(error: str, oauth: OAuthServer) -> None:
    oauth.refuse = Refusal(error, "because of this")
    failed = failed_renewal(account_asking(oauth))
    assert (failed.category, len(oauth.requests)) == (REFUSALS[error].category, 1)
    assert f"{REFUSALS[error].words}: because of this" in failed.message
    assert REFUSALS[error].hint in failed.hint


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_no_token(name: str, oauth: OAuthServer) -> None:
    oauth.fail_with = NONSENSE[name]
    failed = failed_renewal(account_asking(oauth))
    assert (failed.category, len(oauth.requests)) == (NO_TOKEN.category, 1)
    assert NO_TOKEN.words in failed.message
    assert NO_TOKEN.hint in failed.hint


def lasting(lifetime: str) -> Failure:
    """An answer with tokens of that lifetime, "" for none."""
    tokens = f'{{"access_token": "{GOOD}", "refresh_token": "{NEW_REFRESH}"'
    return json_answer(tokens + (f', "expires_in": {lifetime}}}' if lifetime else "}"))


@pytest.mark.parametrize("name", LIFETIMES)
def test_a_token_is_used_whatever_its_lifetime_looks_like(name: str, oauth: OAuthServer) -> None:
    """With it would go the refresh token that the server has just replaced."""
    text, seconds, requests = LIFETIMES[name]
    oauth.fail_with = lasting(text)
    account = account_asking(oauth)
    begun = int(time.time())
    for _ in range(2):
        assert TokenLogin(account).secret() == GOOD
    assert len(oauth.requests) == requests
    tokens = kept(account)
    assert tokens is not None
    assert tokens.refresh_token == NEW_REFRESH
    if seconds is not None:
        assert begun <= (tokens.expires_at or 0) - seconds <= time.time() + 1


@pytest.mark.parametrize("name", LIFETIMES)
def test_an_account_test_tells_its_end_or_leaves_it_out(name: str, oauth: OAuthServer) -> None:
    oauth.fail_with = lasting(LIFETIMES[name][0])
    with ScriptedServer(auth={USER: GOOD}, auth_mechanisms=["XOAUTH2"]) as server:
        found = examine(account_with(renewed_by(oauth, REFRESH), server.port), time.time())
    assert found.error is None


ERRORS: dict[str, object] = {
    "an object": {"code": 1}, "null": None, "a list": ["invalid_grant"], "a number": 7, "empty": "",
    "an escape sequence": "\x1b[31minvalid", "line breaks": "invalid\r\nQUIT", "half a character": "\ud800",
    "very long": "x" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_of_any_shape_is_an_account_failure(name: str, oauth: OAuthServer) -> None:
    oauth.fail_with = json_answer({"error": ERRORS[name], "error_description": ERRORS[name]}, 400)
    failed = failed_renewal(account_asking(oauth))
    assert failed.category in ("auth", "network", "provider")
    assert len(failed.message) < 1500


@pytest.mark.parametrize(
    "description",
    [
        f"no such token: {REFRESH}",
        f"you sent refresh_token={quote_plus(REFRESH)}&client_secret={quote_plus(SECRET)}",
        f"{'x' * 455}{REFRESH}",
        f"{'x' * 455}{SECRET}",
        f"{'x' * 455}{quote_plus(SECRET)}",
    ],
    ids=["token", "form", "token cut off", "secret cut off", "form cut off"],
)
def test_an_error_that_repeats_a_secret_is_masked(description: str, oauth: OAuthServer) -> None:
    oauth.refuse = Refusal("invalid_grant", description)
    assert "invalid_grant" in failed_renewal(account_asking(oauth)).message


class TestTheCommand:
    """The same seen from outside: an expired token in the cache, and several messages due."""

    @pytest.mark.parametrize(
        ("knob", "category", "words"),
        [
            ("refuse", "auth", ["invalid_grant", LOGIN]),
            ("html", "network", ["500"]),
            ("deep", "network", ["/token"]),
            ("half a character", "auth", []),
        ],
    )
    def test_defers_one_message_and_leaves_the_others(
        self, knob: str, category: str, words: list[str], oauth: OAuthServer, program: Program
    ) -> None:
        oauth.fail_with = {
            "html": NONSENSE["500 as HTML"], "deep": NONSENSE["lists in lists"],
            "half a character": json_answer({"error": "\ud800"}, 400),
        }.get(knob)  # fmt: skip
        with mail_server_of(oauth) as server:
            account = configure(program, server.port, renewed_by(oauth, REFRESH))
            file = keep(account, "at-that-has-ended", ends_in=0)
            before = file.read_bytes()
            enqueue(program)
            drain = program.call("drain", "--verbose")
            assert (drain.status, server.connections) == (75, 0), drain
        assert len(oauth.requests) == 1
        assert file.read_bytes() == before
        assert leftovers(program.home) == []
        check_one_probe(program, category, *words)
        check_kept_secret(told(drain) + everything_stored(program), REFRESH, "at-that-has-ended")

    def test_of_a_server_that_is_not_there_is_a_failure_of_the_network(
        self, oauth: OAuthServer, program: Program
    ) -> None:
        with mail_server_of(oauth) as server, refusing_port() as port:
            url = f"http://127.0.0.1:{port}/token"
            configure(program, server.port, renewed_by(oauth, REFRESH, token_url=url))
            test = program.call("account", "test", "--json")
            assert server.connections == 0
        assert_error(test, 75, "Connection refused", url, code="network")

    def test_goes_on_by_itself_once_the_server_is_well(self, oauth: OAuthServer, program: Program) -> None:
        oauth.refuse = Refusal("temporarily_unavailable")
        with mail_server_of(oauth) as server:
            configure(program, server.port, renewed_by(oauth, given_by(oauth).refresh))
            enqueue(program, 2)
            now = int(time.time())
            assert program.call("drain", "--now-ts", str(now)).status == 75
            oauth.refuse = None
            assert program.call("drain", "--now-ts", str(now)).status == 0
            assert len(server.messages) == 1  # the other one waits for its time
            assert program.call("drain", "--now-ts", str(now + 60)).status == 0
            assert len(server.messages) == 2
