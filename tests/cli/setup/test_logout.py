"""``account logout``: what prx-email keeps for an account is gone afterwards, whoever cannot be told of it."""

import pytest

from ...conftest import Program
from ...support.oauth_server import OAuthServer
from ...support.scripted import ScriptedServer
from .field import (
    assert_one_object,
    assert_secret,
    confidential,
    log_in,
    oauth_table,
    token_files,
    write_config,
)


@pytest.fixture
def account(account: Program) -> Program:
    """An account that is logged in."""
    assert log_in(account).status == 0
    return account


def test_removes_the_tokens_and_has_the_server_revoke_them(account: Program, oauth: OAuthServer) -> None:
    answer = account.run("account", "logout")
    assert (answer.status, answer.out) == (0, ""), answer
    assert token_files(account) == []
    assert oauth.valid(oauth.issued[0]) is None
    assert oauth.find_refresh(oauth.refresh_tokens[0]) is None
    assert_secret(oauth, answer.err)
    tried = account.run("account", "test")
    assert (tried.status, "prx-email account login work" in tried.err) == (78, True), tried


def test_answers_in_json_and_a_second_time_that_there_was_nothing(account: Program, oauth: OAuthServer) -> None:
    for removed in (True, False):
        answer = account.run("account", "logout", "--json")
        assert (answer.status, answer.err) == (0, ""), answer
        assert answer.data == {"account": "work", "removed": removed, "revoked": removed}
        assert_one_object(answer)
    assert [one.path for one in oauth.requests].count("/revoke") == 1


@pytest.mark.parametrize("server", ["down", "unable"])
def test_removes_them_also_where_no_server_revokes_them(
    server: str, account: Program, oauth: OAuthServer, mail: ScriptedServer
) -> None:
    if server == "down":
        oauth.close()
    else:
        write_config(account, mail, oauth_table(oauth, revoke_url=None))
    answer = account.run("account", "logout", "--json")
    assert (answer.status, answer.data) == (0, {"account": "work", "removed": True, "revoked": False}), answer
    assert_one_object(answer)
    assert ("warning" in answer.err) == (server == "down")
    assert token_files(account) == []
    assert_secret(oauth, answer.out, answer.err)


def test_removes_them_also_when_others_could_read_or_replace_them(account: Program) -> None:
    (file,) = token_files(account)
    file.chmod(0o644)
    file.parent.chmod(0o777)
    assert account.run("account", "logout").status == 0
    assert token_files(account) == []


def test_removes_them_also_when_the_client_secret_is_missing(
    owner: Program, oauth: OAuthServer, mail: ScriptedServer
) -> None:
    write_config(owner, mail, confidential(oauth, client_secret=None, client_secret_env="CLIENT_SECRET"))
    owner.environment["CLIENT_SECRET"] = oauth.client_secret
    assert log_in(owner).status == 0
    del owner.environment["CLIENT_SECRET"]
    answer = owner.run("account", "logout")
    assert (answer.status, "warning" in answer.err) == (0, True), answer
    assert token_files(owner) == []


@pytest.mark.parametrize(
    "auth", [{"password": "correct horse"}, {"password_env": "P"}, {"oauth_token_env": "T"}, {}], ids=str
)
def test_of_an_account_for_which_nothing_is_kept_is_refused(
    auth: dict[str, str], owner: Program, mail: ScriptedServer
) -> None:
    write_config(owner, mail, auth)
    before = owner.config.read_bytes()
    answer = owner.run("account", "logout", "--json")
    assert (answer.status, answer.json["error"]["code"], answer.err) == (65, "validation", ""), answer
    assert all(kind in answer.json["error"]["hint"] for kind in auth)
    assert "correct horse" not in answer.out
    assert owner.config.read_bytes() == before


def test_removes_the_password_from_the_keyring(owner: Program, mail: ScriptedServer) -> None:
    write_config(owner, mail, {"keyring": True})
    assert owner.run("account", "set-password", text="correct horse\n").status == 0
    for removed in (True, False):
        answer = owner.run("account", "logout", "--json")
        assert (answer.status, answer.data["removed"], answer.data["revoked"]) == (0, removed, False), answer
    tried = owner.run("account", "test")
    assert (tried.status, "set-password work" in tried.err) == (78, True), tried
