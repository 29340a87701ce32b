"""Tokens that run out, are revoked and renewed, and what `account test` and `doctor` tell, with real servers."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import requests

from ..support.certs import Certificates
from ..support.oauth_server import DEVICE_CODE, Failure, OAuthServer, Refusal
from .servers import SIZE_LIMIT
from .servers.dovecot import OTHER_USER, PASSWORD, USER, Dovecot
from .test_dovecot_delivery import (
    REASONS,
    REFUSED,
    WITH_PASSWORD,
    WITH_TOKEN,
    Mail,
    fingerprint,
    over_both,
    wait_until,
)

pytestmark = pytest.mark.interop

DRAINS = 10
LOG_IN_AGAIN = "log in again: prx-email account login work"


@pytest.fixture
def oauth(dovecot: Dovecot) -> Iterator[OAuthServer]:
    """An authorization server that issues what Dovecot accepts, for as long as it says."""
    with OAuthServer(user=USER) as server:
        server.make_access_token = lambda user, _scope, expires_at: dovecot.token(user, expires_at=expires_at)
        yield server


@pytest.fixture
def mail(tmp_path: Path, dovecot: Dovecot, certificates: Certificates, oauth: OAuthServer) -> Iterator[Mail]:
    """The command in a home of its own; in the end no secret may be found outside of where it belongs."""
    mail = Mail(tmp_path, dovecot, certificates)
    mail.keep("password", PASSWORD)
    mail.keep("token", dovecot.token())
    yield mail
    mail.secrets |= {oauth.client_secret, *oauth.issued, *oauth.refresh_tokens}
    mail.assert_nothing_told()


def consent(oauth: OAuthServer) -> str:
    """The refresh token that a person's login brings."""
    client = {"client_id": oauth.confidential_client_id, "client_secret": oauth.client_secret}
    with requests.Session() as session:
        session.trust_env = False
        device = session.post(oauth.device_url, client, timeout=5).json()
        oauth.approve_device(device["user_code"])
        code = {"grant_type": DEVICE_CODE, "device_code": device["device_code"]}
        return str(session.post(oauth.token_url, {**client, **code}, timeout=5).json()["refresh_token"])


def renewing(mail: Mail, oauth: OAuthServer, *, named: str = "", smtp: str = "", grant: str | None = None) -> str:
    """Let the config renew tokens; its refresh token.  named, smtp: further lines of its tables."""
    refresh_token = consent(oauth)
    how = f'grant = "{grant}"' if grant else f'refresh_token = "{refresh_token}"'
    mail.log_in(
        f"{named}\n[accounts.work.smtp.auth.oauth]\n{how}\n"
        f'client_id = "{oauth.confidential_client_id}"\nclient_secret = "{oauth.client_secret}"\n'
        f'token_url = "{oauth.token_url}"\ndevice_url = "{oauth.device_url}"',
        trust=f'tls_ca_file = "{mail.certificates.ca_file}"\n{smtp}',
    )
    return refresh_token


def renewals(oauth: OAuthServer) -> list[str]:
    """The refresh tokens that were handed in, oldest first."""
    forms = [asked.form for asked in oauth.requests if asked.path == "/token"]
    return [form["refresh_token"] for form in forms if form["grant_type"] == "refresh_token"]


def keep_an_expired_token(mail: Mail, oauth: OAuthServer) -> None:
    """The command is left with a token that it and Dovecot take for expired."""
    oauth.expires_in, make_good_ones = 0, oauth.make_access_token
    oauth.make_access_token = lambda user, _scope, expires_at: mail.dovecot.token(user, expires_at=expires_at - 5)
    assert mail.run("account", "test").status == 75
    assert mail.dovecot.introspection.asked == []
    oauth.expires_in, oauth.make_access_token = 3600, make_good_ones


def deliver(mail: Mail, count: int = 1) -> None:
    """Enqueue *count* messages and drain."""
    mail.enqueue(count)
    assert mail.drain() == 0, mail.run("list").out


