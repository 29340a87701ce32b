"""What a refused token, another config's tokens and a server that takes its time do not stop."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator

import pytest

from prx_email_cli.oauth import server
from prx_email_cli.oauth import tokens as tokens_module
from prx_email_cli.smtp.credentials import TokenLogin
from prx_email_cli.smtp.failure import SessionFailed

from ..support.faults import Fault
from ..support.oauth_server import OAuthServer
from ..support.scripted import ScriptedServer
from .field import (
    account_asking,
    account_with,
    attempts,
    cache_of,
    failed_renewal,
    given_by,
    keep,
    kept,
    mail_server_of,
    renewed_by,
    sessions_of,
)
from .test_token_transport import listening

STALE = "at-named-in-the-config-0123456789"


class TestANamedTokenThatIsRefused:
    def test_is_followed_by_the_kept_one_and_that_by_a_renewed_one(self, oauth: OAuthServer) -> None:
        auth = {"oauth_token": STALE, **renewed_by(oauth, given_by(oauth).refresh)}
        with mail_server_of(oauth) as server:
            account = account_with(auth, server.port)
            keep(account, "at-withdrawn-meanwhile-0123456789")
            sessions_of(account).open().close()
            assert len(attempts(server)) == 3
        assert oauth.count("refresh_token") == 1

    def test_ends_there_when_the_renewed_one_is_refused_too(self, oauth: OAuthServer) -> None:
        auth = {"oauth_token": STALE, **renewed_by(oauth, given_by(oauth).refresh)}
        with ScriptedServer(auth=lambda *_: False, auth_mechanisms=["XOAUTH2"]) as server:
            account = account_with(auth, server.port)
            keep(account, "at-withdrawn-meanwhile-0123456789")
            with pytest.raises(SessionFailed, match="535"):
                sessions_of(account).open()
            assert len(attempts(server)) == 3
        assert oauth.count("refresh_token") == 1


class TestTwoConfigsOfOneLogin:
    def test_that_bring_other_refresh_tokens_leave_each_others_alone(self, oauth: OAuthServer) -> None:
        oauth.rotate = True
        logged_in = account_with(renewed_by(oauth))
        keep(logged_in, "at-of-the-login-0123456789", ends_in=0, refresh=given_by(oauth).refresh)
        bringing_one = account_with(renewed_by(oauth, given_by(oauth).refresh))
        for _ in range(2):
            for account in (bringing_one, logged_in):
                tokens = kept(account)
                assert oauth.valid(TokenLogin(account).secret())
                renewed = kept(account)
                assert renewed is not None
                assert tokens is None or renewed.access_token != tokens.access_token
                oauth.expire(renewed.access_token)
                keep(account, renewed.access_token, ends_in=0, refresh=renewed.refresh_token)

    def test_are_both_forgotten_at_logout(self, oauth: OAuthServer) -> None:
        accounts = [
            account_with(renewed_by(oauth, refresh)) for refresh in (None, "rt-one-0123456789", "rt-two-0123456789")
        ]
        files = [keep(account, STALE) for account in accounts]
        assert len(set(files)) == 3
        assert cache_of(accounts[0]).remove()
        assert not any(file.exists() for file in files)


def dripping() -> Iterator[bytes]:
    """An answer that never ends, a piece at a time, well within every other limit."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    until = time.monotonic() + 20
    while time.monotonic() < until:
        yield b" "
        time.sleep(0.05)  # the pace of the server is what this is about


def test_an_answer_that_drips_ends_with_the_whole_exchanges_time(
    oauth: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "TOTAL_SECONDS", 0.5)
    with listening(dripping()) as url:
        failed = failed_renewal(account_asking(oauth, token_url=url))
    assert (failed.category, "timeout" in failed.message) == ("network", True)


def test_a_renewal_that_does_not_end_is_not_waited_for_by_all_others(
    oauth: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "WAIT_SECONDS", 0.3)
    account = account_with(renewed_by(oauth, given_by(oauth).refresh))
    file = keep(account, STALE, ends_in=0)
    (lock,) = file.parent.glob("*.lock")
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(SessionFailed, match="another run has been renewing") as failed:
            TokenLogin(account).secret()
    finally:
        os.close(descriptor)
    assert (failed.value.category, oauth.requests) == ("network", [])
    assert oauth.valid(TokenLogin(account).secret())


def test_a_connection_that_ends_during_the_login_is_the_logins_failure(oauth: OAuthServer) -> None:
    with mail_server_of(oauth, faults=[Fault("auth", "close")]) as server:
        account = account_with({"oauth_token": given_by(oauth).access}, server.port)
        with pytest.raises(SessionFailed) as failed:
            sessions_of(account).open()
    assert (failed.value.category, failed.value.step) == ("network", "login")
    assert "TLS" not in failed.value.hint
