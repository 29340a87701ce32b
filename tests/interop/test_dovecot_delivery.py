"""Every way to log in, by password and by token, through the installed command and a real submission server."""

import base64
import hashlib
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Answer, Program
from ..support.certs import Certificates
from .servers import DOMAIN, SIZE_LIMIT
from .servers.dovecot import MECHANISMS, OTHER_PASSWORD, OTHER_USER, PASSWORD, USER, Dovecot

pytestmark = pytest.mark.interop

LATER = 3600
PIECE = 20  # so many characters of a secret count as the secret
REFUSED = "login refused: 535 5.7.8 Authentication failed."
REASONS = {"XOAUTH2": "status 401, schemes bearer, scope mail", "OAUTHBEARER": "status invalid_token"}
WITH_PASSWORD, WITH_TOKEN = 'password_file = "password"', 'oauth_token_file = "token"'

in_both = pytest.mark.parametrize(
    ("dovecot", "mechanism"),
    [(MECHANISMS, "XOAUTH2"), (("OAUTHBEARER",), "OAUTHBEARER")],
    indirect=["dovecot"],
    ids=["XOAUTH2", "OAUTHBEARER"],
)
over_both = pytest.mark.parametrize("tls", ["starttls", "implicit"])


class Mail(Program):
    """The installed command with an account at Dovecot; all it says is kept, to be searched for secrets."""

    def __init__(self, home: Path, dovecot: Dovecot, certificates: Certificates) -> None:
        super().__init__(home)
        self.dovecot = dovecot
        self.certificates = certificates
        self.state = home / "state"
        outside = [name for name in self.environment if name.startswith("XDG_") or name.lower().endswith("_proxy")]
        self.environment = {name: value for name, value in self.environment.items() if name not in outside}
        self.environment["XDG_STATE_HOME"] = str(self.state)
        self.private = {self.config}
        self.said: list[str] = []
        self.secrets = {PASSWORD, OTHER_PASSWORD}

    def log_in(self, auth: str, *, tls: str = "starttls", trust: str | None = None) -> None:
        """Write the config; *trust* instead of naming the CA that signed the server's certificate."""
        port = self.dovecot.port if tls == "starttls" else self.dovecot.tls_port
        trust = trust or f'tls_ca_file = "{self.certificates.ca_file}"'
        smtp = f'host = "127.0.0.1"\nuser = "{USER}"\ntls = "{tls}"\n{trust}'
        self.configure(port, outbox='[log]\nfile = "attempts.log"', smtp=smtp, auth=auth)

    def keep(self, name: str, secret: str) -> str:
        """Write *secret* into the file that the config names."""
        self.secrets.add(secret)
        file = self.home / name
        self.private.add(file)
        file.touch(mode=0o600)
        file.write_text(f"{secret}\n")
        return secret

    def run(self, *arguments: str, text: str | None = None, **environment: str) -> Answer:
        """Run the command to its end, and keep what it says."""
        answer = super().run(*arguments, text=text, **environment)
        self.said += [answer.out, answer.err]
        return answer

    def enqueue(self, count: int) -> list[int]:
        """Ids of *count* new messages, each to a recipient of its own."""
        requests = [{"to": f"user{n}@{DOMAIN}", "subject": f"number {n}", "body_text": "x\n"} for n in range(count)]
        answer = self.run("send", "--batch", "-", text="".join(json.dumps(each) + "\n" for each in requests))
        assert answer.status == 0, answer
        return [int(line) for line in answer.out.split()]

    def drain(self, *options: str) -> int:
        """The exit status of a drain at a time when everything is due."""
        return self.run("drain", "--now-ts", str(int(time.time()) + LATER), *options).status

    def rows(self) -> dict[int, Any]:
        """Every message, by its id."""
        return {row["outbox_id"]: row for row in self.run("list", "--limit", "500", "--json").data}

    def assert_delivered_once(self) -> None:
        """Each message of the outbox arrived at Postfix under its Message-ID; nothing else did, nor is it to come."""
        rows = self.rows().values()
        assert {row["status"] for row in rows} == {"sent"}
        self.dovecot.wait_for(len(rows))
        wait_until(lambda: not on_the_way(self.dovecot))
        received = [(each.recipient, message_from_bytes(each.data)) for each in self.dovecot.received()]
        assert Counter((to, message["Message-ID"], message["Subject"]) for to, message in received) == Counter(
            (row["to"][0], row["message_id"], row["subject"]) for row in rows
        )
        assert all(len(message.get_all("Message-ID", [])) == 1 for _, message in received)
        assert all("ESMTPSA" in str(message.get_all("Received")) for _, message in received)

    def assert_probed(self, category: str, *reasons: str) -> str:
        """One message bears the account's failure, the others are as they were, nothing arrived; what ``show`` says."""
        probe, *others = sorted(self.rows().values(), key=lambda row: -row["retries"])
        assert (probe["status"], probe["retries"], probe["gave_up"]) == ("failed", 1, None)
        untouched = {(row["status"], row["retries"], row["last_error"], row["message_id"]) for row in others}
        assert untouched <= {("pending", 0, None, None)}
        assert probe["error_code"] == category
        for reason in reasons:
            assert reason in probe["last_error"]
        shown = self.run("show", str(probe["outbox_id"])).out
        assert probe["last_error"] in shown
        assert shown.count("  attempt ") == 1
        assert len(self.dovecot.received()) == len(on_the_way(self.dovecot)) == 0
        return shown

    def assert_nothing_told(self) -> None:
        """No secret, nor a good part of one, is in what was said or in what is kept where no secret belongs."""
        private = {*self.private, *self.state.rglob("tokens/*")}
        files = [path for path in self.home.rglob("*") if path.is_file() and path not in private]
        told = "\n".join([*self.said, *(path.read_bytes().decode("latin-1") for path in files)])
        for secret in self.secrets | set(self.dovecot.introspection.users):
            for form in forms_of(secret):
                assert [piece for piece in pieces_of(form) if piece in told] == []
        assert {path.stat().st_mode & 0o077 for path in private} == {0}


