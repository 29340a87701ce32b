"""A token that the config names: wherever it comes from it logs in while it lasts, and nothing else is ever sent."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from prx_email_cli.config.settings import load_settings
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.smtp.credentials import TokenLogin, login_of
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.session import SessionFactory

from ..cli.outside import assert_error
from ..conftest import Program
from ..support.scripted import ScriptedServer
from .field import (
    USER,
    account_with,
    attempts,
    check_kept_secret,
    check_one_probe,
    check_untouched,
    configure,
    enqueue,
    sessions_of,
    told,
    xoauth2,
)

TOKEN = "EwBAA8l6BAAUO9chh8cJscQLmU+LSWpbnr0vmww=="
NOW = 1_900_000_000
SOURCES = ["oauth_token", "oauth_token_env", "oauth_token_command", "oauth_token_file"]
BAD_TOKENS = {
    "a space": "at-0123456789 abcdef",
    "a space behind": "at-0123456789abcdef ",
    "a tab": "at-0123456789\tabcdef",
    "a ^A": "at-0123456789\x01abcdef",
    "the end of the message": "at-0123456789\x01\x01user=root",
    "an escape": "at-0123456789\x1babcdef",
    "a delete": "at-0123456789\x7fabcdef",
    "a letter beyond ASCII": "at-0123456789äbcdef",
    "a digit beyond ASCII": "at-0123456789٣bcdef",
    "a comma": "at-0123456789,abcdef",
    "a quote": 'at-0123456789"abcdef',
    "a percent sign": "at-0123456789%20abcdef",
    "a carriage return": "at-0123456789\rabcdef",
    "the scheme": "Bearer at-0123456789",
}


def serving(*tokens: str, **options: Any) -> ScriptedServer:
    """A server that takes these tokens."""
    return ScriptedServer(
        auth=lambda user, token: user == USER and token in tokens, auth_mechanisms=["XOAUTH2"], **options
    )


def secret_file(home: Path, text: str) -> Path:
    file = home / "token"
    file.touch(0o600)
    file.write_text(text, newline="")
    return file


def named_by(source: str, token: str, program: Program) -> dict[str, Any]:
    """``[..smtp.auth]`` with *token* at this source."""
    file = secret_file(program.home, f"{token}\n")
    program.environment["MAIL_TOKEN"] = token
    values: dict[str, Any] = {
        "oauth_token": token,
        "oauth_token_env": "MAIL_TOKEN",
        "oauth_token_command": ["cat", str(file)],
        "oauth_token_file": str(file),
    }
    return {source: values[source]}


def printing(home: Path, *answers: str) -> list[str]:
    """A command that prints one of *answers* after the other, and keeps to the last one; "-" fails."""
    script = home / "print.py"
    script.write_text(
        f"""
import sys
with open({str(home / "runs")!r}, "a+") as runs:
    runs.seek(0)
    number = len(runs.read())
    runs.write(".")