def refusals(dovecot: Dovecot) -> int:
    """How many logins Dovecot has refused so far."""
    return len(re.findall(r"auth failed, \d+ attempts", dovecot.log()))


@pytest.mark.parametrize("dovecot", [("OAUTHBEARER",)], indirect=True, ids=["OAUTHBEARER"])
def test_a_token_revoked_between_two_drains_is_renewed_once(mail: Mail, oauth: OAuthServer) -> None:
    """By the first of four connections, for all; and it serves the next drain as well."""
    renewing(mail, oauth)
    deliver(mail)
    old = oauth.issued[-1]
    mail.dovecot.revoke(old)
    before = len(mail.dovecot.introspection.asked)
    deliver(mail, 12)
    mail.assert_delivered_once()
    assert len(renewals(oauth)) == 2
    first, *later = mail.dovecot.introspection.asked[before:]
    assert first == old
    assert set(later) == {oauth.issued[-1]}
    deliver(mail)
    assert len(renewals(oauth)) == 2


def test_with_rotation_each_refresh_token_is_used_once(mail: Mail, oauth: OAuthServer) -> None:
    oauth.rotate = True
    renewing(mail, oauth)
    for _ in range(2):
        deliver(mail)
        mail.dovecot.revoke(oauth.issued[-1])
    deliver(mail)
    mail.assert_delivered_once()
    assert renewals(oauth) == oauth.refresh_tokens[:3]


def test_an_expired_token_is_renewed_before_the_server_sees_it(mail: Mail, oauth: OAuthServer) -> None:
    renewing(mail, oauth)
    before = refusals(mail.dovecot)
    keep_an_expired_token(mail, oauth)
    wait_until(lambda: refusals(mail.dovecot) == before + 1)
    deliver(mail, 2)
    mail.assert_delivered_once()
    assert refusals(mail.dovecot) == before + 1
    assert len(renewals(oauth)) == 2
    assert set(mail.dovecot.introspection.asked) == {oauth.issued[-1]}


def test_a_short_lived_token_serves_every_connection_in_the_first_half_of_its_life(
    mail: Mail, oauth: OAuthServer
) -> None:
    oauth.expires_in = 180
    renewing(mail, oauth, smtp="messages_per_connection = 1\nconnections = 1")
    deliver(mail, 3)
    mail.assert_delivered_once()
    (token,) = oauth.issued[1:]
    assert mail.dovecot.introspection.asked == [token] * 3
    assert len(renewals(oauth)) == 1


class GoodForOneLogin(dict[str, str]):
    """Active tokens of a provider that withdraws each after one look."""

    def get(self, token: str, default: Any = None) -> Any:
        return self.pop(token, default)


