"""A token in PRX_EMAIL_SMTP_OAUTH_TOKEN: for the one account that it can be meant for, and for no other server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from prx_email_cli.config.settings import ENV_TOKEN, ENV_TOKEN_EXPIRES_AT, Account, load_settings
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.smtp.credentials import login_of

from ..cli.outside import assert_error
from ..conftest import Program
from ..support.oauth_server import OAuthServer
from ..support.scripted import ScriptedServer
from .field import (
    USER,
    account_table,
    attempts,
    check_kept_secret,
    check_one_probe,
    configure,
    configure_accounts,
    enqueue,
    renewed_by,
    told,
    xoauth2,
)

TOKEN = "env-token-0123456789-abcdefghij"
OTHER = "config-token-0123456789-abcdefghij"
PASSWORDS: dict[str, Any] = {
    "password": "hunter2hunter2",
    "password_env": "MAIL_PASSWORD",
    "password_command": ["echo", "hunter2hunter2"],
    "password_file": "password",
}


def serving(*tokens: str, mechanisms: tuple[str, ...] = ("XOAUTH2",)) -> ScriptedServer:
    return ScriptedServer(auth=lambda user, token: user == USER and token in tokens, auth_mechanisms=mechanisms)


def loaded(program: Program) -> dict[str, Account]:
    return load_settings(program.config).accounts


@pytest.fixture
def _with_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_TOKEN, TOKEN)


def test_it_logs_in_the_only_account(program: Program) -> None:
    with serving(TOKEN) as server:
        configure(program, server.port, {})
        enqueue(program, 1)
        answer = program.call("drain", **{ENV_TOKEN: TOKEN, ENV_TOKEN_EXPIRES_AT: str(int(time.time()) + 3600)})
        assert (answer.status, answer.out, answer.err) == (0, "", "")
        assert attempts(server) == [f"XOAUTH2 {xoauth2(TOKEN)}"]
        assert len(server.messages) == 1


def test_it_goes_before_the_token_of_the_config(program: Program) -> None:
    with serving(TOKEN, OTHER) as server:
        configure(program, server.port, {"oauth_token": OTHER, "oauth_expires_at": 1})
        assert program.call("account", "test", **{ENV_TOKEN: TOKEN}).status == 0
        assert attempts(server) == [f"XOAUTH2 {xoauth2(TOKEN)}"]


@pytest.mark.parametrize("kind", PASSWORDS)
def test_an_account_with_a_password_never_sends_it(kind: str, program: Program) -> None:
    (program.home / "password").touch(0o600)
    (program.home / "password").write_text("hunter2hunter2")
    with serving(TOKEN, "hunter2hunter2", mechanisms=("XOAUTH2", "PLAIN")) as server:
        configure(program, server.port, {kind: PASSWORDS[kind]})
        answer = program.call("account", "test", MAIL_PASSWORD="hunter2hunter2", **{ENV_TOKEN: TOKEN})
        assert answer.status == 0
        assert [attempt.split()[0] for attempt in attempts(server)] == ["PLAIN"]
    check_kept_secret("".join(line for _, line, _ in server.commands) + told(answer), TOKEN)


@pytest.mark.usefixtures("_with_token")
@pytest.mark.parametrize(
    ("auth", "user", "kinds"), [({"keyring": True}, USER, ["keyring"]), ({}, None, [])], ids=["keyring", "no login"]
)
def test_an_account_that_logs_in_otherwise_or_not_at_all_never_takes_it(
    auth: dict[str, Any], user: str | None, kinds: list[str], program: Program
) -> None:
    configure(program, 9, auth, smtp={"user": user})
    assert loaded(program)["work"].smtp.auth.kinds == kinds


@pytest.mark.parametrize("default", ["work", "other", None])
def test_it_never_reaches_another_accounts_server(default: str | None, program: Program) -> None:
    accounts = ("work", "other")
    with serving(TOKEN) as work, serving(TOKEN) as other:
        servers = {"work": work, "other": other}
        tables = {name: account_table({"oauth_token": OTHER}, servers[name].port) for name in accounts}
        configure_accounts(program, tables, **({"default_account": default} if default else {}))
        for name in accounts:
            answer = program.call("account", "test", name, **{ENV_TOKEN: TOKEN})
            assert answer.status == (0 if name == default else 75), answer
            due = TOKEN if name == default else OTHER
            assert attempts(servers[name]) == [f"XOAUTH2 {xoauth2(due)}"]


def test_a_drain_of_two_accounts_gives_it_to_the_default_one_only(program: Program) -> None:
    with serving(TOKEN) as work, serving(TOKEN, OTHER) as other:
        tables = {
            "work": account_table({}, work.port),
            "other": account_table({"oauth_token": OTHER}, other.port),
        }
        configure_accounts(program, tables, default_account="work")
        for name in tables:
            enqueue(program, 1, name)
        assert program.call("drain", **{ENV_TOKEN: TOKEN}).status == 0
        assert attempts(work) == [f"XOAUTH2 {xoauth2(TOKEN)}"]
        assert attempts(other) == [f"XOAUTH2 {xoauth2(OTHER)}"]


@pytest.mark.usefixtures("_with_token")
@pytest.mark.parametrize("auth", [{}, {"oauth_token": OTHER}, {"oauth_token_command": ["echo", OTHER]}])
def test_its_end_is_the_environments_too(
    auth: dict[str, Any], program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(program, 9, auth)
    assert loaded(program)["work"].smtp.auth.oauth_expires_at is None
    monkeypatch.setenv(ENV_TOKEN_EXPIRES_AT, "1900000000")
    assert loaded(program)["work"].smtp.auth.oauth_expires_at == 1_900_000_000


def test_an_end_without_a_token_means_nothing(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(program, 9, {"oauth_token": OTHER})
    monkeypatch.setenv(ENV_TOKEN_EXPIRES_AT, "1")
    assert loaded(program)["work"].smtp.auth.oauth_expires_at is None


def test_once_it_has_expired_nothing_is_sent(program: Program) -> None:
    with serving(TOKEN) as server:
        configure(program, server.port, {})
        enqueue(program)
        environment = {ENV_TOKEN: TOKEN, ENV_TOKEN_EXPIRES_AT: str(int(time.time()) - 1)}
        assert program.call("drain", **environment).status == 75
        assert_error(program.call("account", "test", "--json", **environment), 75, "expired", code="auth")
        assert server.connections == 0
    check_one_probe(program, "auth", "expired")


@pytest.mark.usefixtures("_with_token")
@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "1900000000.5", " 1", "٣", "0x10", "9" * 5000])
def test_an_end_that_is_no_time_is_refused(text: str, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(program, 9, {})
    monkeypatch.setenv(ENV_TOKEN_EXPIRES_AT, text)
    with pytest.raises(ConfigError, match=ENV_TOKEN_EXPIRES_AT):
        loaded(program)


def test_an_end_beyond_all_calendars_is_no_crash(program: Program) -> None:
    with serving(TOKEN) as server:
        configure(program, server.port, {})
        answer = program.call("account", "test", **{ENV_TOKEN: TOKEN, ENV_TOKEN_EXPIRES_AT: "9" * 30})
    assert answer.status in (0, 78), answer


@pytest.mark.parametrize("token", ["two words", "at-\x01auth=", "at-é"])
def test_a_bad_one_is_refused_and_no_other_taken(token: str, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(program, 9, {"oauth_token": OTHER})
    monkeypatch.setenv(ENV_TOKEN, token)
    with pytest.raises(ConfigError, match="oauth_token_env"):
        login_of(loaded(program)["work"])


def test_it_is_used_where_nobody_has_logged_in_yet(oauth: OAuthServer, program: Program) -> None:
    with serving(TOKEN) as server:
        configure(program, server.port, renewed_by(oauth))
        assert program.call("account", "test").status == 78
        assert program.call("account", "test", **{ENV_TOKEN: TOKEN}).status == 0
    assert oauth.requests == []


@pytest.mark.usefixtures("_with_token")
def test_it_is_no_excuse_for_a_secret_that_others_can_read(program: Program) -> None:
    configure(program, 9, {"oauth_token": OTHER})
    program.config.chmod(0o644)
    with pytest.raises(ReadableByOthers):
        loaded(program)


@pytest.mark.usefixtures("_with_token")
def test_a_user_beyond_ascii_cannot_use_it(program: Program) -> None:
    configure(program, 9, {}, smtp={"user": "öps@example.com"})
    with pytest.raises(ConfigError, match="ASCII"):
        loaded(program)


def test_a_variable_that_is_empty_counts_as_unset(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(program, 9, {"oauth_token": OTHER})
    monkeypatch.setenv(ENV_TOKEN, "")
    monkeypatch.setenv(ENV_TOKEN_EXPIRES_AT, "")
    assert login_of(loaded(program)["work"]).secret() == OTHER
    monkeypatch.setenv(ENV_TOKEN, TOKEN)
    assert login_of(loaded(program)["work"]).secret() == TOKEN
