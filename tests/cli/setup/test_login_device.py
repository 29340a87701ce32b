"""``account login --device``: a code that is typed on another machine, and how long to ask whether it was.

Most of it is waiting: the logins of this module run at the same time, each with servers of its own.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ...conftest import Answer, Program
from ...support.http_listener import HttpListener
from ...support.oauth_server import DEVICE_CODE, OAuthServer
from ...support.scripted import ScriptedServer
from .conftest import clean_owner
from .field import (
    Running,
    assert_one_object,
    assert_secret,
    confidential,
    kept_tokens,
    mail_for,
    oauth_table,
    steps,
    token_files,
    write_config,
)

LOGIN = ("account", "login", "--device")
SHOWN = "on any machine"  # so begins the line with address and code


@dataclass
class Played:
    """A login that has ended.  seconds: how long it took."""

    owner: Program
    oauth: OAuthServer
    answer: Answer
    seconds: float

    @property
    def polls(self) -> list[float]:
        """When the program asked whether the code was typed."""
        return [one.time for one in self.oauth.requests if one.form.get("grant_type") == DEVICE_CODE]


@dataclass(frozen=True)
class Case:
    """decide: what the person does as soon as the code is shown.  knobs: of the authorization server."""

    options: tuple[str, ...] = ()
    decide: Callable[[OAuthServer, str], None] | None = None
    table: Callable[[OAuthServer], dict[str, Any]] = oauth_table
    knobs: tuple[tuple[str, Any], ...] = ()
    slow_downs: int = 0

    def play(self, home: Path) -> Played:
        """One login from its beginning to its end."""
        owner = clean_owner(home)
        with OAuthServer() as oauth, mail_for(oauth) as mail:
            for name, value in self.knobs:
                setattr(oauth, name, value)
            oauth.slow_down(self.slow_downs)
            write_config(owner, mail, self.table(oauth))
            began = time.monotonic()
            with Running(owner, *LOGIN, *self.options) as login:
                login.line(SHOWN)
                if self.decide is not None:
                    self.decide(oauth, oauth.user_codes[0])
                answer = login.end()
            return Played(owner, oauth, answer, time.monotonic() - began)


def _agree_after_a_while(oauth: OAuthServer, code: str) -> None:
    oauth.wait_for(lambda: oauth.decided(DEVICE_CODE) == 1)  # the answer is authorization_pending
    oauth.approve_device(code)


CASES = {
    "agreed": Case(("--json",), _agree_after_a_while),
    "with a secret": Case((), OAuthServer.approve_device, confidential),
    "slowed": Case((), OAuthServer.approve_device, slow_downs=1),
    "seldom": Case((), OAuthServer.approve_device, knobs=(("interval", 2),)),
    "denied": Case(("--json",), OAuthServer.deny_device),
    "expired": Case((), knobs=(("device_expires_in", 1),)),
    "nobody": Case(("--timeout", "1")),
    "nobody, asked seldom": Case(("--timeout", "1"), knobs=(("interval", 600),)),
}


@pytest.fixture(scope="module", autouse=True)
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Played]]]:
    """Every case, under way."""
    with ThreadPoolExecutor(len(CASES)) as pool:
        yield {name: pool.submit(case.play, tmp_path_factory.mktemp("case")) for name, case in CASES.items()}


Futures = dict[str, Future[Played]]


def test_is_ended_by_control_c(account: Program, oauth: OAuthServer) -> None:
    with Running(account, *LOGIN) as login:
        login.line(SHOWN)
        login.process.send_signal(signal.SIGINT)
        answer = login.end()
    assert (answer.status, "Traceback" in answer.err, token_files(account)) == (130, False, []), answer


def test_with_a_server_that_is_not_there_is_75(account: Program, oauth: OAuthServer) -> None:
    oauth.close()
    answer = account.run(*LOGIN, "--json")
    assert (answer.status, answer.json["error"]["code"], answer.err) == (75, "network", ""), answer
    assert oauth.device_url in answer.json["error"]["message"]


class Nonsense(HttpListener):
    """An authorization server whose device endpoint answers with *text*; its token endpoint refuses everything."""

    def __init__(self, text: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answer = text if self.path == "/device" else '{"error": "access_denied"}'
                self.send_response(200 if self.path == "/device" else 400)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(answer.encode())

        super().__init__(Handler)


HONEST = {"device_code": "dc-secret", "user_code": "ABCD", "verification_uri": "https://a.example", "expires_in": 60}


@pytest.mark.parametrize(
    "answer",
    [
        [], "text", {}, {"error": "invalid_scope", "error_description": "\x1b[31mno"}, {**HONEST, "expires_in": None},
        {**HONEST, "interval": "soon"}, {**HONEST, "interval": -5, "verification_uri_complete": ["\x1b[31m"]},
        {**HONEST, "interval": 1, "user_code": "\x1b]0;x\x07", "verification_uri": "\x1b[2J\u202e"},
    ],
    ids=str,
)  # fmt: skip
def test_with_a_server_that_talks_nonsense_ends_in_peace(
    answer: object, owner: Program, oauth: OAuthServer, mail: ScriptedServer
) -> None:
    with Nonsense(json.dumps(answer)) as server:
        urls = {"device_url": f"{server.url}/device", "token_url": f"{server.url}/token"}
        write_config(owner, mail, oauth_table(oauth, **urls))
        ended = owner.run(*LOGIN, "--json", "--timeout", "1")
    assert (ended.status, ended.json["ok"]) == (75, False), ended
    assert_one_object(ended)
    assert not {"\x1b", "\x07", "\u202e"} & {*ended.err}
    assert "dc-secret" not in ended.out + ended.err


def test_succeeds_once_the_person_has_agreed(played: Futures) -> None:
    login = played["agreed"].result()
    assert login.answer.status == 0, login.answer
    assert_one_object(login.answer)
    assert login.answer.data["login"] == "XOAUTH2"
    assert login.oauth.user_codes[0] in login.answer.err
    assert login.oauth.verify_url in login.answer.err
    assert_secret(login.oauth, login.answer.out, login.answer.err)
    assert kept_tokens(login.owner)["refresh_token"] == login.oauth.refresh_tokens[0]
    first, second = login.polls[:2]
    assert second - first >= 1


def test_of_a_client_with_a_secret_proves_it_and_keeps_it(played: Futures) -> None:
    login = played["with a secret"].result()
    assert login.answer.status == 0, login.answer
    assert ["ok", "login"] in steps(login.answer)
    assert {one.form.get("client_secret") for one in login.oauth.requests} == {login.oauth.client_secret}
    assert_secret(login.oauth, login.answer.out, login.answer.err)


def test_asks_no_sooner_than_the_server_said(played: Futures) -> None:
    login = played["seldom"].result()
    assert login.answer.status == 0, login.answer
    (asked,) = login.polls
    assert asked - login.oauth.requests[0].time >= 2


def test_that_is_denied_says_so(played: Futures) -> None:
    login = played["denied"].result()
    assert (login.answer.status, login.answer.json["error"]["code"]) == (75, "auth"), login.answer
    assert "access_denied" in login.answer.json["error"]["message"]
    assert_one_object(login.answer)
    assert_secret(login.oauth, login.answer.out, login.answer.err)
    assert token_files(login.owner) == []


def test_whose_code_expires_says_to_try_again(played: Futures) -> None:
    login = played["expired"].result()
    assert (login.answer.status, login.answer.out, len(login.polls)) == (75, "", 1), login.answer
    assert "try again" in login.answer.err
    assert token_files(login.owner) == []


@pytest.mark.parametrize("case", ["nobody", "nobody, asked seldom"])
def test_that_nobody_answers_ends_in_time(case: str, played: Futures) -> None:
    login = played[case].result()
    assert (login.answer.status, login.answer.out, token_files(login.owner)) == (75, "", []), login.answer


def test_asks_five_seconds_later_when_told_to_slow_down(played: Futures) -> None:
    """RFC 8628 section 3.5."""
    login = played["slowed"].result()
    assert login.answer.status == 0, login.answer
    first, second = login.polls
    assert second - first >= 6
