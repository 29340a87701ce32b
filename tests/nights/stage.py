"""Where a night is played: an outbox, a mail server that is told how to misbehave, and an operator's terminal."""

from __future__ import annotations

import json
import shlex
import ssl
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from ..cli.outside import parsed
from ..cli.setup.field import log_in
from ..conftest import Answer, Program
from ..support.certs import CertificateKind, Certificates
from ..support.faults import Fault
from ..support.oauth_server import OAuthServer
from ..support.scripted import ScriptedServer
from ..support.small_disk import SmallDisk

NOW = 1_900_000_000  # when the nights begin; 2030-03-17 17:46:40 UTC
USER = 'user = "ops@example.com"'
MINUTE, HOUR, DAY = 60, 3600, 86_400
_TAKE_TIME = {"send", "drain", "retry", "hold", "release", "cancel", "resolve", "edit", "dismiss", "pause", "resume",
              "status", "show", "list"}  # fmt: skip


class Stage:
    """An outbox with the account ``work``.

    now: the time that each command is told, in Unix seconds.  heard: what commands said so far, as one text.
    password: the one that the server takes.  stack: what is to be undone at the end.
    """

    def __init__(self, program: Program, server: ScriptedServer, stack: ExitStack) -> None:
        self.program, self.server, self.stack = program, server, stack
        self.oauth: OAuthServer | None = None
        self.certificates: Certificates | None = None
        self.context: ssl.SSLContext | None = None
        self.disk: SmallDisk | None = None
        self.now = NOW
        self.heard = ""
        self.password = "right"

    def configure(self, *, smtp: str = "", auth: str = "keyring = true", outbox: str = "") -> None:
        """Write the config anew."""
        if self.context is not None and self.certificates is not None:
            smtp = f'tls = "implicit"\ntls_ca_file = "{self.certificates.ca_file}"\n{smtp}'
        self.program.configure(self.server.port, smtp=f"{USER}\n{smtp}", auth=auth, outbox=outbox)

    def show_certificate(self, kind: CertificateKind) -> None:
        """Let the server show this certificate from its next connection on."""
        assert self.certificates is not None
        assert self.context is not None
        self.context.load_cert_chain(self.certificates.server_file(kind))

    def log_in(self) -> Answer:
        """Log in by a browser, as ``account login`` asks for."""
        return log_in(self.program, "work")

    def takes(self, user: str, secret: str) -> bool:
        """Tell whether the server takes this login."""
        return secret == self.password

    def run(self, command: str, text: str = "") -> Answer:
        """Type a command line that begins with ``prx-email``; what it says is heard."""
        name, *words = shlex.split(command)
        assert name == "prx-email", command
        if words[:2] == ["account", "login"]:
            return self.log_in()
        if words and words[0] in _TAKE_TIME:
            words += ["--now-ts", str(self.now)]
        if "--cause" in words:
            words.append("--yes")  # a person is asked on a terminal
        answer = self.program.run(*words, text=text)
        self.heard += f" {' '.join(answer.out.split())} {' '.join(answer.err.split())}"
        return answer

    def send(self, *subjects: str, to: str = "a@example.org", options: str = "") -> None:
        """Enqueue a message for each of *subjects*."""
        for subject in subjects:
            answer = self.run(f"prx-email send --to {to} --subject {shlex.quote(subject)} --body text {options}")
            assert answer.status == 0, answer

    def send_batch(self, mails: Iterable[tuple[str, str]]) -> None:
        """Enqueue a message for each subject and recipient."""
        requests = ({"to": to, "subject": subject, "body_text": "text"} for subject, to in mails)
        answer = self.run("prx-email send --batch -", "\n".join(map(json.dumps, requests)))
        assert answer.status == 0, answer

    def drain(self, minutes: int = 0) -> Answer:
        """Drain as cron does, now and for some more *minutes*; the last answer."""
        answer = self.run("prx-email drain")
        for _ in range(minutes):
            self.now += MINUTE
            answer = self.run("prx-email drain")
        return answer

    def misbehave(self, *faults: Fault) -> None:
        """Let the server behave in this way from its next connection on."""
        self.server.misbehave(*faults)

    @property
    def arrived(self) -> Counter[tuple[str, str]]:
        """How often each message reached each recipient."""
        return Counter(
            (str(parsed(one.content)["Subject"]), recipient)
            for one in self.server.messages
            for recipient in one.recipients
        )

    @property
    def home(self) -> Path:
        """The home directory."""
        return self.program.home