def forms_of(secret: str) -> list[str]:
    """*secret* itself, and what it looks like on its way to the server."""
    said = [
        secret,
        f"\0{USER}\0{secret}",
        f"user={USER}\1auth=Bearer {secret}\1\1",
        f"auth=Bearer {secret}",
        f"th=Bearer {secret}",
        f"h=Bearer {secret}",
    ]
    return [secret, *(base64.b64encode(text.encode()).decode().rstrip("=") for text in said)]


def pieces_of(text: str) -> list[str]:
    return [text[start : start + PIECE] for start in range(0, len(text) - PIECE + 1, PIECE)] or [text]


def on_the_way(dovecot: Dovecot) -> list[str]:
    """What Postfix has accepted and not yet delivered."""
    queue = dovecot.relay.tmpdir / "queue"
    return [path.name for name in ("incoming", "active", "deferred") for path in (queue / name).rglob("*")]


def logins(dovecot: Dovecot) -> Counter[str]:
    """The mechanisms by which USER has logged in so far, as Dovecot tells."""
    return Counter(re.findall(f"Login: user=<{USER}>, method=([A-Z0-9]+)", dovecot.log()))


def wait_until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Return once *condition* holds; AssertionError after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.02)


@pytest.fixture
def mail(tmp_path: Path, dovecot: Dovecot, certificates: Certificates) -> Iterator[Mail]:
    """The command in a home of its own; in the end no secret may be found outside of where it belongs."""
    mail = Mail(tmp_path, dovecot, certificates)
    mail.keep("password", PASSWORD)
    mail.keep("token", dovecot.token())
    yield mail
    mail.assert_nothing_told()


def fingerprint(certificates: Certificates) -> str:
    """SHA-256 of the certificate that Dovecot shows."""
    pem = certificates.server_file().read_text()
    [leaf, *_] = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.DOTALL)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()


