"""Serve SMTP on listening sockets until told to stop; what was accepted by then is finished."""

import asyncio
import logging
import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.files import is_open
from prx_email_cli.listen.clients import Client, client_at
from prx_email_cli.listen.desk import Desk
from prx_email_cli.listen.dialogue import Dialogue
from prx_email_cli.listen.endpoints import Endpoint
from prx_email_cli.notify_socket import notify

LOOK_SECONDS = 0.2
GRACE_SECONDS = 20.0  # for messages that are being received when the server ends
_HANDSHAKE_SECONDS = 30.0

Look = Callable[[], Awaitable[None]]


class Server:
    """Serves *endpoints*; each connection hands its messages in at the *desk*."""

    def __init__(self, desk: Desk, endpoints: Sequence[Endpoint]) -> None:
        self._desk, self._endpoints = desk, endpoints
        self._open: dict[Dialogue, Client] = {}
        self._handshakes: dict[asyncio.Task[None], Any] = {}  # and the connections they are on

    def run(self, stop: threading.Event, ready: Callable[[], None], look: Look) -> None:
        """Serve until *stop* is set.  ready: called once clients are served.  look: awaited several times a second."""
        logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)  # aiosmtpd's, which names what clients say
        with asyncio.Runner() as runner:
            runner.run(self._serve(stop, ready, look))

    async def _serve(self, stop: threading.Event, ready: Callable[[], None], look: Look) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._note_fault)
        self._desk.use(loop)
        with self._desk.clerk:
            servers = [await self._listen(loop, one) for one in self._endpoints]
            ready()
            while not stop.is_set():
                await look()
                await asyncio.sleep(LOOK_SECONDS)
            notify("STOPPING=1")
            for server in servers:
                server.close()
            await self._wind_down()

    async def _listen(self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint) -> asyncio.Server:
        encrypts = self._desk.settings.listen.tls == "implicit" and not endpoint.local
        encrypts = encrypts and self._desk.around.tls is not None
        is_unix = endpoint.socket.family == socket.AF_UNIX
        serving: Any = loop.create_unix_server if is_unix else loop.create_server
        server: asyncio.Server = await serving(lambda: _Gate(self, endpoint, encrypts=encrypts), sock=endpoint.socket)
        return server

    def encrypt(self, dialogue: Dialogue, transport: Any) -> None:
        """Begin TLS on a new connection, then the *dialogue*."""
        task = asyncio.get_running_loop().create_task(self._encrypt(dialogue, transport))
        self._handshakes[task] = transport
        task.add_done_callback(self._handshakes.pop)

    async def _encrypt(self, dialogue: Dialogue, transport: Any) -> None:
        context: Any = self._desk.around.tls  # no reload takes it away
        seconds = min(_HANDSHAKE_SECONDS, self._desk.settings.listen.idle_seconds)
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, dialogue, context, server_side=True, ssl_handshake_timeout=seconds
            )
        except OSError:  # also TLS's own
            encrypted = None
        if encrypted is None:
            transport.abort()
            self._forget(dialogue)
        else:
            dialogue.connection_made(encrypted)

    async def _wind_down(self) -> None:
        """Tell idle clients to come again, and let the others finish what they send."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GRACE_SECONDS
        for transport in self._handshakes.values():
            transport.abort()
        while self._open and loop.time() < deadline:
            for dialogue in list(self._open):
                dialogue.end()
            await asyncio.sleep(0.02)
        for dialogue in list(self._open):
            dialogue.cut()

    def admit(self, transport: Any, endpoint: Endpoint, *, encrypts: bool) -> "Dialogue | str":
        """Return a dialogue for a new connection, or the reply that refuses it.  encrypts: it begins with TLS."""
        desk = self._desk
        client = client_at(transport.get_extra_info("socket"), desk.around.networks, local=endpoint.local)
        client = client._replace(encrypted=encrypts)
        if not client.trusted and not desk.around.logins:
            return "554 5.7.1 clients at your address may not send mail here"
        refusal = desk.limits.connect(client.name)
        if refusal:
            return f"421 4.7.0 {refusal}; try again later"
        dialogue = Dialogue(desk, client, asyncio.get_running_loop())
        self._open[dialogue] = client
        dialogue.on_end = self._forget
        return dialogue

    def _forget(self, dialogue: Dialogue) -> None:
        client = self._open.pop(dialogue, None)
        if client is not None:
            self._desk.limits.disconnect(client.name)

    def _note_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Say a fault of the event loop in one line; that a client hung up is none."""
        error = context.get("exception")
        if error is not None and not isinstance(error, OSError | asyncio.CancelledError | ssl.SSLError):
            self._desk.say(f"this is a bug in prx-email: {type(error).__name__} in a connection")
        elif isinstance(error, OSError) and "accept" in str(context.get("message")):
            self._desk.say(f"no connection can be accepted: {error.strerror}")


class _Gate(asyncio.Protocol):
    """Begins a dialogue on a new connection, or refuses it."""

    def __init__(self, server: Server, endpoint: Endpoint, *, encrypts: bool) -> None:
        self._server, self._endpoint, self._encrypts = server, endpoint, encrypts

    def connection_made(self, transport: Any) -> None:
        """Let the dialogue have the connection from now on."""
        admitted = self._server.admit(transport, self._endpoint, encrypts=self._encrypts)
        if isinstance(admitted, str):
            if not self._encrypts:  # or it would be no TLS
                transport.write(admitted.encode() + b"\r\n")
            transport.close()
        elif self._encrypts:
            self._server.encrypt(admitted, transport)
        else:
            transport.set_protocol(admitted)
            admitted.connection_made(transport)


def tls_context(cert_file: str, key_file: str | None) -> ssl.SSLContext:
    """Load a certificate to serve with.  Raises ConfigError, ReadableByOthers."""
    key = Path(key_file or cert_file)
    with suppress(OSError):
        if is_open(key, os.stat(key)):
            raise ReadableByOthers(f"{key} holds a private key and is open to others", hint=f"chmod 600 {key}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_passphrase)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"listen.tls_cert_file: {cert_file} cannot be used: {getattr(error, 'reason', None) or error}",
            hint="name a PEM file with the certificate, and its unencrypted key there or in tls_key_file",
        ) from None
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted")
