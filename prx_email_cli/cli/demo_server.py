"""The demo's mail server: aiosmtpd on loopback, with TLS, a login, and one recipient that it defers once."""

import asyncio
import logging
import ssl
import warnings
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, cast

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

USER, PASSWORD = "demo@prx-email.example", "correct horse battery staple"
DEFERRED_ONCE = "grey@prx-email.example"


@dataclass(frozen=True)
class Arrived:
    """A message that the server accepted."""

    message_id: str
    subject: str
    recipients: list[str]
    in_reply_to: str | None
    attachments: list[str]
    size_bytes: int


@dataclass
class DemoServer:
    """An SMTP server that runs in a with block; arrived: the messages that it accepted."""

    directory: Path
    arrived: list[Arrived] = field(default_factory=list)
    _deferred: set[str] = field(default_factory=set)

    def __enter__(self) -> "DemoServer":
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        self.ca_file = self.directory / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        self._controller = _Controller(
            self, hostname="127.0.0.1", port=0, server_hostname="mail.prx-email.example", ssl_context=context,
            authenticator=_check_login, auth_required=True, auth_require_tls=False,
        )  # fmt: skip
        self._controller.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        """Give the TCP port that the kernel chose."""
        return self._controller.port

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """Answer RCPT, as aiosmtpd's hook; defer DEFERRED_ONCE the first time."""
        if address == DEFERRED_ONCE and address not in self._deferred:
            self._deferred.add(address)
            return "450 4.2.0 greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Accept the whole message, as aiosmtpd's hook, and keep what the demo shows of it."""
        parsed = message_from_bytes(envelope.content, policy=policy.default)
        files = [part.get_filename() or "" for part in parsed.iter_attachments()] if parsed.is_multipart() else []
        self.arrived.append(
            Arrived(
                message_id=str(parsed["Message-ID"]),
                subject=str(parsed["Subject"]),
                recipients=list(envelope.rcpt_tos),
                in_reply_to=parsed["In-Reply-To"],
                attachments=files,
                size_bytes=len(envelope.content),
            )
        )
        return f"250 2.0.0 queued as demo-{len(self.arrived)}"


class _Controller(Controller):
    """Runs aiosmtpd on a port that the kernel chooses, under TLS from the first byte."""

    def factory(self) -> SMTP:
        with warnings.catch_warnings():  # it warns of a login without STARTTLS, not knowing of the TLS below
            warnings.simplefilter("ignore")
            return SMTP(self.handler, **self.SMTP_kwargs)

    def _trigger_server(self) -> None:
        self.port = cast(asyncio.Server, self.server).sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


def _check_login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right)