@over_both
@pytest.mark.parametrize(
    ("dovecot", "mechanism"),
    [(MECHANISMS, "PLAIN"), (("LOGIN",), "LOGIN"), (MECHANISMS, "XOAUTH2"), (("OAUTHBEARER",), "OAUTHBEARER")],
    indirect=["dovecot"],
    ids=["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"],
)
def test_each_login_delivers_once_under_the_message_ids_of_the_outbox(mail: Mail, mechanism: str, tls: str) -> None:
    """Over several connections, each with a login of its own; Dovecot names the mechanism."""
    mail.log_in(WITH_TOKEN if mechanism in REASONS else WITH_PASSWORD, tls=tls)
    mail.enqueue(3)
    before = logins(mail.dovecot)
    assert mail.run("drain", "--connections", "3", "-v").status == 0
    mail.assert_delivered_once()
    wait_until(lambda: (logins(mail.dovecot) - before).total())
    assert set(logins(mail.dovecot) - before) == {mechanism}


@pytest.mark.parametrize("dovecot", [("LOGIN",)], indirect=True, ids=["LOGIN"])
def test_a_wrong_password_delivers_nothing_until_it_is_right(mail: Mail) -> None:
    """It is another user's, to be sure."""
    mail.log_in(WITH_PASSWORD)
    mail.keep("password", OTHER_PASSWORD)
    mail.enqueue(3)
    assert mail.run("drain").status == 75
    shown = mail.assert_probed("auth", REFUSED, "check smtp.user and where the password comes from (password_file)")
    assert (shown.count("C: AUTH LOGIN"), shown.count("C: ***")) == (1, 2)
    mail.keep("password", PASSWORD)
    assert mail.drain() == 0
    mail.assert_delivered_once()


def unfit_token(dovecot: Dovecot, why: str) -> str:
    """A token that Dovecot refuses to let USER in with."""
    if why == "forged":
        return dovecot.token(forged=True)
    if why == "expired":
        return dovecot.token(expires_at=time.time() - 5)
    if why == "another user's":
        return dovecot.token(OTHER_USER)
    token = dovecot.token(padding=1500 if "long" in why else 0)
    dovecot.revoke(token)
    return token


@pytest.mark.parametrize(
    ("dovecot", "mechanism", "why"),
    [
        *((MECHANISMS, "XOAUTH2", why) for why in ("forged", "expired", "revoked", "another user's")),
        (("OAUTHBEARER",), "OAUTHBEARER", "revoked, long"),
    ],
    indirect=["dovecot"],
    ids=["forged", "expired", "revoked", "another user's", "revoked-long-OAUTHBEARER"],
)
def test_an_unfit_token_delivers_nothing_until_there_is_a_good_one(mail: Mail, mechanism: str, why: str) -> None:
    """The outbox has the server's code, its words and the reason it gave before; one login was tried."""
    mail.log_in(WITH_TOKEN)
    token = mail.keep("token", unfit_token(mail.dovecot, why))
    mail.enqueue(3)
    drained = mail.run("drain")
    assert (drained.status, drained.out) == (75, "")
    assert drained.err.startswith("account work: login refused since ")
    reason = f"the server's reason: {REASONS[mechanism]}"
    shown = mail.assert_probed("auth", f"{REFUSED}; {reason}", "get a new one where oauth_token_file takes it from")
    assert shown.count(f"C: AUTH {mechanism} ***") == shown.count(f"-- {reason}") == 1
    assert f"\t{REFUSED}; {reason}" in mail.run("list").out
    assert mail.dovecot.introspection.asked == ([token] if "revoked" in why else [])

    mail.keep("token", mail.dovecot.token())
    assert mail.run("drain").status == 75  # the account rests: only a login can tell that its token was changed
    assert mail.run("account", "test", "work").status == 0
    assert mail.drain() == 0
    mail.assert_delivered_once()


@in_both
def test_a_long_token_logs_in(mail: Mail, mechanism: str) -> None:
    """In a line of its own: with AUTH it would make the command too long.  This is nearly all that Dovecot takes."""
    mail.log_in(WITH_TOKEN)
    token = mail.keep("token", mail.dovecot.token(padding=4200))
    assert 5500 < len(token) < 6100
    mail.enqueue(2)
    assert mail.run("drain").status == 0
    mail.assert_delivered_once()
    assert set(mail.dovecot.introspection.asked) == {token}


