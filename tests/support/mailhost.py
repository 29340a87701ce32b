"""A provider as one hopes for: aiosmtpd with TLS and login, for the tests in which nothing is wrong."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from .record import Received, Record, has_bare_newlines

_LOOPBACK = "127.0.0.1"


class MailHost(Record):
    """Collects every message in `messages`; use it in a `with` block.

    tls: with *context*; "starttls" is then required.  users: {user: password}, and then MAIL needs a login.
    delay: seconds before the reply to the final dot, for tests that need deliveries to overlap.
    Of the record only messages, connections, open_connections and peak_connections are kept.
    """

    def __init__(
        self,
        *,
        tls: Literal["implicit", "starttls"] | None = None,
        context: ssl.SSLContext | None = None,
        users: Mapping[str, str] | None = None,
        pipelining: bool = True,
        delay: float = 0.0,
    ) -> None:
        if (tls is None) != (context is None):
            raise ValueError("tls and context go together")
        super().__init__()
        self.users = users
        self.over_tls = tls is not None
        self.pipelining = pipelining
        self.delay = delay
        self._controller = _Controller(
            self,
            ssl_context=context if tls == "implicit" else None,
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            auth_require_tls=tls == "starttls",  # aiosmtpd takes implicit TLS for a clear connection
            auth_exclude_mechanism=() if users else ("LOGIN", "PLAIN"),
            authenticator=self._authenticate,
        )

    @property
    def host(self) -> str:
        return _LOOPBACK

    @property
    def port(self) -> int:
        return self._controller.port

    def start(self) -> Self:
        self._controller.start()
        return self

    def stop(self) -> None:
        """End every connection and join the thread.  Safe to call twice."""
        if self._controller.running:
            self._controller.end_connections()  # aiosmtpd would leave their sockets to the garbage collector
            self.wait_for(lambda: self.open_connections == 0)
            self._controller.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, presented: object
    ) -> AuthResult:
        if not isinstance(presented, LoginPassword) or self.users is None:
            return AuthResult(success=False, handled=False)
        user, password = presented.login.decode(), presented.password.decode()
        return AuthResult(success=self.users.get(user) == password, handled=False, auth_data=user)


class _Hooks:
    """What aiosmtpd calls on the way; runs in the event loop's thread."""

    def __init__(self, host: MailHost) -> None:
        self._host = host

    async def handle_EHLO(  # noqa: N802  (aiosmtpd finds its hooks by name)
        self, server: _Smtp, session: Session, _envelope: Envelope, hostname: str, lines: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [lines[0], *(["250-PIPELINING"] if self._host.pipelining else []), *lines[1:]]

    async def handle_MAIL(  # noqa: N802
        self, server: _Smtp, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._host.users is not None and not session.authenticated:
            return "530 5.7.0 authentication required"  # aiosmtpd's own check warns under implicit TLS
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender ok"

    async def handle_RCPT(  # noqa: N802
        self, _server: _Smtp, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(self, server: _Smtp, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self._host.delay)
        content = envelope.original_content or b""
        self._host.note_message(
            Received(
                mail_from=envelope.mail_from or "",
                recipients=list(envelope.rcpt_tos),
                content=content,
                acknowledged=True,
                connection=server.number,
                mail_params=list(envelope.mail_options),
                bare_newlines=has_bare_newlines(content),
                over_tls=self._host.over_tls,
                user=session.auth_data if session.authenticated else None,
            )
        )
        return f"250 2.0.0 queued as {len(self._host.messages)}"


class _Smtp(SMTP):
    """Counts connections.  STARTTLS brings `connection_made` a second time, and it does not count."""

    number = 0

    def __init__(self, host: MailHost, **keywords: Any) -> None:
        super().__init__(_Hooks(host), **keywords)
        self._host = host
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.number = self.number or self._host.note_connection()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._host.note_disconnection()
        super().connection_lost(error)


class _Controller(Controller):
    """On a port that the kernel chooses, which aiosmtpd itself does not support."""

    def __init__(self, host: MailHost, **keywords: Any) -> None:
        self._host = host
        self._protocols: list[_Smtp] = []
        self._listener = socket.create_server((_LOOPBACK, 0), backlog=256)
        port = self._listener.getsockname()[1]
        super().__init__(None, hostname=_LOOPBACK, port=port, server_hostname="mailhost.test", **keywords)

    @property
    def running(self) -> bool:
        return self._thread is not None

    def factory(self) -> SMTP:
        protocol = _Smtp(self._host, loop=self.loop, **self.SMTP_kwargs)
        self._protocols.append(protocol)
        return protocol

    def end_connections(self) -> None:
        """Ask the event loop to accept no more and to drop every client."""
        self.loop.call_soon_threadsafe(self._end_connections)

    def _end_connections(self) -> None:
        if self.server is not None:
            self.server.close()
        for protocol in self._protocols:
            if isinstance(protocol.transport, asyncio.WriteTransport):
                protocol.transport.abort()

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listener, ssl=self.ssl_context, backlog=256)

    def _trigger_server(self) -> None:
        """Try the factory without a connection: the record must show only those that the test made."""
        self._factory_invoker()
