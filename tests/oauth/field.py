"""What the tests of OAuth share: accounts, tokens that a server gave, mail servers that ask it, what may be told."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import pytest
import tomli_w

from prx_email_cli.config.secrets import secret_in
from prx_email_cli.config.settings import Account, check_settings
from prx_email_cli.oauth.server import Tokens
from prx_email_cli.oauth.tokens import AccessTokens, TokenCache
from prx_email_cli.outbox.messages import Addressee, Content, NewMessage, Schedule
from prx_email_cli.outbox.views import Filter, Row
from prx_email_cli.smtp.credentials import TokenLogin, login_of
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.session import SessionFactory

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.oauth_server import OAuthServer
from ..support.scripted import ScriptedServer

USER = "ops@example.com"
HOUR = 3600
REFRESH = "rt-0123456789abcdefghijklmnopqrstuvwxyz"
SECRET = "cs with spaces/and+signs&0123456789="
Auth = Mapping[str, Any]


class Given(NamedTuple):
    """Tokens that an authorization server knows."""

    access: str
    refresh: str


def given_by(oauth: OAuthServer, *, confidential: bool = False, scope: str = "mail.send") -> Given:
    """Tokens of a new grant, as a login would bring them."""
    client = oauth.clients[oauth.confidential_client_id if confidential else oauth.public_client_id]
    answer = oauth.issue(client, scope, refreshable=True)
    return Given(str(answer["access_token"]), str(answer["refresh_token"]))


def renewed_by(oauth: OAuthServer, refresh_token: str | None = None, **changes: Any) -> dict[str, Any]:
    """``[..smtp.auth]`` of an account whose tokens *oauth* renews."""
    table = {"client_id": oauth.public_client_id, "token_url": oauth.token_url, "refresh_token": refresh_token}
    return {"oauth": {key: value for key, value in {**table, **changes}.items() if value is not None}}


def account_with(auth: Auth, port: int = 9, *, user: str = USER, **smtp: Any) -> Account:
    """An account of that login, whose server listens on *port* of localhost."""
    document = {"accounts": {"work": _account(auth, port, user=user, **smtp)}}
    return check_settings(document, Path("/nowhere/config.toml")).accounts["work"]


def _account(auth: Auth, port: int, **smtp: Any) -> dict[str, Any]:
    table = {"host": "localhost", "port": port, "tls": "none", "timeout_seconds": 5, **smtp, "auth": dict(auth)}
    return {"from": "ops@example.com", "smtp": {key: value for key, value in table.items() if value is not None}}


def configure(program: Program, port: int, auth: Auth, **more: Any) -> Account:
    """Write a config with this one account, ``work``.  more: tables and keys of the file, smtp: of the account."""
    smtp = {"user": USER, **more.pop("smtp", {})}
    return configure_accounts(program, {"work": _account(auth, port, **smtp)}, **more)["work"]


def configure_accounts(program: Program, accounts: Mapping[str, Any], **more: Any) -> dict[str, Account]:
    """Write a config with these accounts."""
    place = {"path": "outbox.db"} if program.url is None else {"url": program.url}
    document = {**more, "outbox": place, "accounts": dict(accounts)}
    program.config.write_text(tomli_w.dumps(document))
    program.config.chmod(0o600)
    return check_settings(document, program.config).accounts


def account_table(auth: Auth, port: int, *, user: str = USER) -> dict[str, Any]:
    """``[accounts.X]`` for ``configure_accounts``."""
    return _account(auth, port, user=user)


def mail_server_of(oauth: OAuthServer, *mechanisms: str, **options: Any) -> ScriptedServer:
    """A mail server that lets in whom *oauth* lets in now."""
    return ScriptedServer(
        auth=lambda user, token: oauth.valid(token) == user, auth_mechanisms=mechanisms or ["XOAUTH2"], **options
    )


def refusing_every_token(*challenges: str, mechanism: str = "XOAUTH2", faults: Iterable[Fault] = ()) -> ScriptedServer:
    """A mail server that answers every token with these 334s, by default with a proper one, and 535."""
    return ScriptedServer(faults, auth=lambda *_: False, auth_mechanisms=[mechanism], challenges=challenges or None)


def sessions_of(account: Account) -> SessionFactory:
    """What opens sessions for *account*."""
    return SessionFactory(account, login_of(account))


def tokens_of(account: Account, now: float | None = None) -> AccessTokens:
    """The tokens of *account*, at the time *now*."""
    return AccessTokens(account, time.time if now is None else lambda: now)


def cache_of(account: Account) -> TokenCache:
    """Where the tokens of *account* are kept."""
    oauth = account.smtp.auth.oauth
    assert oauth is not None
    return TokenCache(account, secret_in(oauth, "refresh_token", "test"))


def keep(account: Account, access: str, *, ends_in: float | None = HOUR, refresh: str | None = None) -> Path:
    """Put tokens into the cache, as a run before would have; the file."""
    cache = cache_of(account)
    expires_at = None if ends_in is None else int(time.time() + ends_in)
    with cache.renewing() as renewal:
        renewal.write(Tokens(access, expires_at, refresh))
    return cache.file


def kept(account: Account) -> Tokens | None:
    """What the cache has now."""
    return cache_of(account).read()


def leftovers(home: Path) -> list[Path]:
    """Files beside the tokens that only a write under way may have."""
    ours = (".json", ".lock", ".runs", "")  # of tokens, and of a database's flight records
    return [file for file in (home / ".local/state/prx-email").rglob("*") if file.suffix not in ours]


def account_asking(oauth: OAuthServer, **changes: Any) -> Account:
    """An account whose tokens *oauth* is asked for with REFRESH and SECRET, neither of which it knows."""
    table = {"client_id": oauth.confidential_client_id, "client_secret": SECRET, **changes}
    return account_with(renewed_by(oauth, REFRESH, **table))


def failed_renewal(account: Account) -> SessionFailed:
    """How a login with an expired token ends; what was kept stays, and nothing else is left behind."""
    file = keep(account, "at-that-has-ended-0123456789", ends_in=0)
    before = file.read_bytes()
    with pytest.raises(SessionFailed) as failed:
        TokenLogin(account).secret()
    assert file.read_bytes() == before
    assert sorted(other.suffix for other in file.parent.iterdir()) == [".json", ".lock"]
    f"{failed.value.message}{failed.value.hint}".encode()  # it is to be stored
    check_kept_secret(failed.value.message + failed.value.hint, REFRESH, SECRET, "at-that-has-ended-0123456789")
    assert failed.value.step == "login"
    return failed.value


def attempts(server: ScriptedServer) -> list[str]:
    """What followed AUTH in each attempt to log in, its mechanism included."""
    return [line.partition(" ")[2] for _, line, _ in server.commands if line.upper().startswith("AUTH ")]


def xoauth2(token: str, user: str = USER) -> str:
    """developers.google.com/workspace/gmail/imap/xoauth2-protocol"""
    return _base64(f"user={user}\x01auth=Bearer {token}\x01\x01")


def challenge(said: object) -> str:
    """The text of a 334: *said* as JSON, a str or bytes as it is."""
    raw = said if isinstance(said, bytes) else said.encode() if isinstance(said, str) else json.dumps(said).encode()
    return base64.b64encode(raw).decode()


def forms_of(secret: str) -> Iterable[str]:
    """Whatever *secret* can be read from: itself, escaped, percent-encoded, and in base64 wherever it starts."""
    yield from {secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe=""), quote_plus(secret)}
    raw = secret.encode()
    for before in range(3):  # base64 has groups of three octets: those at the edges depend on what stands beside
        whole = raw[(3 - before) % 3 :]
        yield base64.b64encode(whole[: len(whole) // 3 * 3]).decode()


def check_kept_secret(text: str, *secrets: str) -> None:
    """None of *secrets* can be read from *text*, in whatever form; not even the half of one."""
    for secret in secrets:
        half = len(secret) // 2
        for part in (secret[:half], secret[half:]):
            for form in forms_of(part):
                assert form not in text, f"{form!r} of {secret!r}"


def everything_stored(program: Program) -> str:
    """What lies in the program's home but for the config and the tokens, as one text."""
    stays = {program.config, *(program.home / ".local/state/prx-email/tokens").glob("*.json")}
    files = [file for file in program.home.rglob("*") if file.is_file() and file not in stays]
    return "\n".join(file.read_bytes().decode("utf-8", "surrogateescape") for file in files)


