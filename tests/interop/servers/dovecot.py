"""Dovecot's submission service: it logs users in, by password or by token, and relays to another real server."""

import json
import os
import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import ECKey

from ...support.certs import CertificateKind, Certificates
from .base import DOMAIN, Certs, MailServer, Received

USER = f"alice@{DOMAIN}"
"""May log in, with a password or with a token."""
PASSWORD = "correct horse"
OTHER_USER = f"bob@{DOMAIN}"
OTHER_PASSWORD = "battery staple"

MECHANISMS = ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")
"""What is offered unless a test wants less."""

CONFIG = """\
protocols = submission
hostname = {hostname}
listen = 127.0.0.2
log_path = /srv/log/dovecot
auth_verbose = yes
ssl = required
ssl_cert = </srv/tls/cert.pem
ssl_key = </srv/tls/key.pem
disable_plaintext_auth = yes
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
mail_location = maildir:~/mail
mail_max_userip_connections = 0
submission_relay_host = {relay.host}
submission_relay_port = {relay.port}
service submission-login {{
  inet_listener submission {{
    port = {port}
  }}
  inet_listener submissions {{
    port = {tls_port}
    ssl = yes
  }}
}}
# No penalty: by default each failed login of an address makes the next one wait for longer.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN /srv/users
  mechanisms = plain login
}}
# A token must pass both, in this order.
passdb {{
  driver = oauth2
  args = /srv/oauth2-local.conf
  mechanisms = xoauth2 oauthbearer
  result_success = continue
  result_failure = return-fail
}}
passdb {{
  driver = oauth2
  args = /srv/oauth2-introspection.conf
  mechanisms = xoauth2 oauthbearer
}}
userdb {{
  driver = static
  args = uid=mailsink gid=mailsink home=/srv/home
}}
"""

LOCAL = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix=/srv/keys/
username_attribute = sub
"""

INTROSPECTION = """\
introspection_mode = post
introspection_url = {url}
username_attribute = sub
active_attribute = active
active_value = true
"""

RUN = """\
#!/bin/sh
# When one of the forwarders ends (its port is taken), Dovecot ends with it.
set -eu
for port in {port} {tls_port}; do
    listen=TCP4-LISTEN:$port,bind=127.0.0.1,reuseaddr,backlog=128,fork,nodelay
    {{ socat "$listen" "TCP4:127.0.0.2:$port,nodelay" || :; kill $$; }} &
done
exec /usr/sbin/dovecot -F -c /srv/dovecot.conf
"""


class Introspection:
    """What an identity provider tells of its tokens (RFC 7662), on a port of its own for as long as the block."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        """Each token that is active, with its user."""
        self.asked: list[str] = []
        """The tokens that Dovecot has asked about, oldest first."""
        self.fails = False
        """Whether every request ends with 503."""
        self.url = ""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_IntrospectionHandler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/introspect"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, token: str) -> dict[str, object]:
        """Tell nothing of an inactive token but that it is one, as the standard asks."""
        self.asked.append(token)
        user = self.users.get(token)
        return {"active": False} if user is None else {"active": True, "sub": user}


class _IntrospectionHandler(BaseHTTPRequestHandler):
    def __init__(self, introspection: Introspection, *arguments: Any) -> None:
        self.introspection = introspection
        super().__init__(*arguments)  # which handles the request

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        answer = json.dumps(self.introspection.answer(form["token"][0])).encode()
        self.send_response(503 if self.introspection.fails else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing: `Introspection.asked` tells it."""