answers = {answers!r}
answer = answers[min(number, len(answers) - 1)]
sys.exit(7) if answer == "-" else print(answer)
"""
    )
    return [sys.executable, "-I", str(script)]


def runs_of_command(home: Path) -> int:
    return len((home / "runs").read_text())


@pytest.mark.parametrize("source", SOURCES)
def test_it_logs_in_and_delivers(source: str, program: Program) -> None:
    with serving(TOKEN) as server:
        configure(program, server.port, named_by(source, TOKEN, program))
        enqueue(program, 1)
        drain = program.call("drain")
        assert (drain.status, drain.out, drain.err) == (0, "", "")
        assert [message.user for message in server.messages] == [USER]
        assert attempts(server) == [f"XOAUTH2 {xoauth2(TOKEN)}"]
        test = program.call("account", "test")
        assert (test.status, test.err) == (0, "")
        assert f"XOAUTH2 as {USER}" in test.out
    check_kept_secret(told(test) + told(program.call("show", "1")), TOKEN)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_what_is_no_token_is_refused_before_a_connection(
    source: str, token: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = named_by(source, token, program)
    monkeypatch.setenv("MAIL_TOKEN", token)
    with serving(token) as server:
        with pytest.raises(ConfigError) as refused:
            sessions_of(configure(program, server.port, auth))
        assert server.connections == 0
    assert refused.value.exit_code == 78
    assert source in refused.value.message or "control character" in refused.value.message
    check_kept_secret(refused.value.message + refused.value.hint, token)


@pytest.mark.parametrize("name", ["a ^A", "a letter beyond ASCII"])
def test_the_commands_tell_of_a_bad_token_and_touch_no_message(name: str, program: Program) -> None:
    token = BAD_TOKENS[name]
    with serving(token) as server:
        configure(program, server.port, named_by("oauth_token_env", token, program))
        enqueue(program)
        drain, test = program.call("drain"), program.call("account", "test", "--json")
        assert server.connections == 0
    assert_error(drain, 78, "accounts.work.smtp.auth.oauth_token_env", "hint: ")
    assert_error(test, 78, "oauth_token_env", code="config")
    check_untouched(program)
    check_kept_secret(told(drain) + told(test), token)


@pytest.mark.parametrize("text", ["", "\n", f"\n{TOKEN}\n"])
def test_an_empty_one_is_refused(text: str, tmp_path: Path) -> None:
    file = secret_file(tmp_path, text)
    with pytest.raises(ConfigError, match="OAuth token is empty"):
        login_of(account_with({"oauth_token_file": str(file)}))


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nsecond line\n"])
def test_the_first_line_of_a_file_is_it(ending: str, tmp_path: Path) -> None:
    file = secret_file(tmp_path, TOKEN + ending)
    assert login_of(account_with({"oauth_token_file": str(file)})).secret() == TOKEN


def test_a_file_that_others_can_read_is_refused(program: Program) -> None:
    with serving(TOKEN) as server:
        configure(program, server.port, named_by("oauth_token_file", TOKEN, program))
        (program.home / "token").chmod(0o644)
        enqueue(program)
        assert_error(program.call("account", "test", "--json"), 77, "readable by others", code="config")
        assert program.call("drain").status == 77
        assert server.connections == 0
    check_untouched(program)


def test_a_config_that_others_can_read_must_not_have_it_inside(program: Program) -> None:
    configure(program, 9, {"oauth_token": TOKEN})
    program.config.chmod(0o644)
    with pytest.raises(ReadableByOthers):
        load_settings(program.config)
    configure(program, 9, {"oauth_token_env": "MAIL_TOKEN"})
    program.config.chmod(0o644)
    load_settings(program.config)


class TestExpiresAt:
    @pytest.mark.parametrize(("now", "over"), [(0, False), (NOW - 1, False), (NOW, True), (NOW + 1, True)])
    def test_is_the_first_second_in_which_it_is_not_used(self, now: int, over: bool) -> None:
        account = account_with({"oauth_token": TOKEN, "oauth_expires_at": NOW})
        login = TokenLogin(account, lambda: now)
        if not over:
            assert login.secret() == TOKEN
            return
        with pytest.raises(SessionFailed, match=r"the OAuth token expired at 2030-03-1[78] ") as failed:
            login.secret()
        assert (failed.value.category, failed.value.step) == ("auth", "login")
        assert "oauth_token" in failed.value.hint

    def test_holds_for_every_login_of_a_long_run(self) -> None:
        with serving(TOKEN) as server:
            account = account_with({"oauth_token": TOKEN, "oauth_expires_at": NOW}, server.port)
            times = iter([NOW - 10, NOW - 5, NOW + 5])
            sessions = SessionFactory(account, TokenLogin(account, lambda: next(times)))
            for _ in range(2):
                sessions.open().close()
            with pytest.raises(SessionFailed, match="expired"):
                sessions.open()
            assert server.connections == 2

    def test_once_past_nothing_is_sent_and_one_message_bears_it(self, program: Program) -> None:
        source = "oauth_token_file"
        ended = int(time.time()) - 1
        with serving(TOKEN) as server:
            auth = {**named_by(source, TOKEN, program), "oauth_expires_at": ended}
            configure(program, server.port, auth)
            enqueue(program)
            drain, test = program.call("drain"), program.call("account", "test", "--json")
            assert server.connections == 0
        when = time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(ended))
        assert drain.status == 75
        assert_error(test, 75, "expired", when, source, code="auth")
        check_one_probe(program, "auth", "expired", when)

    def test_long_past_is_told_as_well(self) -> None:
        for ended in (0, 1):
            login = TokenLogin(account_with({"oauth_token": TOKEN, "oauth_expires_at": ended}))
            with pytest.raises(SessionFailed, match=r"19(69|70)"):
                login.secret()

    def test_is_told_by_account_test(self, program: Program) -> None:
        with serving(TOKEN) as server:
            configure(program, server.port, {"oauth_token": TOKEN, "oauth_expires_at": NOW})
            assert "2030-03-1" in program.call("account", "test").out

    @pytest.mark.parametrize("ends", [10**11, 10**18, 2**63 - 1])
    def test_may_be_at_the_end_of_all_days(self, ends: int, program: Program) -> None:
        with serving(TOKEN) as server:
            auth = f'oauth_token = "{TOKEN}"\noauth_expires_at = {ends}'
            program.configure(server.port, smtp=f'user = "{USER}"', auth=auth)
            answer = program.call("account", "test")
        assert answer.status in (0, 78), answer


class TestACommand:
    def test_is_run_once_for_each_login(self, program: Program) -> None:
        with serving("at-first", "at-second", "at-third") as server:
            command = printing(program.home, "at-first", "at-second", "at-third")
            smtp = {"connections": 1, "messages_per_connection": 1}
            configure(program, server.port, {"oauth_token_command": command}, smtp=smtp)
            enqueue(program, 3)
            assert program.call("drain").status == 0
            assert len(server.messages) == 3
            assert attempts(server) == [f"XOAUTH2 {xoauth2(f'at-{name}')}" for name in ("first", "second", "third")]
        assert runs_of_command(program.home) == 3

    def test_is_run_once_for_a_test(self, program: Program) -> None:
        with serving(TOKEN) as server:
            configure(program, server.port, {"oauth_token_command": printing(program.home, TOKEN)})
            assert program.call("account", "test").status == 0
        assert runs_of_command(program.home) == 1

    def test_is_run_again_when_its_token_is_refused(self, program: Program) -> None:
        with serving("at-fresh") as server:
            command = printing(program.home, "at-stale", "at-fresh")
            configure(program, server.port, {"oauth_token_command": command})
            enqueue(program, 1)
            assert program.call("drain").status == 0
            assert attempts(server) == [f"XOAUTH2 {xoauth2('at-stale')}", f"XOAUTH2 {xoauth2('at-fresh')}"]
            assert len(server.messages) == 1
        assert runs_of_command(program.home) == 2

    @pytest.mark.parametrize(
        ("answers", "tried", "words"),
        [
            (["at-1", "at-2", "at-3"], ["at-1", "at-2"], ["535"]),
            ([TOKEN], [TOKEN], ["535"]),
            (["at-stale", "-"], ["at-stale"], ["535", "ended with status 7"]),
        ],
        ids=["refused again", "the same again", "fails"],
    )
    def test_is_not_run_a_third_time(
        self, answers: list[str], tried: list[str], words: list[str], program: Program
    ) -> None:
        with serving() as server:
            configure(program, server.port, {"oauth_token_command": printing(program.home, *answers)})
            enqueue(program)
            assert program.call("drain").status == 75
            assert attempts(server) == [f"XOAUTH2 {xoauth2(token)}" for token in tried]
        assert runs_of_command(program.home) == 2
        check_one_probe(program, "auth", *words)

    def test_that_fails_at_once_touches_no_message(self, program: Program) -> None:
        with serving() as server:
            configure(program, server.port, {"oauth_token_command": printing(program.home, "-")})
            enqueue(program)
            assert_error(program.call("drain"), 78, "ended with status 7")
            assert server.connections == 0
        check_untouched(program)

    def test_that_prints_no_token_the_second_time_is_an_account_failure(self, tmp_path: Path) -> None:
        with serving() as server:
            command = printing(tmp_path, "at-stale", "half\x01a-secret-token")
            with pytest.raises(SessionFailed, match="no OAuth token") as failed:
                sessions_of(account_with({"oauth_token_command": command}, server.port)).open()
            assert len(attempts(server)) == 1
        assert (failed.value.category, failed.value.reply and failed.value.reply.code) == ("auth", 535)
        check_kept_secret(failed.value.message, "half\x01a-secret-token")

    def test_gets_words_and_not_a_line_for_a_shell(self) -> None:
        command = [sys.executable, "-c", "import sys; print(sys.argv[1].count(';'))", "; echo $HOME;"]
        assert login_of(account_with({"oauth_token_command": command})).secret() == "2"

    def test_has_the_callers_environment_and_nothing_more(self, program: Program) -> None:
        script = f"import json, os; open({str(program.home / 'seen')!r}, 'w').write(json.dumps(dict(os.environ)))"
        with serving("at-1") as server:
            command = [sys.executable, "-I", "-c", f"{script}; print('at-1')"]
            configure(program, server.port, {"oauth_token_command": command})
            assert program.call("account", "test").status == 0
        seen = json.loads((program.home / "seen").read_text())
        assert {name for name in seen if name not in ("LC_CTYPE",)} <= set(program.environment)
        assert all(seen[name] == value for name, value in program.environment.items() if name in seen)


@pytest.mark.parametrize("source", ["oauth_token_env", "oauth_token_file"])
def test_a_fixed_token_that_is_refused_is_not_tried_again(source: str, program: Program) -> None:
    with serving() as server:
        configure(program, server.port, named_by(source, TOKEN, program))
        enqueue(program)
        assert program.call("drain").status == 75
        assert len(attempts(server)) == 1
    check_one_probe(program, "auth", "535", "wrong, expired or revoked", source)