def test_a_token_revoked_in_the_middle_of_a_drain_is_renewed(
    mail: Mail, oauth: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has let this drain in before the next connection finds it revoked: only one never let in is hopeless."""
    monkeypatch.setattr(mail.dovecot.introspection, "users", GoodForOneLogin())
    renewing(mail, oauth, smtp="messages_per_connection = 1\nconnections = 1")
    deliver(mail, 3)
    mail.assert_delivered_once()
    assert len(renewals(oauth)) == 3


def test_a_refused_refresh_asks_for_a_login_which_helps(mail: Mail, oauth: OAuthServer) -> None:
    """The account fails without a word to the server; the person does as the hint says, and all is delivered."""
    oauth.revoke_refresh(renewing(mail, oauth))
    mail.enqueue(3)
    assert mail.run("drain").status == 75
    mail.assert_probed("auth", "cannot get an OAuth token: invalid_grant", LOG_IN_AGAIN)
    assert mail.dovecot.introspection.asked == []

    login = mail.start("account", "login", "work", "--device")
    oauth.wait_for(lambda: len(oauth.user_codes) == 2)
    oauth.approve_device(oauth.user_codes[-1])
    mail.said += login.communicate(timeout=30)
    assert login.returncode == 0
    assert mail.drain() == 0
    mail.assert_delivered_once()


def test_a_revoked_token_and_a_refused_refresh_are_both_told(mail: Mail, oauth: OAuthServer) -> None:
    """Without the secrets that the authorization server repeats; a new refresh token in the config helps.

    It comes before one that is kept: rotation had replaced the old one.
    """
    oauth.rotate = True
    refresh_token = renewing(mail, oauth)
    deliver(mail)
    mail.dovecot.revoke(oauth.issued[-1])
    oauth.refuse = Refusal("invalid_grant", f"{refresh_token} of {oauth.client_secret} was revoked")
    [outbox_id] = mail.enqueue(1)
    assert mail.run("drain").status == 75
    error = mail.rows()[outbox_id]["last_error"]
    assert f"{REFUSED}; the server's reason: {REASONS['XOAUTH2']}; cannot get an OAuth token: invalid_grant" in error
    assert "*** of *** was revoked" in error
    assert LOG_IN_AGAIN in error
    oauth.refuse = None
    for old in oauth.refresh_tokens:
        oauth.revoke_refresh(old)
    renewing(mail, oauth)
    assert mail.drain() == 0
    mail.assert_delivered_once()


def test_an_authorization_server_in_trouble_is_a_passing_failure(mail: Mail, oauth: OAuthServer) -> None:
    renewing(mail, oauth)
    oauth.fail_with = Failure(503, "<h1>Service Unavailable</h1>")
    mail.enqueue(3)
    assert mail.run("drain").status == 75
    mail.assert_probed("network", "cannot get an OAuth token", "503", "the next run tries again")
    oauth.fail_with = None
    assert mail.drain() == 0
    mail.assert_delivered_once()


def test_an_identity_provider_in_trouble_costs_no_token(mail: Mail, oauth: OAuthServer) -> None:
    """Dovecot cannot ask about it: that says nothing against the token that is kept, and no other one is got."""
    renewing(mail, oauth)
    assert mail.run("account", "test").status == 0
    mail.dovecot.introspection.fails = True
    mail.enqueue(3)
    assert mail.run("drain").status == 75
    mail.assert_probed("provider", "454 4.7.0 Temporary authentication failure.", "the next run tries again")
    mail.dovecot.introspection.fails = False
    assert mail.drain() == 0
    mail.assert_delivered_once()
    assert len(renewals(oauth)) == 1


def test_a_new_token_that_is_refused_is_not_renewed_again(mail: Mail, oauth: OAuthServer) -> None:
    """It is another user's: no number of tokens would help, so the account is what is to be looked at."""
    oauth.user = OTHER_USER
    renewing(mail, oauth)
    mail.enqueue(3)
    assert mail.run("drain").status == 75
    mail.assert_probed("auth", REFUSED, "check smtp.user and scope")
    assert len(renewals(oauth)) == 1


def test_an_application_that_logs_in_as_itself_gets_another_token(mail: Mail, oauth: OAuthServer) -> None:
    renewing(mail, oauth, grant="client_credentials")
    deliver(mail)
    mail.dovecot.revoke(oauth.issued[-1])
    deliver(mail, 2)
    mail.assert_delivered_once()
    assert (oauth.count("client_credentials"), renewals(oauth)) == (2, [])


def test_a_token_named_in_the_config_is_used_until_it_is_refused(mail: Mail, oauth: OAuthServer) -> None:
    named = mail.keep("token", mail.dovecot.token())
    renewing(mail, oauth, named=WITH_TOKEN)
    deliver(mail)
    assert renewals(oauth) == []
    mail.dovecot.revoke(named)
    deliver(mail, 3)
    mail.assert_delivered_once()
    assert len(renewals(oauth)) == 1
    assert mail.dovecot.introspection.asked[-1] == oauth.issued[-1]


def runs_at_work(outbox: Path) -> int:
    """How many runs have begun on *outbox* and not ended."""
    directory = outbox.with_name(f"{outbox.name}.runs")
    return (
        sum(file.name.count("-") == 2 and not file.suffix for file in directory.iterdir()) if directory.exists() else 0
    )


def test_ten_drains_over_one_expired_token_renew_it_once(mail: Mail, oauth: OAuthServer) -> None:
    """The answer is held back until all of them are at work."""
    renewing(mail, oauth)
    keep_an_expired_token(mail, oauth)
    drains: list[Popen[str]] = []

    def make_token_when_all_wait(user: str, _scope: str, expires_at: int) -> str:
        wait_until(lambda: runs_at_work(mail.outbox) == DRAINS, timeout=20)
        return mail.dovecot.token(user, expires_at=expires_at)

    oauth.make_access_token = make_token_when_all_wait
    mail.enqueue(40)
    drains += [mail.start("drain", "--connections", "1") for _ in range(DRAINS)]
    for drain in drains:
        mail.said += drain.communicate(timeout=60)
    assert [drain.returncode for drain in drains] == [0] * DRAINS
    mail.assert_delivered_once()
    assert len(renewals(oauth)) == 2
    assert set(mail.dovecot.introspection.asked) == {oauth.issued[-1]}


def steps_of(text: str) -> dict[str, tuple[str, str]]:
    """Each step's mark and detail, by its name."""
    lines = [line.split(None, 2) for line in text.splitlines() if line.startswith("  ")]
    return {name: (mark, " ".join(rest)) for mark, name, *rest in lines if mark != "fix:"}


@over_both
def test_account_test_and_doctor_show_tls_certificate_and_mechanism(mail: Mail, tls: str) -> None:
    mail.log_in(f"{WITH_TOKEN}\noauth_expires_at = {int(time.time()) + 600}", tls=tls)
    tried, looked = mail.run("account", "test"), mail.run("doctor")
    assert tried.status == 0
    for text in (tried.out, looked.out.partition("account work: 127.0.0.1:")[2]):
        steps = steps_of(text)
        assert list(steps) == ["secret", "address", "connection", "tls", "certificate", "greeting", "login", "limits"]
        assert {name: mark for name, (mark, _) in steps.items() if mark != "ok"} == {"login": "WARN"}
        assert steps["tls"][1].startswith("TLSv1.3, TLS_")
        assert re.search(r"trustme.*, issued by trustme.*, valid for \d+ more days", steps["certificate"][1])
        assert steps["login"][1].startswith(f"XOAUTH2 as {USER}, token valid until ")
        assert "nothing renews it" in text
    assert mail.dovecot.received() == []


def test_account_test_as_json_names_the_pinned_certificate_and_the_mechanism(mail: Mail) -> None:
    pinned = fingerprint(mail.certificates)
    mail.log_in(WITH_PASSWORD, trust=f'tls_fingerprint = "{pinned}"')
    tried = mail.run("account", "test", "--json").data
    assert (tried["certificate"]["sha256"], tried["login"], tried["tls_version"]) == (pinned, "PLAIN", "TLSv1.3")
    assert {step["result"] for step in tried["steps"]} == {"ok"}


@pytest.mark.parametrize("dovecot", [("OAUTHBEARER",)], indirect=True, ids=["OAUTHBEARER"])
def test_account_test_and_doctor_show_which_step_failed_and_why(mail: Mail) -> None:
    mail.log_in(WITH_TOKEN)
    mail.keep("token", mail.dovecot.token(forged=True))
    tried, looked = mail.run("account", "test"), mail.run("doctor")
    assert tried.status == 75
    for text in (tried.out, looked.out.partition("account work")[2]):
        marks = {name: mark for name, (mark, _) in steps_of(text).items()}
        assert [name for name, mark in marks.items() if mark != "ok"] == ["login"]
        assert list(marks)[-4:] == ["tls", "certificate", "greeting", "login"]
    for text in (tried.err, looked.out):
        assert f"{REFUSED}; the server's reason: {REASONS['OAUTHBEARER']}" in text


def test_account_test_tells_the_size_limit_of_those_who_have_logged_in(mail: Mail) -> None:
    """Dovecot announces it after the login only."""
    mail.log_in(WITH_PASSWORD)
    assert f"{SIZE_LIMIT - 1024:,} bytes a message" in mail.run("account", "test").out
