"""What is said of a token fits the account, and a token is used as long as it can be."""

from __future__ import annotations

import time

import pytest

from prx_email_cli.oauth.server import Tokens
from prx_email_cli.smtp.credentials import TokenLogin
from prx_email_cli.smtp.failure import SessionFailed

from ..conftest import Program
from ..support.oauth_server import OAuthServer, Refusal
from .field import account_with, cache_of, configure, given_by, mail_server_of, renewed_by, tokens_of
from .test_renewal import APPLICATION, REFRESH, as_application


@pytest.mark.parametrize("preset", ["microsoft", "google"])
def test_a_new_refresh_token_is_asked_for_where_the_server_never_names_that_scope(
    preset: str, oauth: OAuthServer
) -> None:
    scope = "mail.send offline_access"
    account = account_with(renewed_by(oauth, scope=scope, preset=preset))
    with cache_of(account).renewing() as renewal:
        renewal.write(Tokens("at-granted-before", 0, given_by(oauth, scope=scope).refresh, "mail.send"))
    assert oauth.valid(tokens_of(account).current())
    assert [asked.form["scope"] for asked in oauth.requests] == [scope if preset == "microsoft" else "mail.send"]


@pytest.mark.parametrize("grant", [REFRESH, APPLICATION])
@pytest.mark.parametrize(
    ("life", "after", "renewed"),
    [(30, 14, False), (30, 15, True), (100, 49, False), (100, 50, True), (120, 60, True), (0, 0, True)],
)
def test_what_the_server_gives_for_a_short_time_is_used_for_half_of_it(
    life: int, after: int, renewed: bool, grant: str, oauth: OAuthServer
) -> None:
    oauth.expires_in = life
    auth = as_application(oauth) if grant == APPLICATION else renewed_by(oauth, given_by(oauth).refresh)
    account, now = account_with(auth), int(time.time())
    first = tokens_of(account, now).current()
    assert (tokens_of(account, now + after).current() != first) == renewed
    assert oauth.count(grant) == 1 + renewed


def test_a_token_that_nothing_can_follow_is_used_to_its_end(oauth: OAuthServer) -> None:
    account, now = account_with(renewed_by(oauth)), int(time.time())
    with cache_of(account).renewing() as renewal:
        renewal.write(Tokens("at-without-a-follower", now + 5))
    tokens_of(account, now).check()
    assert tokens_of(account, now).current() == "at-without-a-follower"
    assert oauth.requests == []


@pytest.mark.parametrize(
    ("error", "hint"),
    [("invalid_scope", "check scope, and what the provider lets the application do"), ("invalid_grant", "check "),
     ("invalid_client", "check "), ("unauthorized_client", "check ")],
)  # fmt: skip
def test_why_an_application_gets_no_token_is_told_without_a_login_and_in_the_standards_words(
    error: str, hint: str, oauth: OAuthServer
) -> None:
    """Its secret has a word in common with the error's name."""
    oauth.refuse = Refusal(error, f"not {oauth.client_secret}")
    with pytest.raises(SessionFailed) as failed:
        TokenLogin(account_with(as_application(oauth))).secret()
    assert failed.value.message == f"cannot get an OAuth token: {error}: not ***"
    assert "account login" not in failed.value.hint
    assert failed.value.hint.startswith(hint)


def test_a_token_of_ones_own_that_ends_soon_is_not_renewed_by_a_login(oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth)
    auth = {"oauth_token": given.access, "oauth_expires_at": int(time.time()) + 3600}
    with mail_server_of(oauth) as server:
        configure(program, server.port, auth)
        answer = program.call("account", "test")
    assert "nothing renews it: get a new one where oauth_token takes it from" in answer.out
    assert "account login" not in answer.out
