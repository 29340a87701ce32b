"""Access tokens are renewed in time and not more often; what the authorization server is asked, and what is kept."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from prx_email_cli.errors import ConfigError
from prx_email_cli.oauth.server import ExchangeFailed, Tokens
from prx_email_cli.smtp.credentials import TokenLogin
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.session import SessionFactory

from ..conftest import Program
from ..support.faults import Fault
from ..support.oauth_server import OAuthServer, Refusal
from .field import (
    HOUR,
    USER,
    account_with,
    attempts,
    cache_of,
    check_one_probe,
    configure,
    enqueue,
    given_by,
    keep,
    kept,
    mail_server_of,
    refusing_every_token,
    renewed_by,
    sessions_of,
    tokens_of,
    xoauth2,
)

REFRESH = "refresh_token"
APPLICATION = "client_credentials"


def as_application(oauth: OAuthServer, **changes: Any) -> dict[str, Any]:
    table = {"grant": APPLICATION, "client_id": oauth.confidential_client_id, "client_secret": oauth.client_secret}
    return renewed_by(oauth, **{**table, **changes})


class TestWhatIsAsked:
    def test_is_what_rfc_6749_section_6_says(self, oauth: OAuthServer) -> None:
        given = given_by(oauth)
        token = tokens_of(account_with(renewed_by(oauth, given.refresh))).current()
        (asked,) = oauth.requests
        assert (asked.method, asked.path, asked.query) == ("POST", "/token", {})
        assert asked.form == {"grant_type": REFRESH, "refresh_token": given.refresh, "client_id": "public-client"}
        assert "Authorization" not in asked.headers
        assert oauth.valid(token) == USER

    def test_has_the_clients_secret_where_there_is_one(self, oauth: OAuthServer) -> None:
        given = given_by(oauth, confidential=True)
        secret = {"client_id": oauth.confidential_client_id, "client_secret": oauth.client_secret}
        tokens_of(account_with(renewed_by(oauth, given.refresh, **secret))).current()
        (asked,) = oauth.requests
        assert asked.form == {"grant_type": REFRESH, "refresh_token": given.refresh, **secret}
        assert "Authorization" not in asked.headers

    def test_has_the_scope_that_the_config_names(self, oauth: OAuthServer) -> None:
        scope = "https://mail.example/ offline_access"
        given = given_by(oauth, scope=scope)
        tokens_of(account_with(renewed_by(oauth, given.refresh, scope=scope))).current()
        assert oauth.requests[0].form["scope"] == scope

    def test_has_the_scope_that_was_granted_where_the_server_said_so(self, oauth: OAuthServer) -> None:
        less = "https://mail.example/"
        given = given_by(oauth, scope=less)
        account = account_with(renewed_by(oauth, scope=f"{less} offline_access"))
        with cache_of(account).renewing() as renewal:
            renewal.write(Tokens(given.access, 0, given.refresh, less))
        assert oauth.valid(tokens_of(account).current()) == USER
        assert [asked.form.get("scope") for asked in oauth.requests] == [less]
        assert kept(account) is not None
        assert kept(account).scope == less  # type: ignore[union-attr]

    def test_has_no_scope_where_the_configs_turns_out_to_be_too_much(self, oauth: OAuthServer) -> None:
        less = "https://mail.example/"
        given = given_by(oauth, scope=less)
        account = account_with(renewed_by(oauth, given.refresh, scope=f"{less} offline_access"))
        assert oauth.valid(tokens_of(account).current()) == USER
        assert [asked.form.get("scope") for asked in oauth.requests] == [f"{less} offline_access", None]

    def test_is_asked_once_where_another_error_comes_back(self, oauth: OAuthServer) -> None:
        oauth.refuse = Refusal("invalid_grant")
        with pytest.raises(ExchangeFailed, match="invalid_grant"):
            tokens_of(account_with(renewed_by(oauth, given_by(oauth).refresh, scope="mail.send"))).current()
        assert len(oauth.requests) == 1

    def test_is_for_an_application_what_section_4_4_says(self, oauth: OAuthServer) -> None:
        token = tokens_of(account_with(as_application(oauth, scope="mail.send"))).current()
        (asked,) = oauth.requests
        secret = {"client_id": oauth.confidential_client_id, "client_secret": oauth.client_secret}
        assert asked.form == {"grant_type": APPLICATION, "scope": "mail.send", **secret}
        assert oauth.valid(token) == USER

    @pytest.mark.parametrize("secret", ["a b+c%20&d=e;f", "pässwörd-秘密", "'\"\\<>#?/", "~tilde~0123", "%ZZ%"])
    def test_brings_every_secret_over_whole(self, secret: str, oauth: OAuthServer) -> None:
        account = account_with(renewed_by(oauth, f"rt-{secret}", client_secret=f"cs-{secret}"))
        with pytest.raises(Exception, match="invalid_client"):
            tokens_of(account).current()
        (asked,) = oauth.requests
        assert (asked.form["refresh_token"], asked.form["client_secret"]) == (f"rt-{secret}", f"cs-{secret}")

    def test_has_nothing_of_a_netrc_file(self, oauth: OAuthServer, tmp_path: Path) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1\nlogin somebody\npassword else\n")
        (tmp_path / ".netrc").chmod(0o600)
        tokens_of(account_with(renewed_by(oauth, given_by(oauth).refresh))).current()
        assert "Authorization" not in oauth.requests[0].headers

    @pytest.mark.parametrize("name", ["refresh_token", "client_secret"])
    @pytest.mark.parametrize("source", ["", "_env", "_command", "_file"])
    def test_takes_each_secret_from_wherever_it_is(
        self, name: str, source: str, oauth: OAuthServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = given_by(oauth, confidential=True)
        secret = given.refresh if name == REFRESH else oauth.client_secret
        file = tmp_path / "secret"
        file.touch(0o600)
        file.write_text(f"{secret}\nsecond line\n")
        monkeypatch.setenv("MAIL_SECRET", secret)
        value: dict[str, Any] = {
            "": secret, "_env": "MAIL_SECRET", "_file": str(file),
            "_command": [sys.executable, "-c", "import sys; print(sys.argv[1])", secret],
        }  # fmt: skip
        auth = renewed_by(
            oauth, given.refresh, client_id=oauth.confidential_client_id, client_secret=oauth.client_secret
        )["oauth"]
        del auth[name]
        token = tokens_of(account_with({"oauth": {**auth, f"{name}{source}": value[source]}})).current()
        assert oauth.valid(token) == USER


class TestAKeptToken:
    @pytest.mark.parametrize(
        ("left", "renewed"), [(-HOUR, True), (0, True), (1, True), (59, True), (60, True), (61, False), (HOUR, False)]
    )
    def test_is_used_as_long_as_it_is_good_for_another_minute(
        self, left: int, renewed: bool, oauth: OAuthServer
    ) -> None:
        given = given_by(oauth)
        account = account_with(renewed_by(oauth, given.refresh))
        keep(account, given.access, ends_in=HOUR)
        ends = kept(account)
        assert ends is not None
        assert ends.expires_at is not None
        token = tokens_of(account, ends.expires_at - left).current()
        assert (token != given.access) == renewed
        assert oauth.count(REFRESH) == renewed

    def test_in_a_file_of_the_version_before_is_read(self, oauth: OAuthServer) -> None:
        given = given_by(oauth)
        account = account_with(renewed_by(oauth, given.refresh))
        file = keep(account, given.access)
        old = json.loads(file.read_text())
        del old["obtained_at"]
        file.write_text(json.dumps(old))
        assert tokens_of(account).current() == given.access
        assert oauth.requests == []

    def test_that_does_not_say_when_it_ends_is_used(self, oauth: OAuthServer) -> None:
        given = given_by(oauth)
        account = account_with(renewed_by(oauth, given.refresh))
        keep(account, given.access, ends_in=None)
        assert tokens_of(account, 1 << 40).current() == given.access
        assert oauth.requests == []

    def test_is_the_next_runs_too_and_the_configs_refresh_token_is_not_beside_it(self, oauth: OAuthServer) -> None:
        given = given_by(oauth)
        account = account_with(renewed_by(oauth, given.refresh))
        assert len({tokens_of(account).current() for _ in range(3)}) == 1
        assert oauth.count(REFRESH) == 1
        assert given.refresh not in cache_of(account).file.read_text()

    def test_of_an_application_is_the_next_runs_too_and_renewed_in_time(self, oauth: OAuthServer) -> None:
        account = account_with(as_application(oauth))
        assert tokens_of(account).current() == tokens_of(account).current()
        assert oauth.count(APPLICATION) == 1
        assert tokens_of(account, time.time() + HOUR).current() == oauth.issued[-1]
        assert oauth.count(APPLICATION) == 2

    @pytest.mark.parametrize("expires_in", [None, 3599])
    def test_has_the_end_that_the_server_names(self, expires_in: int | None, oauth: OAuthServer) -> None:
        oauth.expires_in = expires_in
        account = account_with(renewed_by(oauth, given_by(oauth).refresh))
        before = int(time.time())
        tokens_of(account).current()
        tokens = kept(account)
        assert tokens is not None
        if expires_in is None:
            assert tokens.expires_at is None
        else:
            assert tokens.expires_at is not None
            assert before + 3599 <= tokens.expires_at <= time.time() + 3599

    def test_that_is_good_needs_no_authorization_server(self, oauth: OAuthServer) -> None:
        given = given_by(oauth)
        account = account_with(renewed_by(oauth, given.refresh))
        keep(account, given.access)
        oauth.close()
        assert tokens_of(account).current() == given.access


class TestARefreshToken:
    def test_that_was_rotated_is_kept_and_used_next_time(self, oauth: OAuthServer) -> None:
        oauth.rotate = True
        given = given_by(oauth)
        account = account_with(renewed_by(oauth, given.refresh))
        for hours in range(4):
            tokens_of(account, time.time() + hours * HOUR).current()
        assert [asked.form["refresh_token"] for asked in oauth.requests] == oauth.refresh_tokens[:-1]
        tokens = kept(account)
        assert tokens is not None
        assert tokens.refresh_token == oauth.refresh_tokens[-1]

    def test_stays_when_the_answer_brings_none(self, oauth: OAuthServer) -> None:
        given = given_by(oauth)
        account = account_with(renewed_by(oauth))
        keep(account, given.access, ends_in=0, refresh=given.refresh)
        for hours in range(3):
            tokens_of(account, time.time() + hours * HOUR).current()
        assert {asked.form["refresh_token"] for asked in oauth.requests} == {given.refresh}

    @pytest.mark.parametrize("rotate", [True, False])
    def test_that_is_new_in_the_config_makes_worthless_what_is_kept(self, rotate: bool, oauth: OAuthServer) -> None:
        oauth.rotate = rotate
        former, new = given_by(oauth), given_by(oauth)
        first = tokens_of(account_with(renewed_by(oauth, former.refresh))).current()
        account = account_with(renewed_by(oauth, new.refresh))
        second = tokens_of(account).current()
        assert first != second
        assert [asked.form["refresh_token"] for asked in oauth.requests] == [former.refresh, new.refresh]
        assert tokens_of(account).current() == second
        assert oauth.count(REFRESH) == 2

    def test_that_left_the_config_makes_worthless_what_is_kept(self, oauth: OAuthServer) -> None:
        tokens_of(account_with(renewed_by(oauth, given_by(oauth).refresh))).current()
        with pytest.raises(ConfigError, match="there is no token") as refused:
            tokens_of(account_with(renewed_by(oauth))).check()
        assert refused.value.hint == "prx-email account login work"


class TestARefusal:
    """A 535 to a token that had been good."""

    def test_of_a_kept_token_renews_it_once_and_mail_leaves(self, oauth: OAuthServer, program: Program) -> None:
        given = given_by(oauth)
        with mail_server_of(oauth) as server:
            keep(configure(program, server.port, renewed_by(oauth, given.refresh)), given.access)
            oauth.revoke(given.access)
            enqueue(program, 3)
            drain = program.call("drain")
            assert (drain.status, drain.err) == (0, "")
            assert len(server.messages) == 3
            tried = [f"XOAUTH2 {xoauth2(token)}" for token in (given.access, oauth.issued[-1])]
            assert attempts(server)[:2] == tried
            assert set(attempts(server)[2:]) <= {tried[1]}
        assert oauth.count(REFRESH) == 1

    def test_of_the_renewed_token_too_is_the_end(self, oauth: OAuthServer, program: Program) -> None:
        given = given_by(oauth)
        with refusing_every_token() as server:
            keep(configure(program, server.port, renewed_by(oauth, given.refresh)), given.access)
            enqueue(program)
            assert program.call("drain").status == 75
            assert len(attempts(server)) == 2
        assert oauth.count(REFRESH) == 1
        check_one_probe(program, "auth", "535", "prx-email account login work")

    def test_of_an_applications_token_names_no_login_of_a_person(self, oauth: OAuthServer, program: Program) -> None:
        with refusing_every_token() as server:
            configure(program, server.port, as_application(oauth))
            enqueue(program)
            answer = program.call("account", "test", "--json")
            assert program.call("drain").status == 75
        check_one_probe(program, "auth", "535", "what the provider lets it do")
        for text in (program.show(1)["last_error"], answer.out):
            assert "account login" not in text

    @pytest.mark.parametrize("auth", [renewed_by, as_application], ids=["person", "application"])
    def test_of_a_token_just_obtained_asks_for_no_other(self, auth: Any, oauth: OAuthServer) -> None:
        more = {"refresh_token": given_by(oauth).refresh} if auth is renewed_by else {}
        with refusing_every_token() as server:
            sessions = sessions_of(account_with(auth(oauth, **more), server.port))
            with pytest.raises(SessionFailed, match="535"):
                sessions.open()
            assert len(attempts(server)) == 1
        assert len(oauth.requests) == 1

    def test_takes_what_another_process_has_got_meanwhile(self, oauth: OAuthServer) -> None:
        given, newer = given_by(oauth), given_by(oauth)
        with mail_server_of(oauth) as server:
            account = account_with(renewed_by(oauth, given.refresh), server.port)
            keep(account, given.access)
            login = TokenLogin(account)
            assert login.secret() == given.access
            oauth.revoke(given.access)
            keep(account, newer.access)
            assert login.replace(given.access)
            assert login.secret() == newer.access
        assert oauth.requests == []

    def test_that_cannot_be_cured_tells_both_causes(self, oauth: OAuthServer, program: Program) -> None:
        given = given_by(oauth)
        oauth.revoke(given.access)
        oauth.revoke_refresh(given.refresh)
        with mail_server_of(oauth) as server:
            account = configure(program, server.port, renewed_by(oauth, given.refresh))
            file = keep(account, given.access)
            before = file.read_bytes()
            enqueue(program)
            assert program.call("drain").status == 75
            assert len(attempts(server)) == 1
        assert oauth.count(REFRESH) == 1
        assert file.read_bytes() == before
        check_one_probe(program, "auth", "535", "invalid_grant", "prx-email account login work")

    def test_is_no_reason_to_ask_where_nothing_can_renew(self, oauth: OAuthServer) -> None:
        given = given_by(oauth)
        oauth.revoke(given.access)
        with mail_server_of(oauth) as server:
            account = account_with(renewed_by(oauth), server.port)
            keep(account, given.access)
            with pytest.raises(SessionFailed, match="535"):
                sessions_of(account).open()
            assert len(attempts(server)) == 1
        assert oauth.requests == []

    @pytest.mark.parametrize("verdict", ["454 4.7.0 wait", "534 5.7.9 use the browser", "421 4.7.0 bye"])
    def test_of_another_kind_than_535_renews_nothing(self, verdict: str, oauth: OAuthServer) -> None:
        given = given_by(oauth)
        with mail_server_of(oauth, faults=[Fault("auth", verdict)]) as server:
            account = account_with(renewed_by(oauth, given.refresh), server.port)
            keep(account, given.access)
            with pytest.raises(SessionFailed, match=verdict[:3]):
                sessions_of(account).open()
            assert len(attempts(server)) == 1
        assert oauth.requests == []


class TestALongRun:
    def test_renews_before_each_login_that_needs_it(self, oauth: OAuthServer) -> None:
        with mail_server_of(oauth) as server:
            account = account_with(renewed_by(oauth, given_by(oauth).refresh), server.port)
            now = [time.time()]
            sessions = SessionFactory(account, TokenLogin(account, lambda: now[0]))
            for later in (0, 10, HOUR - 100, 50):
                now[0] += later
                oauth.now = lambda: now[0]
                sessions.open().close()
            assert len(attempts(server)) == 4
        assert oauth.count(REFRESH) == 2

    def test_renews_once_more_when_a_renewed_token_that_was_good_is_withdrawn(self, oauth: OAuthServer) -> None:
        with mail_server_of(oauth) as server:
            sessions = sessions_of(account_with(renewed_by(oauth, given_by(oauth).refresh), server.port))
            for number in range(1, 4):
                sessions.open().close()
                assert oauth.count(REFRESH) == number
                oauth.revoke(oauth.issued[-1])
            oauth.refuse = Refusal("invalid_grant")
            with pytest.raises(SessionFailed) as failed:
                sessions.open()
            assert oauth.count(REFRESH) == 4
            assert len(attempts(server)) == 3 + 2 + 1
        assert "535" in failed.value.message
        assert "invalid_grant" in failed.value.message

    def test_of_the_command_lets_every_message_out(self, oauth: OAuthServer, program: Program) -> None:
        oauth.expires_in = 61  # so that the token is still good at its first use, and near its end at a later one
        oauth.rotate = True
        with mail_server_of(oauth) as server:
            auth = renewed_by(oauth, given_by(oauth).refresh)
            configure(program, server.port, auth, smtp={"connections": 1, "messages_per_connection": 1})
            enqueue(program, 4)
            drain = program.call("drain")
            assert (drain.status, drain.err) == (0, "")
            assert len(server.messages) == 4


class TestANamedToken:
    """``oauth_token`` beside ``[..oauth]``."""

    def test_is_used_first_and_asks_nobody(self, oauth: OAuthServer) -> None:
        named, given = given_by(oauth), given_by(oauth)
        account = account_with({"oauth_token": named.access, **renewed_by(oauth, given.refresh)})
        assert TokenLogin(account).secret() == named.access
        assert oauth.requests == []

    @pytest.mark.parametrize(("left", "used"), [(61, True), (60, False), (0, False)])
    def test_gives_way_a_minute_before_its_end(self, left: int, used: bool, oauth: OAuthServer) -> None:
        named, given = given_by(oauth), given_by(oauth)
        end = int(time.time())
        auth = {"oauth_token": named.access, "oauth_expires_at": end, **renewed_by(oauth, given.refresh)}
        login = TokenLogin(account_with(auth), lambda: end - left)
        assert (login.secret() == named.access) == used
        assert oauth.count(REFRESH) == (not used)

    def test_gives_way_when_it_is_refused(self, oauth: OAuthServer) -> None:
        named, given = given_by(oauth), given_by(oauth)
        oauth.revoke(named.access)
        with mail_server_of(oauth) as server:
            auth = {"oauth_token": named.access, **renewed_by(oauth, given.refresh)}
            sessions = sessions_of(account_with(auth, server.port))
            sessions.open().close()
            sessions.open().close()
            tried = (named.access, oauth.issued[-1], oauth.issued[-1])
            assert attempts(server) == [f"XOAUTH2 {xoauth2(token)}" for token in tried]
        assert oauth.count(REFRESH) == 1

    def test_that_has_ended_does_not_lend_its_end_to_the_renewed_one(self, oauth: OAuthServer) -> None:
        named, given = given_by(oauth), given_by(oauth)
        auth = {"oauth_token": named.access, "oauth_expires_at": 5, **renewed_by(oauth, given.refresh)}
        login = TokenLogin(account_with(auth))
        login.secret()
        assert login.expires_at is not None
        assert login.expires_at > time.time()