def test_a_token_that_is_too_long_for_the_server_is_refused_in_its_words(mail: Mail) -> None:
    mail.log_in(WITH_TOKEN)
    mail.keep("token", mail.dovecot.token(padding=5000))
    mail.enqueue(2)
    assert mail.run("drain").status == 75
    mail.assert_probed("auth", "login refused: 500 5.5.2 Line too long")


def test_a_token_command_is_asked_again_when_its_token_is_refused(mail: Mail) -> None:
    """It printed a revoked one first: a password manager, say, that keeps tokens for too long."""
    stale, fresh = mail.keep("token", mail.dovecot.token()), mail.dovecot.token()
    mail.dovecot.revoke(stale)
    script = f'cat token && printf "%s\\n" {fresh} >token.new && mv token.new token && chmod 600 token'
    mail.log_in(f"oauth_token_command = ['sh', '-c', '{script}']")
    mail.enqueue(3)
    assert mail.run("drain").status == 0
    mail.assert_delivered_once()
    assert mail.dovecot.introspection.asked[:2] == [stale, fresh]
    assert set(mail.dovecot.introspection.asked[1:]) == {fresh}


def test_the_token_of_the_environment_logs_in_until_it_expires(mail: Mail) -> None:
    """Past its stated time it is not tried any more, though the server would still take it."""
    mail.log_in("")
    mail.enqueue(2)
    token = {"PRX_EMAIL_SMTP_OAUTH_TOKEN": mail.dovecot.token()}
    past, ahead = str(int(time.time()) - 1), str(int(time.time()) + 600)
    assert mail.run("drain", PRX_EMAIL_SMTP_OAUTH_EXPIRES_AT=past, **token).status == 75
    mail.assert_probed("auth", "the OAuth token expired at")
    assert mail.dovecot.introspection.asked == []
    later = str(int(time.time()) + LATER)
    assert mail.run("drain", "--now-ts", later, PRX_EMAIL_SMTP_OAUTH_EXPIRES_AT=ahead, **token).status == 0
    mail.assert_delivered_once()


@over_both
def test_another_certificate_than_the_pinned_one_is_refused_before_the_login(mail: Mail, tls: str) -> None:
    """And the pinned one is accepted without its CA, in capitals and with colons as well."""
    found = fingerprint(mail.certificates)
    mail.log_in(WITH_TOKEN, tls=tls, trust=f'tls_fingerprint = "{found[1:]}{found[0]}"')
    mail.enqueue(2)
    assert mail.run("drain").status == 75
    reason = f"another certificate than the pinned one: SHA-256 {found}"
    assert "C: AUTH" not in mail.assert_probed("network", reason)
    assert mail.dovecot.introspection.asked == []

    with_colons = ":".join(re.findall("..", found.upper()))
    mail.log_in(WITH_TOKEN, tls=tls, trust=f'tls_fingerprint = "{with_colons}"')
    assert mail.drain() == 0
    mail.assert_delivered_once()


def test_a_message_beyond_the_size_limit_is_given_up_without_its_content(mail: Mail) -> None:
    """Dovecot 2.3.19 knows the relay's limit; after a MAIL with more it may end the session in a failed assertion."""
    mail.log_in(WITH_PASSWORD)
    body = mail.home / "large.txt"
    body.write_text("0123456789abcdef\n" * (SIZE_LIMIT // 16))
    large = int(mail.run("send", "--to", USER, "--subject", "large", "--body-file", str(body)).out)
    others = mail.enqueue(2)
    assert mail.run("drain", "--connections", "1").status == 69
    row = mail.show(large)
    assert row["gave_up"]
    assert "S: 354" not in row["attempts"][0]["dialogue"]
    assert [mail.rows()[other]["status"] for other in others] == ["sent", "sent"]
    wait_until(lambda: not on_the_way(mail.dovecot))
    assert len(mail.dovecot.received()) == 2
