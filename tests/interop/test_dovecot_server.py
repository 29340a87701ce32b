"""Dovecot itself, tried with plain smtplib: what these tests show, a test of our client may rely on.

To a token that it refuses, Dovecot 2.3.19 answers with a challenge, and with 535 to whatever the client makes of it:

    334 eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIiwic2NvcGUiOiJtYWlsIn0=        (XOAUTH2)
    334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=                                        (OAUTHBEARER)
    535 5.7.8 Authentication failed.

It does not say why: a forged, an expired, a revoked token and one of another user all get the same.
"""

import json
import smtplib
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from ..support.certs import Certificates
from .conftest import install
from .servers import DOMAIN, GREYLISTED, REFUSED, SIZE_LIMIT, Certs, Postfix
from .servers.base import GREYLISTING_TEXT, REFUSAL_TEXT
from .servers.dovecot import MECHANISMS, OTHER_PASSWORD, OTHER_USER, PASSWORD, USER, Dovecot
from .test_lifetime import alive

pytestmark = pytest.mark.interop

RECIPIENT = f"carol@{DOMAIN}"
MESSAGE = b"From: <alice@example.test>\r\nTo: <carol@example.test>\r\nSubject: interop\r\n\r\nplain\r\n.\r\n..dots\r\n"

LOGGED_IN = (235, b"2.7.0 Logged in.")
AUTHENTICATION_FAILED = (535, b"5.7.8 Authentication failed.")
TLS_REQUIRED = (530, b"5.7.0 TLS required.")

CHALLENGES = {
    "XOAUTH2": {"status": "401", "schemes": "bearer", "scope": "mail"},
    "OAUTHBEARER": {"status": "invalid_token"},
}

in_both = pytest.mark.parametrize("mechanism", list(CHALLENGES))


@pytest.fixture
def trusting(certificates: Certificates) -> ssl.SSLContext:
    """Return a TLS context that trusts the server's CA."""
    return certificates.client_context()


@pytest.fixture
def clear(dovecot: Dovecot) -> Iterator[smtplib.SMTP]:
    """Yield a connection in clear that has said EHLO."""
    with smtplib.SMTP(dovecot.host, dovecot.port, timeout=10) as connection:
        connection.ehlo()
        yield connection


@pytest.fixture
def client(clear: smtplib.SMTP, trusting: ssl.SSLContext) -> smtplib.SMTP:
    """Return a connection that has said STARTTLS and EHLO, and is not logged in."""
    clear.starttls(context=trusting)
    clear.ehlo()
    return clear


def response(mechanism: str, token: str, user: str = USER) -> str:
    """Return what a client sends of a token, as Google and RFC 7628 have it."""
    text = f"user={user}\x01" if mechanism == "XOAUTH2" else f"n,a={user},\x01host=localhost\x01port=587\x01"
    return encoded(f"{text}auth=Bearer {token}\x01\x01")


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def authenticate(client: smtplib.SMTP, mechanism: str, initial: str) -> tuple[int, bytes]:
    """Return the reply to AUTH with an initial response."""
    return client.docmd("AUTH", f"{mechanism} {initial}")


def assert_delivered(dovecot: Dovecot, client: smtplib.SMTP, sender: str = USER) -> None:
    """The connection is logged in, and what it sends arrives at the relay as sent."""
    client.ehlo()
    assert client.sendmail(sender, [RECIPIENT], MESSAGE) == {}
    [received] = dovecot.wait_for(1)
    assert (received.sender, received.recipient) == (sender, RECIPIENT)
    content = message_from_bytes(received.data)
    assert content["Subject"] == "interop"
    assert content.get_payload() == "plain\n.\n..dots\n"
    assert any("ESMTPSA" in str(trace) for trace in content.get_all("Received", []))


