"""A refused token: its challenge is answered, the reason is told, and no server can make more of it than a refusal."""

from __future__ import annotations

import json

import pytest

from prx_email_cli.delivery.handing_over import outcome_without_session
from prx_email_cli.outbox.lifecycle import Scope
from prx_email_cli.smtp.failure import SessionFailed

from ..cli.outside import assert_error
from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .field import (
    USER,
    account_with,
    attempts,
    challenge,
    check_kept_secret,
    check_one_probe,
    configure,
    enqueue,
    everything_stored,
    refusing_every_token,
    sessions_of,
    told,
    xoauth2,
)

TOKEN = "ya29.a0AfH6SM/Bz7-qQ_long~enough+to/see=="
REASON = {"status": "400", "schemes": "Bearer", "scope": "https://mail.example.com/"}
HOSTILE = {
    "no base64": "!!! not base64 at all",
    "base64 cut off": "abc",
    "no JSON": challenge("hello"),
    "no text": challenge(b"\xff\xfe\x00\x80"),
    "nothing": "",
    "a JSON list": challenge([1, 2]),
    "a JSON number": challenge(12),
    "JSON of lists in lists": challenge("[" * 30_000),
    "JSON of objects in objects": challenge('{"a":' * 9_000),
    "a number of 9,000 digits": challenge(f'{{"status":{"9" * 9_000}}}'),
    "half a character": challenge('{"status": "\\ud800"}'),
    "a zero octet": challenge('{"status": "\\u0000"}'),
    "an escape sequence": challenge({"status": "\x1b[31mred\x07\u202e", "\x1b[2J": "x"}),
    "line breaks": challenge({"status": "401\r\nQUIT\r\n\ndone"}),
    "a very long reason": challenge({"status": "x" * 40_000}),
    "a megabyte": "A" * 1_000_000,
}


def refusal(server: ScriptedServer, token: str = TOKEN) -> SessionFailed:
    with pytest.raises(SessionFailed) as failed:
        sessions_of(account_with({"oauth_token": token}, server.port)).open()
    return failed.value


@pytest.mark.parametrize(("mechanism", "answer"), [("XOAUTH2", ""), ("OAUTHBEARER", "AQ==")])
@pytest.mark.parametrize("size", [40, 2000])
def test_the_challenge_is_answered_and_the_verdict_awaited(mechanism: str, answer: str, size: int) -> None:
    with refusing_every_token(mechanism=mechanism) as server:
        failed = refusal(server, "t" * size)
        assert server.commands[-1].line == answer
        assert len(attempts(server)) == 1
        assert server.violations == []
    assert (failed.category, failed.step) == ("auth", "login")
    assert "535 5.7.8" in failed.message
    outcome = outcome_without_session(failed)
    assert (outcome.scope, outcome.code, outcome.enhanced) == (Scope.ACCOUNT, 535, "5.7.8")


@pytest.mark.parametrize(
    ("reason", "told"),
    [(REASON, "status 400, schemes Bearer, scope https://mail.example.com/"), ("token has expired",) * 2],
    ids=["JSON", "words"],
)
def test_the_servers_reason_is_told(reason: object, told: str) -> None:
    with refusing_every_token(challenge(reason)) as server:
        failed = refusal(server)
    assert told in failed.message
    assert told.split(",")[0] in failed.dialogue
    assert "oauth_token" in failed.hint


