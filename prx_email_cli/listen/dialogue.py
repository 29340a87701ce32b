"""Hold one SMTP dialogue, on aiosmtpd: strict about lines, so that every reader sees the same message.

aiosmtpd keeps the connection: reading commands, STARTTLS, timeouts, the end.  What the commands of a mail transaction
mean is decided here.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiosmtpd.smtp import SMTP

from prx_email_cli.errors import ConfigError, PrxEmailError
from prx_email_cli.listen.clients import Client
from prx_email_cli.listen.commands import Mail, Recipient, Refused, mail, recipient
from prx_email_cli.listen.desk import MOST_HELD_BYTES, Desk, Letter
from prx_email_cli.listen.logging_in import LoggingIn
from prx_email_cli.listen.reader import AheadOfTime, BadLine, Content, StrictReader
from prx_email_cli.listen.received import Passage, protocol_of, received
from prx_email_cli.outbox.messages import Caller

IDENT = "ESMTP prx-email"
MOST_OF_A_COMMAND = 2048  # RFC 5321 section 4.5.3.1.4 asks for 512, and extensions for more
MOST_BAD_LINES, MOST_IDLE_COMMANDS = 3, 100
LAST_WORD_SECONDS = 5.0  # until a client that was told to go must have read it
_GREETING = re.compile(r"[!-~]{1,255}")
_CLOSING = "421 4.3.2 closing: this server ends; try again later"
_HTTP = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH")  # from a browser led astray


class Dialogue(LoggingIn, SMTP):
    """One connection of a *client*, who hands messages in at the *desk*."""

    line_length_limit = 64 * 1024  # of the reader's buffer

    def __init__(self, desk: Desk, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        around, listen = desk.around, desk.settings.listen
        super().__init__(
            None, data_size_limit=None, enable_SMTPUTF8=True, hostname=around.host_name, ident=IDENT, loop=loop,
            timeout=listen.idle_seconds, tls_context=None if client.encrypted else around.tls,
        )  # fmt: skip
        self.desk, self.client = desk, client
        self._lines = StrictReader(limit=self.line_length_limit, loop=loop)
        asyncio.StreamReaderProtocol.__init__(self, self._lines, self._cb_client_connected, loop)
        self.command_size_limit = MOST_OF_A_COMMAND
        self.command_size_limits = defaultdict(lambda: MOST_OF_A_COMMAND)
        self._mail: Mail | None = None
        self._recipients: list[Recipient] = []
        self._bad_lines = self._idle_commands = 0
        self._ending = self._receiving = False
        self._heard_at = loop.time()
        self.on_end: Callable[[Dialogue], None] = lambda dialogue: None

    # What is left of a connection's life.

    def data_received(self, data: bytes) -> None:
        """Note that the client speaks, be it in the middle of a message."""
        self._heard_at = self.loop.time()
        super().data_received(data)

    def eof_received(self) -> bool | None:
        """Read what came before the end, which may hold whole messages."""
        asyncio.StreamReaderProtocol.eof_received(self)
        return self.session is None or (self.session.ssl is None and not self.client.encrypted)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget all of a message that is not whole."""
        if self.session is not None:  # else TLS was to come first
            super().connection_lost(error)
        self.on_end(self)

    def cut(self) -> None:
        """End at once."""
        self._leave(_CLOSING)

    def end(self) -> None:
        """End as soon as no message is under way: between messages that is now."""
        self._ending = True
        if self._mail is None and not self._receiving:
            self._leave(_CLOSING)

    def _leave(self, reply: str) -> None:
        transport: Any = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(reply.encode() + b"\r\n")
            transport.close()

    def _timeout_cb(self) -> None:
        transport: Any = self.transport
        idle = self.loop.time() - self._heard_at
        if self._receiving and idle >= self._timeout_duration and self._waits_for_clerk:
            idle = 0.0
        if idle < self._timeout_duration:
            self._timeout_handle = self.loop.call_later(self._timeout_duration - idle, self._timeout_cb)
        elif transport.is_closing():  # to a client that does not read what it is told
            transport.abort()
        else:
            self._leave("421 4.4.2 closing: nothing was heard for too long")
            self._timeout_handle = self.loop.call_later(LAST_WORD_SECONDS, self._timeout_cb)

    _waits_for_clerk = False

    async def handle_exception(self, error: Exception) -> str:
        """Answer a line that cannot be taken, or a bug, of which the client learns nothing."""
        if isinstance(error, AheadOfTime):
            self._leave("503 5.5.0 closing: wait for the answer to this command before you go on")
            return ""
        if not isinstance(error, BadLine):
            self.desk.say(f"this is a bug in prx-email: {type(error).__name__} in a dialogue")
            self._reset()
            return "451 4.3.0 something went wrong here; try again later"
        self._bad_lines += 1
        if self._bad_lines >= MOST_BAD_LINES:
            self._leave(f"500 5.5.2 closing: {error}")
            return ""
        return f"500 5.5.2 {error}"

    async def push(self, status: Any) -> None:
        """Send a reply, unless the connection is being closed."""
        transport: Any = self.transport
        if status and transport is not None and not transport.is_closing():
            await super().push(status)

    # Commands.

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        """Greet, and say what is offered."""
        if await self._greet(hostname, "EHLO", extended=True):
            offers = ["PIPELINING", f"SIZE {self.desk.most_bytes}", "8BITMIME", "SMTPUTF8", "DSN"]
            if self.tls_context and not self._tls_protocol:
                offers.append("STARTTLS")
            if self.may_log_in:
                offers.append("AUTH PLAIN LOGIN")
            lines = [self.hostname, *offers]
            await self.push("\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        """Greet."""
        if await self._greet(hostname, "HELO", extended=False):
            await self.push(f"250 {self.hostname}")

    async def _greet(self, name: str | None, verb: str, *, extended: bool) -> bool:
        session: Any = self.session
        self._reset()
        if self._is_idling():
            return False
        if not name or not _GREETING.fullmatch(name):
            await self.push(f"501 5.5.4 syntax: {verb} hostname")
            return False
        session.extended_smtp, session.host_name = extended, name
        return True

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Begin a message."""
        if not await self._may_speak_of_mail():
            return
        if self._mail is not None:
            await self.push("503 5.5.1 a message is under way: RSET first")
            return
        try:
            wanted = mail(arg, extended=self._is_extended, most_bytes=self.desk.most_bytes)
        except Refused as error:
            await self.push(str(error))
            return
        if not self.desk.limits.take(self.client.name, self.loop.time()):
            await self.push("450 4.7.0 too many messages in a minute; try again later")
            return
        self._mail, self._recipients, self._idle_commands = wanted, [], 0
        await self.push("250 2.1.0 Ok")

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        """Add a recipient."""
        if not await self._may_speak_of_mail():
            return
        if self._mail is None:
            await self.push("503 5.5.1 MAIL first")
            return
        if len(self._recipients) >= self.desk.settings.outbox.max_recipients:
            await self.push("452 4.5.3 too many recipients in one message")
            return
        try:
            wanted = recipient(arg, extended=self._is_extended, utf8=self._mail.utf8)
        except Refused as error:
            await self.push(str(error))
            return
        try:
            self._recipients += wanted.expanded(self.desk.around.qualify)
            await self.push("250 2.1.5 Ok")
        except ConfigError as error:
            self.desk.say(error.message)
            await self.push("451 4.3.5 the recipient's alias cannot be followed; try again later")
        except PrxEmailError:
            await self.push("553 5.1.3 the recipient has no domain: write user@example.com")

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """Read the message, and answer once it is durable."""
        self._lines.refuse_what_is_ahead()
        if not await self._may_speak_of_mail():
            return
        if arg:
            await self.push("501 5.5.4 syntax: DATA")
            return
        if self._mail is None or not self._recipients:
            await self.push("503 5.5.1 MAIL first" if self._mail is None else "554 5.5.1 no valid recipients")
            return
        self._receiving = True
        content = Content(self.desk.most_bytes)
        try:
            self._lines.begin_content()
            await self.push("354 end with a line that holds nothing but a dot")
            await self._read(content)
            reply = content.refusal or await self._hand_in(content)
        finally:
            self.desk.held_bytes -= content.counted
            self._receiving = False
        self._reset()
        await self.push(reply)
        if self._ending:
            self._leave(_CLOSING)

    async def _read(self, content: Content) -> None:
        """Read up to the final dot; keep nothing of what is too much."""
        while not content.complete:
            held = content.counted
            await self._lines.read_content(content)
            self.desk.held_bytes += content.counted - held
            if self.desk.held_bytes > MOST_HELD_BYTES:
                content.drop("452 4.3.1 too much is being received at once; try again later")
            if content.endless:
                self._leave(content.refusal)
                raise asyncio.CancelledError

    async def _hand_in(self, content: Content) -> str:
        session: Any = self.session
        client, wanted = self.client, self._mail or Mail("")
        encrypted = bool(self._tls_protocol) or client.encrypted
        protocol = protocol_of(
            extended=self._is_extended, utf8=wanted.utf8, tls=encrypted, login=bool(session.authenticated)
        )
        host: Caller = client.caller
        passage = Passage(session.host_name, client.address, f"uid {host.uid}", self.desk.around.host_name, protocol)
        header = received(passage, self.desk.now())
        self._waits_for_clerk = True
        try:
            return await self.desk.accept(Letter(content.take(), wanted, self._recipients, client, header))
        finally:
            self._waits_for_clerk = False

    async def smtp_RSET(self, arg: str | None) -> None:  # noqa: N802
        """Forget the message under way."""
        self._reset()
        await self._answer_idly("250 2.0.0 Ok" if not arg else "501 5.5.4 syntax: RSET")

    async def smtp_NOOP(self, arg: str | None) -> None:  # noqa: N802
        """Do nothing."""
        await self._answer_idly("250 2.0.0 Ok")

    async def smtp_VRFY(self, arg: str | None) -> None:  # noqa: N802
        """Tell nothing of an address."""
        await self._answer_idly("252 2.5.0 cannot tell; send the message and see")

    async def smtp_HELP(self, arg: str | None) -> None:  # noqa: N802
        """Name the commands."""
        await self._answer_idly("214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY STARTTLS AUTH QUIT")

    async def smtp_STARTTLS(self, arg: str | None) -> None:  # noqa: N802
        """Begin TLS; what was sent ahead in clear is not taken for said under it."""
        self._lines.refuse_what_is_ahead()
        self._reset()
        await super().smtp_STARTTLS(arg or "")

    async def _no_browser(self, arg: str | None) -> None:
        self._leave("500 5.5.1 closing: this is a mail server")

    async def _answer_idly(self, reply: str) -> None:
        """Answer a command that leads nowhere, so often and no more."""
        if not self._is_idling():
            await self.push(reply)

    def _is_idling(self) -> bool:
        """Count a command that leads nowhere; end the dialogue, and tell so, after too many."""
        self._idle_commands += 1
        if self._idle_commands > MOST_IDLE_COMMANDS:
            self._leave("421 4.7.0 closing: too many commands without a message")
        return self._idle_commands > MOST_IDLE_COMMANDS

    async def _may_speak_of_mail(self) -> bool:
        session: Any = self.session
        if self._ending and self._mail is None:
            self._leave(_CLOSING)
            return False
        if not session.host_name:
            await self.push("503 5.5.1 EHLO first")
            return False
        if not self.client.trusted and not session.authenticated:
            await self.push("530 5.7.0 log in first")
            return False
        return True

    @property
    def _is_extended(self) -> bool:
        session: Any = self.session
        return bool(session.extended_smtp)

    def _reset(self) -> None:
        self._mail, self._recipients = None, []


for _verb in _HTTP:
    setattr(Dialogue, f"smtp_{_verb}", Dialogue._no_browser)