def assert_refused(client: smtplib.SMTP, mechanism: str, initial: str) -> None:
    """The challenge tells that the token is refused; then any answer ends in 535, and one may try again."""
    for answer in ("", encoded("\x01")):
        code, challenge = authenticate(client, mechanism, initial)
        assert code == 334
        assert json.loads(b64decode(challenge, validate=True)) == CHALLENGES[mechanism]
        assert client.docmd(answer) == AUTHENTICATION_FAILED


def test_a_password_logs_in_and_mail_reaches_the_relay(dovecot: Dovecot, client: smtplib.SMTP) -> None:
    assert authenticate(client, "PLAIN", encoded(f"\0{USER}\0{PASSWORD}")) == LOGGED_IN
    assert_delivered(dovecot, client)


def test_login_asks_for_user_and_password(dovecot: Dovecot, client: smtplib.SMTP) -> None:
    assert client.docmd("AUTH", "LOGIN") == (334, encoded("Username:").encode())
    assert client.docmd(encoded(OTHER_USER)) == (334, encoded("Password:").encode())
    assert client.docmd(encoded(OTHER_PASSWORD)) == LOGGED_IN
    assert_delivered(dovecot, client, OTHER_USER)


def test_a_wrong_password_is_refused(client: smtplib.SMTP) -> None:
    """So is that of another user, and one may try again."""
    for wrong in ("wrong", OTHER_PASSWORD):
        assert authenticate(client, "PLAIN", encoded(f"\0{USER}\0{wrong}")) == AUTHENTICATION_FAILED
    assert authenticate(client, "PLAIN", encoded(f"\0{USER}\0{PASSWORD}")) == LOGGED_IN


@in_both
def test_a_token_logs_in_and_mail_reaches_the_relay(dovecot: Dovecot, client: smtplib.SMTP, mechanism: str) -> None:
    token = dovecot.token()
    assert authenticate(client, mechanism, response(mechanism, token)) == LOGGED_IN
    assert_delivered(dovecot, client)
    assert dovecot.introspection.asked == [token]


@in_both
def test_a_long_token_must_come_after_an_empty_challenge(
    dovecot: Dovecot, client: smtplib.SMTP, mechanism: str
) -> None:
    """One of two thousand characters makes a command too long; in a line of its own it is fine."""
    token = response(mechanism, dovecot.token(padding=2000))
    assert authenticate(client, mechanism, token) == (500, b"5.5.2 Line too long")
    assert client.docmd("AUTH", mechanism) == (334, b"")
    assert client.docmd(token) == LOGGED_IN
    assert_delivered(dovecot, client)


@in_both
def test_a_forged_token_is_refused(dovecot: Dovecot, client: smtplib.SMTP, mechanism: str) -> None:
    """By Dovecot itself, which sees the signature."""
    assert_refused(client, mechanism, response(mechanism, dovecot.token(forged=True)))
    assert dovecot.introspection.asked == []


@in_both
def test_an_expired_token_is_refused(dovecot: Dovecot, client: smtplib.SMTP, mechanism: str) -> None:
    """By Dovecot itself, which sees the time."""
    assert_refused(client, mechanism, response(mechanism, dovecot.token(expires_at=time.time() - 2)))
    assert dovecot.introspection.asked == []


@in_both
def test_the_token_of_another_user_is_refused(dovecot: Dovecot, client: smtplib.SMTP, mechanism: str) -> None:
    token = dovecot.token(OTHER_USER)
    assert_refused(client, mechanism, response(mechanism, token))
    assert authenticate(client, mechanism, response(mechanism, token, OTHER_USER)) == LOGGED_IN


@in_both
def test_what_is_no_token_is_refused(client: smtplib.SMTP, mechanism: str) -> None:
    assert_refused(client, mechanism, response(mechanism, "opaque"))