def test_the_command_tells_the_reason_and_one_message_bears_it(program: Program) -> None:
    with refusing_every_token(challenge(REASON)) as server:
        configure(program, server.port, {"oauth_token": TOKEN})
        enqueue(program)
        assert program.call("drain").status == 75
        test = program.call("account", "test", "--json")
        assert len(attempts(server)) == 2
        assert server.messages == []
    assert_error(test, 75, "535", "status 400", code="auth")
    check_one_probe(program, "auth", "535", "status 400")
    assert "status 400" in program.show(1)["attempts"][0]["dialogue"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_challenge_does_more_than_refuse(text: str) -> None:
    with refusing_every_token(text) as server:
        failed = refusal(server)
        assert len(attempts(server)) == 1
    assert (failed.category, failed.step) in (("auth", "login"), ("provider", "login"))
    assert len(failed.message) < 1500
    check_kept_secret(failed.message + failed.hint + failed.dialogue, TOKEN)
    f"{failed.message}{failed.dialogue}".encode()  # it is to be stored


@pytest.mark.parametrize("name", ["JSON of lists in lists", "half a character", "an escape sequence"])
def test_a_drain_survives_every_challenge(name: str, program: Program) -> None:
    with refusing_every_token(HOSTILE[name]) as server:
        configure(program, server.port, {"oauth_token": TOKEN})
        enqueue(program)
        drain = program.call("drain", "--verbose")
    assert drain.status == 75, drain
    assert "Traceback" not in drain.err
    assert "\x1b" not in told(drain) + program.call("show", "1").out
    check_one_probe(program, "auth")


@pytest.mark.parametrize(
    "text",
    ["", challenge(REASON), challenge(TOKEN), challenge({"t": TOKEN})],
    ids=["empty", "a reason", "the token", "the token in JSON"],
)
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_challenges_without_end_are_left_after_a_few(mechanism: str, text: str) -> None:
    with refusing_every_token(*[text] * 500, mechanism=mechanism) as server:
        failed = refusal(server)
        assert len(server.commands) < 20
    assert failed.category in ("auth", "provider")  # the network is not to blame
    assert failed.step == "login"
    check_kept_secret(failed.message + failed.hint + failed.dialogue, TOKEN)


ECHOES = {
    "as JSON": challenge({"status": "401", "token": TOKEN}),
    "as JSON with escaped slashes": challenge(json.dumps({"token": TOKEN}).replace("/", "\\/")),
    "as JSON in escapes only": challenge('{"token": "' + "".join(f"\\u{ord(c):04x}" for c in TOKEN) + '"}'),
    "as a key": challenge({TOKEN: "x"}),
    "as text": challenge(f"no such token: {TOKEN}"),
    "one octet later": challenge(f"1{TOKEN}"),
    "two octets later": challenge(f"22{TOKEN}"),
    "three octets later": challenge(f"333{TOKEN}"),
    "cut off": challenge({"t": "x" * 270 + TOKEN}),
    "cut off, with escaped slashes": challenge('{"t": "' + "x" * 270 + TOKEN.replace("/", "\\/") + '"}'),
    "the whole answer": challenge(f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01"),
    "the answer's base64": challenge({"sent": xoauth2(TOKEN)}),
}


@pytest.mark.parametrize("text", ECHOES.values(), ids=ECHOES.keys())
def test_a_challenge_that_repeats_the_token_is_masked(text: str) -> None:
    with refusing_every_token(text) as server:
        failed = refusal(server)
    outcome = outcome_without_session(failed)
    check_kept_secret(failed.message + failed.hint, TOKEN)
    check_kept_secret(f"{outcome.detail}{outcome.dialogue}", TOKEN)


@pytest.mark.parametrize(
    "verdict",
    [f"535 5.7.8 no such token: {TOKEN}", f"535 5.7.8 you said {xoauth2(TOKEN)}", f"454 4.7.0 wait, {TOKEN}"],
    ids=["token", "payload", "for now"],
)
def test_a_verdict_that_repeats_the_token_is_masked(verdict: str) -> None:
    with refusing_every_token(faults=[Fault("auth", verdict)]) as server:
        failed = refusal(server)
        assert server.happened
    check_kept_secret(failed.message + failed.hint + failed.dialogue, TOKEN)
    assert "***" in failed.message


@pytest.mark.parametrize("name", ["as JSON with escaped slashes", "two octets later"])
def test_what_a_server_repeats_is_neither_shown_nor_stored(name: str, program: Program) -> None:
    with refusing_every_token(ECHOES[name], faults=[Fault("auth", f"535 5.7.8 {TOKEN}")]) as server:
        configure(program, server.port, {"oauth_token": TOKEN}, log={"file": "log"})
        enqueue(program)
        answers = [program.call("drain", "-v"), program.call("account", "test", "--json"), program.call("show", "1")]
    for answer in answers:
        check_kept_secret(told(answer), TOKEN)
    check_kept_secret(everything_stored(program), TOKEN)


@pytest.mark.parametrize(
    ("verdict", "category", "hint"),
    [
        ("535 5.7.139 Authentication unsuccessful", "auth", "get a new one"),
        ("534 5.7.9 log in with the browser", "auth", "get a new one"),
        ("501 5.5.2 cannot decode", "auth", "does not understand this login"),
        ("454 4.7.0 temporary authentication failure", "provider", "next run"),
        ("432 4.3.2 too many connections", "provider", "next run"),
        ("421 4.7.0 try later", "provider", "next run"),
    ],
)
@pytest.mark.parametrize("token", ["t" * 40, "t" * 2000], ids=["one step", "two steps"])
def test_the_verdict_says_whose_fault_it_is(verdict: str, category: str, hint: str, token: str) -> None:
    with ScriptedServer([Fault("auth", verdict)], auth={USER: token}, auth_mechanisms=["XOAUTH2"]) as server:
        failed = refusal(server, token)
        assert server.happened
    assert (failed.category, failed.step) == (category, "login")
    assert (failed.reply and str(failed.reply)) == verdict
    assert hint in failed.hint


@pytest.mark.parametrize("manner", ["close", "reset", "garbage", "endless"])
def test_a_server_that_breaks_off_at_the_token_is_an_account_failure(manner: str) -> None:
    with ScriptedServer([Fault("auth", manner)], auth={USER: TOKEN}, auth_mechanisms=["XOAUTH2"]) as server:
        failed = refusal(server)
        assert server.happened
        assert len(attempts(server)) == 1
    assert failed.category in ("network", "provider")
    check_kept_secret(failed.message + failed.hint + failed.dialogue, TOKEN)


def test_the_enhanced_code_of_a_refused_login_stands_in_the_attempt(program: Program) -> None:
    with refusing_every_token(faults=[Fault("auth", "535 5.7.139 disabled")]) as server:
        configure(program, server.port, {"oauth_token": TOKEN})
        enqueue(program)
        assert program.call("drain").status == 75
    (attempt,) = program.show(1)["attempts"]
    assert (attempt["code"], attempt["enhanced"]) == (535, "5.7.139")