class Dovecot(MailServer):
    """Dovecot as Debian builds it, in front of a server that is running already and must outlive it.

    A message goes to the relay while the client waits, so the relay's verdicts on recipients and content are
    the client's. `received()`, `wait_for()`, `reset()` and greylisting are the relay's as well.

    Logins. USER and OTHER_USER have passwords, for PLAIN and LOGIN. For XOAUTH2 and OAUTHBEARER Dovecot wants
    a JWT from `token()` whose `sub` is the user who logs in. It checks the token twice: by itself, with the
    public key it was given (signature, `exp`, user), and then, if that went well, by asking the identity
    provider, for which `introspection` stands in, whether the token is still active. It does so at every
    login, so `revoke()` works at once, also for a token that has been used. Taking the key away would not do:
    Dovecot keeps the keys it has seen. With `introspection.fails` nobody can log in by token for a while.

    Nobody can log in without TLS, and no mechanism is announced before STARTTLS. Dovecot would make an
    exception of a client at its own address, taking it for secure. Thus it listens on 127.0.0.2, and socat
    passes connections from 127.0.0.1 on, bytes unchanged.
    """

    name: ClassVar[str] = "dovecot"
    supports_smtputf8: ClassVar[bool] = False
    users: ClassVar[tuple[str, ...]] = ("dovecot", "dovenull", "mailsink")

    def __init__(
        self,
        tmpdir: Path,
        certificates: Certificates,
        relay: MailServer,
        *,
        mechanisms: Sequence[str] = MECHANISMS,
        certificate: CertificateKind = "valid",
    ) -> None:
        """Take what is announced with AUTH, and which certificate is shown."""
        server_file = certificates.server_file(certificate)
        super().__init__(tmpdir, Certs(certificates.ca_file, server_file, server_file))
        self.relay = relay
        self.mechanisms = tuple(mechanisms)
        self.introspection = Introspection()
        self._key = ECKey.generate_key("P-256")

    def __enter__(self) -> Self:
        """Start the server, and before it the identity provider that it will ask."""
        with ExitStack() as stack:
            stack.enter_context(self.introspection)
            super().__enter__()
            self._beside = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both, whatever happened."""
        with self._beside:
            super().__exit__(kind, error, trace)

    def token(
        self, user: str = USER, *, expires_at: float | None = None, forged: bool = False, padding: int = 0
    ) -> str:
        """Return a new signed JWT, good for an hour by default; a forged one is signed with somebody else's key.

        With padding it is longer than that many characters: those of large providers have two thousand.
        """
        now = int(time.time())
        expires = now + 3600 if expires_at is None else int(expires_at)
        claims = {"sub": user, "iat": min(now, expires) - 60, "exp": expires, "jti": secrets.token_hex(8)}
        claims["roles"] = "r" * padding
        key = ECKey.generate_key("P-256") if forged else self._key
        made = jwt.encode({"alg": "ES256"}, claims, key)
        self.introspection.users[made] = user
        return made

    def revoke(self, token: str) -> None:
        """Have the identity provider call a token inactive from now on."""
        del self.introspection.users[token]

    def configure(self) -> None:
        """Write the configuration, the passwords, and the key that tokens are checked with."""
        mechanisms = " ".join(self.mechanisms).lower()
        ports = {"port": self.port, "tls_port": self.tls_port}
        config = CONFIG.format(hostname=self.hostname, relay=self.relay, mechanisms=mechanisms, **ports)
        self.write("dovecot.conf", config)
        self.write("users", f"{USER}:{PASSWORD}\n{OTHER_USER}:{OTHER_PASSWORD}\n")
        self.write("oauth2-local.conf", LOCAL)
        self.write("oauth2-introspection.conf", INTROSPECTION.format(url=self.introspection.url))
        # Named after the token's `azp`, `alg` and `kid`: it has neither the first nor the last.
        self.write("keys/default/ES256/default", self._key.as_pem(private=False).decode())
        self.script("run", RUN.format(**ports))
        home = self.tmpdir / "home"
        home.mkdir(mode=0o700)
        os.chown(home, self.ids["mailsink"], self.ids["mailsink"])

    def command(self) -> list[str]:
        """Run it in the foreground, with the forwarders beside it."""
        return ["/srv/bin/run"]

    def received(self) -> list[Received]:
        """Return what the relay has delivered so far."""
        return self.relay.received()

    def lift_greylisting(self) -> None:
        """Have the relay accept GREYLISTED."""
        self.relay.lift_greylisting()

    def restore_greylisting(self) -> None:
        """Have the relay defer GREYLISTED again."""
        self.relay.restore_greylisting()

    def log(self) -> str:
        """Return what both have logged."""
        return f"{super().log()}\n{self.relay.log()}"

    def reset(self) -> None:
        """Make both as new: nothing received, greylisting on, no token active, the identity provider up."""
        self.relay.reset()
        self.introspection.users.clear()
        self.introspection.asked.clear()
        self.introspection.fails = False
