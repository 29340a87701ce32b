"""Open an SMTP connection that withstands slow, endless and hostile servers.

A reply is bounded in lines, bytes and seconds, and the transcript holds no secrets.  What arrived before a command is
not taken for its reply, nor what arrived in clear for a reply under TLS.
"""

import base64
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from prx_email_cli.config.domains import address_literal
from prx_email_cli.redaction import remember_encoded
from prx_email_cli.smtp.channel import RECEIVE_BYTES, Channel, lost
from prx_email_cli.smtp.errors import BadReply, ConnectionLost, OpeningStep, Refused, Unasked
from prx_email_cli.smtp.replies import CHALLENGE, Reply
from prx_email_cli.smtp.reply_buffer import ReplyBuffer, cleaned
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.transcript import Transcript

MAX_COMMAND_OCTETS = 512  # RFC 5321 section 4.5.3.1.4, CRLF included; for AUTH too: RFC 4954 section 4


class Wire(smtplib.SMTP):
    """An SMTP connection in clear, or under STARTTLS once that is done."""

    reply_timeout: float
    transcript: Transcript
    profile: ServerProfile
    server: tuple[str, int]
    last_reply = Reply(0, "")  # the latest that smtplib read, without secrets
    clock: Callable[[], float] = staticmethod(time.monotonic)
    _mask = False
    _greeting = False

    def __init__(
        self, *args: Any, reply_timeout: float, transcript: Transcript, profile: ServerProfile, **kwargs: Any
    ) -> None:
        self._replies = ReplyBuffer()
        self.reply_timeout = reply_timeout
        self.transcript = transcript
        self.profile = profile
        kwargs["timeout"] = reply_timeout
        try:
            super().__init__(*args, **kwargs)
            if not self.local_hostname:
                self.local_hostname = self._own_address()
        except BaseException:
            self.close()  # smtplib leaves the socket open when the greeting does not come
            raise

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        """Connect, read the greeting; return its code and text.  Raises Refused, OSError."""
        self.server = (host, port)
        self.transcript.event(f"connecting to {host}:{port}")
        answer = super().connect(host, port, source_address)
        if answer[0] != 220:
            raise Refused(self.last_reply, OpeningStep.GREETING)
        self.profile.greeting = self.last_reply.text
        return answer

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Return the connected socket; it does not hold small writes back (TCP_NODELAY)."""
        connected: socket.socket = smtplib.SMTP._get_socket(self, host, port, timeout)  # type: ignore[attr-defined]
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):  # the server has hung up already, and the next step reports that
            self.profile.connected(connected.getpeername())
        return connected

    def _own_address(self) -> str:
        """Return this end as an address literal, to greet with: RFC 5321 section 4.1.4."""
        try:
            return address_literal(self.sock.getsockname()[0])  # type: ignore[union-attr]
        except (OSError, ValueError, AttributeError):  # not connected, or not by IP
            return "[127.0.0.1]"

    def ehlo(self, name: str = "") -> tuple[int, bytes]:
        """Say EHLO, else HELO; return code and text.  Raises Refused, ConnectionLost."""
        self._greeting = True
        try:
            answer = super().ehlo(name)
            if 500 <= answer[0] <= 599:
                answer = self.helo(name)
        finally:
            self._greeting = False
        if answer[0] != 250:
            raise Refused(self.last_reply, OpeningStep.GREETING)
        self.profile.extensions = dict(self.esmtp_features)
        return answer

    def getreply(self) -> tuple[int, bytes]:
        """Read the next reply for smtplib; return code and text.  Raises ConnectionLost."""
        raw = self._read_raw(self.reply_timeout)
        reply = Reply(raw.code, cleaned(raw.text, strict=self._mask))
        # A challenge may repeat the token in a form that masking does not know; ``sasl`` reports the reason in it.
        challenged = self._mask and raw.code == CHALLENGE
        self.last_reply = Reply(raw.code, "***") if challenged and raw.text else reply
        self.transcript.server(self.last_reply)
        if challenged or self._greeting:  # smtplib needs these two unmasked; they are not shown
            reply = raw
        return reply.code, reply.text.encode("utf-8", "surrogateescape")

    def _read_raw(self, timeout: float) -> Reply:
        """Read the next reply, complete within *timeout* seconds, its text as it came."""
        deadline = self.clock() + timeout
        while (reply := self._replies.take(secret=self._mask)) is None:
            self._replies.feed(self._receive(deadline))
        return reply

    def _receive(self, deadline: float) -> bytes:
        sock = self._open_socket()
        left = deadline - self.clock()
        try:
            if left <= 0:
                raise TimeoutError
            self._limit(left)
            data = sock.recv(RECEIVE_BYTES)
        except OSError as error:
            raise _lost(error, "no complete answer in time (timeout)") from None
        if not data:
            raise ConnectionLost("the server closed the connection")
        return data

    def heard(self) -> bool:
        """Tell whether unread data has arrived; never waits.  Raises ConnectionLost."""
        if self._replies:
            return True
        sock = self._open_socket()
        patience = sock.gettimeout()
        sock.settimeout(0)
        try:
            return Channel(sock, self._replies).heard()
        finally:
            sock.settimeout(patience)

    def _open_socket(self) -> socket.socket:
        if self.sock is None:
            raise ConnectionLost("not connected")
        return self.sock

    def channel(self) -> Channel:
        """Return the open connection as a channel; afterwards only ``close`` works here.

        Raises ConnectionLost if it is not open.
        """
        sock = self._open_socket()
        sock.settimeout(0)
        return Channel(sock, self._replies)

    def _limit(self, seconds: float) -> None:
        """Set the socket's timeout, unless the change is not worth a system call."""
        if self.sock is not None and abs((self.sock.gettimeout() or 0) - seconds) > min(1, seconds / 10):
            self.sock.settimeout(seconds)

    def write(self, data: bytes) -> None:
        """Send all of *data*, one command.  Raises Unasked, ConnectionLost."""
        if self.heard():
            raise Unasked(self._replies.unread)
        try:
            self._limit(self.reply_timeout)
            self._open_socket().sendall(data)
        except OSError as error:
            raise _lost(error, "the server does not read what we send (timeout)") from None

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Send a command for smtplib; the transcript masks what follows AUTH.

        Raises Refused for a 421 that has come unasked, Unasked, ConnectionLost, and ValueError for a line break.
        """
        line = f"{cmd} {args}".rstrip()
        if "\r" in line or "\n" in line:
            raise ValueError("a command with a line break in it")
        secret = self._mask or cmd.upper() == "AUTH"
        self.transcript.client(
            f"{' '.join(line.split()[:2])} ***" if cmd.upper() == "AUTH" else "***" if secret else line
        )
        try:
            self.write(line.encode("utf-8") + b"\r\n")
        except Unasked as unasked:
            if unasked.closing is None:
                raise
            raise Refused(unasked.closing, OpeningStep.GREETING) from None

    def starttls(self, **kwargs: Any) -> tuple[int, bytes]:  # type: ignore[override]
        """Agree on TLS with STARTTLS (RFC 3207); return the reply's code and text.

        Raises Refused, smtplib.SMTPNotSupportedError, ssl.SSLError, and BadReply when data came in clear that would be
        read under TLS (as in CVE-2011-0411).
        """
        try:
            answer = super().starttls(**kwargs)
        except smtplib.SMTPResponseException:
            raise Refused(self.last_reply, OpeningStep.TLS) from None
        if self._replies:
            raise BadReply("the server sent data in clear that would have been read under TLS")
        self.note_tls()
        return answer

    def note_tls(self) -> None:
        """Record the agreed TLS in the profile and the transcript."""
        if isinstance(self.sock, ssl.SSLSocket):
            self.profile.secured(self.sock)
            pinned = self.profile.certificate is not None and self.profile.certificate.expires_at is None
            how = "the pinned certificate" if pinned else "certificate verified"
            self.transcript.event(f"{self.profile.tls}, {self.profile.cipher or '?'}, {how}")

    def login(self, user: str, password: str, *, initial_response_ok: bool = True) -> tuple[int, bytes]:
        """Log in with AUTH PLAIN (RFC 4616), else LOGIN; return the reply's code and text.

        There is one try, because servers count failed ones.  Raises Refused, smtplib.SMTPNotSupportedError.
        """
        self.ehlo_or_helo_if_needed()
        offered = self.esmtp_features.get("auth", "").upper().split()
        if not {"PLAIN", "LOGIN"}.intersection(offered):
            raise smtplib.SMTPNotSupportedError(f"offered: {' '.join(offered)}" if offered else "")
        with self.logging_in():
            reply = self._auth_plain(user, password) if "PLAIN" in offered else self._auth_login(user, password)
        if reply[0] not in (235, 503):  # 503: already authenticated
            raise Refused(self.last_reply, OpeningStep.LOGIN)
        self.profile.login = "PLAIN" if "PLAIN" in offered else "LOGIN"
        return reply

    @contextmanager
    def logging_in(self) -> Iterator[None]:
        """Mask what is said in the block, also in a BadReply, which gets ``in_login``."""
        self._mask = True
        try:
            yield
        except BadReply as bad:
            bad.in_login = True
            raise
        finally:
            self._mask = False

    def _auth_plain(self, user: str, password: str) -> tuple[int, bytes]:
        response = _base64(f"{chr(0)}{user}{chr(0)}{password}")
        if len(f"AUTH PLAIN {response}\r\n") <= MAX_COMMAND_OCTETS:
            return self.docmd("AUTH", f"PLAIN {response}")
        reply = self.docmd("AUTH", "PLAIN")
        return self.docmd(response) if reply[0] == CHALLENGE else reply

    def _auth_login(self, user: str, password: str) -> tuple[int, bytes]:
        reply = self.docmd("AUTH", "LOGIN")
        for answer in (user, password):
            if reply[0] == CHALLENGE:
                reply = self.docmd(_base64(answer))
        return reply

    def close(self) -> None:
        """Close the connection without QUIT; also after errors."""
        self._replies.clear()
        super().close()


class ImplicitTlsWire(Wire, smtplib.SMTP_SSL):
    """An SMTP connection under TLS from its first byte (RFC 8314 section 3.3)."""

    context: ssl.SSLContext

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connected = super()._get_socket(host, port, timeout)
        try:
            self.sock = secured = self.context.wrap_socket(connected, server_hostname=host)
        except BaseException:
            connected.close()  # wrap_socket leaves it open if the peer has reset it before the handshake
            raise
        self.note_tls()
        return secured


def _lost(error: OSError, patience_ended: str) -> ConnectionLost:
    return ConnectionLost(patience_ended, timed_out=True) if isinstance(error, TimeoutError) else lost(error)


def _base64(text: str) -> str:
    return remember_encoded(base64.b64encode(text.encode()).decode())