@in_both
def test_a_revoked_token_is_refused_though_it_worked_before(
    dovecot: Dovecot, client: smtplib.SMTP, trusting: ssl.SSLContext, mechanism: str
) -> None:
    """By the identity provider: Dovecot itself has nothing against it.  Another token goes on working."""
    token, other = dovecot.token(), dovecot.token()
    with smtplib.SMTP_SSL(dovecot.host, dovecot.tls_port, timeout=10, context=trusting) as before:
        before.ehlo()
        assert authenticate(before, mechanism, response(mechanism, token)) == LOGGED_IN

    dovecot.revoke(token)

    assert_refused(client, mechanism, response(mechanism, token))
    assert set(dovecot.introspection.asked) == {token}
    assert authenticate(client, mechanism, response(mechanism, other)) == LOGGED_IN


@in_both
def test_a_client_that_cancels_the_challenge_gets_501(dovecot: Dovecot, client: smtplib.SMTP, mechanism: str) -> None:
    """Thus a refused token does not look like one to a client that answers with an asterisk."""
    assert authenticate(client, mechanism, response(mechanism, dovecot.token(forged=True)))[0] == 334
    assert client.docmd("*") == (501, b"5.5.2 Authentication aborted by client.")
    assert authenticate(client, mechanism, response(mechanism, dovecot.token())) == LOGGED_IN


@in_both
def test_an_identity_provider_in_trouble_is_a_temporary_failure(
    dovecot: Dovecot, client: smtplib.SMTP, mechanism: str
) -> None:
    """Without a challenge, and the same token works once it is over."""
    token = dovecot.token()
    dovecot.introspection.fails = True
    code, text = authenticate(client, mechanism, response(mechanism, token))
    assert code == 454
    assert text.startswith(b"4.7.0 Temporary authentication failure.")
    dovecot.introspection.fails = False
    assert authenticate(client, mechanism, response(mechanism, token)) == LOGGED_IN


def test_nobody_logs_in_before_starttls(dovecot: Dovecot, clear: smtplib.SMTP, trusting: ssl.SSLContext) -> None:
    """No mechanism is announced, and with the right credentials each is refused; so is mail."""
    assert clear.has_extn("starttls")
    assert not clear.has_extn("auth")
    assert authenticate(clear, "PLAIN", encoded(f"\0{USER}\0{PASSWORD}")) == TLS_REQUIRED
    assert clear.docmd("AUTH", "LOGIN") == TLS_REQUIRED
    for mechanism in CHALLENGES:
        assert authenticate(clear, mechanism, response(mechanism, dovecot.token())) == TLS_REQUIRED
    assert clear.mail(USER)[0] == 530
    clear.starttls(context=trusting)
    clear.ehlo()
    assert clear.esmtp_features["auth"].split() == list(MECHANISMS)


def test_mail_without_a_login_is_refused(client: smtplib.SMTP) -> None:
    assert client.mail(USER)[0] == 530


def test_implicit_tls(dovecot: Dovecot, trusting: ssl.SSLContext) -> None:
    """The second port speaks TLS from the first byte."""
    with smtplib.SMTP_SSL(dovecot.host, dovecot.tls_port, timeout=10, context=trusting) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        assert authenticate(client, "XOAUTH2", response("XOAUTH2", dovecot.token())) == LOGGED_IN
        assert_delivered(dovecot, client)


def test_the_certificate_is_unknown_to_others(clear: smtplib.SMTP, certificates: Certificates) -> None:
    """A client that trusts another CA only, and accepts this server, does not verify."""
    with pytest.raises(ssl.SSLError):
        clear.starttls(context=certificates.client_context(certificates.other_ca_file))


