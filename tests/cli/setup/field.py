"""What the tests of logins share: a config, a login that is under way, and the browser of whoever logs in."""

import json
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

import requests
import tomli_w

from ...conftest import Answer, Program
from ...support.oauth_server import OAuthServer
from ...support.scripted import ScriptedServer

USER = "ops@example.com"
_PATIENCE = 60.0


def mail_for(oauth: OAuthServer) -> ScriptedServer:
    """A mail server that takes the tokens of *oauth* from whom they were issued to."""
    return ScriptedServer(auth=lambda user, token: oauth.valid(token) == user, auth_mechanisms=["XOAUTH2"])


def write_config(owner: Program, mail: ScriptedServer, auth: dict[str, Any], **smtp: Any) -> None:
    """A config with the one account ``work``."""
    server = {"host": "localhost", "port": mail.port, "tls": "none", "user": USER, "timeout_seconds": 5, **smtp}
    place = {"path": "outbox.db"} if owner.url is None else {"url": owner.url}
    document = {"outbox": place, "accounts": {"work": {"from": USER, "smtp": {**server, "auth": auth}}}}
    owner.config.write_text(tomli_w.dumps(document))
    owner.config.chmod(0o600)


def oauth_table(oauth: OAuthServer, **changes: Any) -> dict[str, Any]:
    """``[..smtp.auth]`` of the public client; None takes a key away."""
    table = {
        "client_id": oauth.public_client_id, "token_url": oauth.token_url, "authorize_url": oauth.authorize_url,
        "device_url": oauth.device_url, "revoke_url": oauth.revoke_url, **changes,
    }  # fmt: skip
    return {"oauth": {name: value for name, value in table.items() if value is not None}}


def confidential(oauth: OAuthServer, **changes: Any) -> dict[str, Any]:
    """``[..smtp.auth]`` of the client that has a secret."""
    return oauth_table(
        oauth, **{"client_id": oauth.confidential_client_id, "client_secret": oauth.client_secret, **changes}
    )


class Running:
    """``prx-email ARGUMENTS`` while it runs; use it in a `with` block, which ends it."""

    def __init__(self, owner: Program, *arguments: str) -> None:
        self._heard = threading.Condition()
        self._lines: list[str] = []
        self._out: list[str] = []
        self.process = owner.start(*arguments)
        self._threads = [
            threading.Thread(target=self._listen, args=(stream, lines))
            for stream, lines in ((self.process.stdout, self._out), (self.process.stderr, self._lines))
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            with self._heard:
                lines.append(line)
                self._heard.notify_all()
        with self._heard:
            self._heard.notify_all()

    def line(self, start: str) -> str:
        """The first line on stderr that starts with *start*, waited for.  AssertionError."""

        def found() -> str | None:
            return next((line for line in self._lines if line.startswith(start)), None)

        with self._heard:
            self._heard.wait_for(lambda: found() or self.process.poll() is not None, _PATIENCE)
            line = found()
        assert line is not None, (self._out, self._lines)
        return line.rstrip("\n")

    def end(self, seconds: float = _PATIENCE) -> Answer:
        """How it ended.  AssertionError when it has not after so many seconds."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running: {self._out} {self._lines}") from None
        for thread in self._threads:
            thread.join(_PATIENCE)
        return Answer(status, "".join(self._out), "".join(self._lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(_PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def get(url: str, **query: str) -> requests.Response:
    """What a browser gets that goes to *url* and wherever that leads."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, params=query, timeout=10)


class Address(NamedTuple):
    """The address that a person is to open."""

    url: str

    @property
    def query(self) -> dict[str, str]:
        """Its parameters."""
        return dict(parse_qsl(urlsplit(self.url).query))

    @property
    def port(self) -> int:
        """Where the program waits for the browser."""
        port = urlsplit(self.query["redirect_uri"]).port
        assert port is not None
        return port

    def back(self, **answer: str) -> requests.Response:
        """Come back with another answer than the authorization server's; it has the right state unless it says one."""
        return get(self.query["redirect_uri"], **{"state": self.query["state"], **answer})


def address_of(login: Running) -> Address:
    """The address that *login* shows."""
    return Address(login.line("  http").strip())


def log_in(owner: Program, *options: str) -> Answer:
    """Log in by a browser that follows wherever it is led."""
    with Running(owner, "account", "login", "--no-browser", *options) as login:
        assert get(address_of(login).url).status_code == 200
        return login.end()


def token_files(owner: Program) -> list[Path]:
    """Where tokens are kept."""
    return sorted((owner.home / ".local/state/prx-email/tokens").glob("*.json"))


def kept_tokens(owner: Program) -> Any:
    """What is kept, by the one login there is."""
    (file,) = token_files(owner)
    return json.loads(file.read_text())


def secrets_of(oauth: OAuthServer) -> set[str]:
    """All that the server gave and was given in confidence."""
    told = {"code", "code_verifier", "device_code", "refresh_token", "client_secret"}
    given = {value for asked in oauth.requests for name, value in asked.form.items() if name in told}
    return {*given, *oauth.issued, *oauth.refresh_tokens, oauth.client_secret}


def assert_secret(oauth: OAuthServer, *texts: str) -> None:
    """Nothing that is secret stands in any of *texts*."""
    found = [(secret, text) for text in texts for secret in secrets_of(oauth) if secret in text]
    assert found == []


def assert_one_object(answer: Answer) -> None:
    """stdout is the one object of ``--json``."""
    assert answer.out.count("\n") == 1, answer
    assert set(answer.json) == {"ok", "data", "error"}


def steps(answer: Answer) -> list[list[str]]:
    """Result and name of each step of the account's test, as told to a person."""
    return [line.split()[:2] for line in answer.out.splitlines()[1:]]