def check_one_probe(program: Program, category: str, *words: str) -> None:
    """Of all messages the first was deferred once, with *category* and *words*; no other was touched."""
    first, *others = _rows(program)
    assert (first.status, first.retries, first.error_code) == ("failed", 1, category), first
    assert [attempt.outcome for attempt in first.attempts] == ["deferred"]
    for word in words:
        assert word in (first.last_error or ""), first.last_error
    assert others
    for row in others:
        assert (row.status, row.retries, row.last_error, row.attempts) == ("pending", 0, None, []), row


def check_untouched(program: Program) -> None:
    """No message was attempted."""
    rows = _rows(program)
    assert rows
    for row in rows:
        assert (row.status, row.retries, row.last_error, row.attempts) == ("pending", 0, None, []), row


def _rows(program: Program) -> list[Row]:
    """Every message, the oldest first."""
    store = program.store()
    try:
        return [store.row(row.outbox_id) for row in reversed(store.rows(Filter()))]
    finally:
        store.close()


def enqueue(program: Program, count: int = 3, account: str = "work") -> None:
    """*count* messages that are due now."""
    now = int(time.time())
    content = b"From: ops@example.com\r\nTo: a@example.org\r\nSubject: hello\r\n\r\ntext\r\n"
    to = [Addressee("a@example.org")]
    message = NewMessage(account, "ops@example.com", to, "hello", Content.of(content), Schedule.at_once(now))
    store = program.store()
    store.submit([message] * count)
    store.close()


def told(answer: Answer) -> str:
    """All that a command said."""
    return answer.out + answer.err


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