@pytest.mark.parametrize("dovecot", [("OAUTHBEARER",), ("XOAUTH2",), ("PLAIN", "LOGIN")], indirect=True)
def test_only_the_named_mechanisms_are_offered(dovecot: Dovecot, client: smtplib.SMTP) -> None:
    """The others are unknown to it."""
    assert client.esmtp_features["auth"].split() == list(dovecot.mechanisms)
    initial = {mechanism: response(mechanism, dovecot.token()) for mechanism in CHALLENGES}
    initial["PLAIN"] = encoded(f"\0{USER}\0{PASSWORD}")
    for mechanism in initial.keys() - set(dovecot.mechanisms):
        assert authenticate(client, mechanism, initial[mechanism])[0] == 504
    assert authenticate(client, dovecot.mechanisms[0], initial[dovecot.mechanisms[0]]) == LOGGED_IN
    assert_delivered(dovecot, client)


def test_the_verdicts_of_the_relay_are_the_clients(dovecot: Dovecot, client: smtplib.SMTP) -> None:
    """Deferred, refused, relaying denied: Dovecot asks before it answers."""
    assert authenticate(client, "PLAIN", encoded(f"\0{USER}\0{PASSWORD}")) == LOGGED_IN
    client.ehlo()
    outside = "someone@elsewhere.test"
    refused = client.sendmail(USER, [GREYLISTED, REFUSED, outside, RECIPIENT], MESSAGE)
    assert {address: code for address, (code, _) in refused.items()} == {GREYLISTED: 450, REFUSED: 550, outside: 554}
    assert GREYLISTING_TEXT.encode() in refused[GREYLISTED][1]
    assert REFUSAL_TEXT.encode() in refused[REFUSED][1]
    assert [copy.recipient for copy in dovecot.wait_for(1)] == [RECIPIENT]
    dovecot.lift_greylisting()
    assert client.sendmail(USER, [GREYLISTED], MESSAGE) == {}
    assert len(dovecot.wait_for(2)) == 2


def test_oversized_mail_is_refused(dovecot: Dovecot, client: smtplib.SMTP) -> None:
    """Before it gets to the relay, whose limit Dovecot knows and leaves room in for its own header."""
    assert authenticate(client, "PLAIN", encoded(f"\0{USER}\0{PASSWORD}")) == LOGGED_IN
    client.ehlo()
    assert client.esmtp_features["size"] == str(SIZE_LIMIT - 1024)
    large = MESSAGE + b"0123456789abcdef\r\n" * (SIZE_LIMIT // 16)
    assert client.mail(USER, [f"size={len(large)}"])[0] == 552
    client.rset()
    client.mail(USER)
    client.rcpt(RECIPIENT)
    assert client.data(large)[0] == 552
    client.rset()
    assert_delivered(dovecot, client)


def test_reset_forgets(dovecot: Dovecot, client: smtplib.SMTP, trusting: ssl.SSLContext) -> None:
    """What a test received, and the tokens it made, are gone for the next one."""
    token = dovecot.token()
    assert authenticate(client, "XOAUTH2", response("XOAUTH2", token)) == LOGGED_IN
    assert_delivered(dovecot, client)
    dovecot.reset()
    assert dovecot.received() == []
    assert dovecot.introspection.asked == []
    with smtplib.SMTP_SSL(dovecot.host, dovecot.tls_port, timeout=10, context=trusting) as later:
        later.ehlo()
        assert_refused(later, "XOAUTH2", response("XOAUTH2", token))


def test_stop_ends_every_process_and_frees_the_ports(
    tmp_path: Path, certs: Certs, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    """Forwarders and logged-in sessions included, while the relay goes on."""
    install("postfix")
    install("dovecot")
    directory = tmp_path / "stopped-dovecot"
    with Postfix(tmp_path / "relay", certs) as relay:
        with Dovecot(directory, certificates, relay) as server:
            client = smtplib.SMTP_SSL(server.host, server.tls_port, timeout=10, context=trusting)
            client.ehlo()
            assert authenticate(client, "XOAUTH2", response("XOAUTH2", server.token())) == LOGGED_IN
            processes = alive(directory)
            assert any("socat" in command for command in processes)
            assert any("submission" in command for command in processes)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()
        assert alive(directory) == []
        assert not server.is_up()
        assert relay.is_up()
