"""One open, logged-in connection: yagmail opens it and logs in, ``handover`` speaks over it."""

import smtplib
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import Any

import yagmail

from prx_email_cli.config.secrets import redact
from prx_email_cli.config.settings import Account
from prx_email_cli.delivery.outcome import AUTH, NETWORK, PROVIDER, Reply, judge
from prx_email_cli.delivery.tls import explain, verifying_context
from prx_email_cli.delivery.wire import BadReply, ConnectionLost, ImplicitTlsWire, Transcript, Wire
from prx_email_cli.outbox.lifecycle import Outcome, Scope

QUIT_TIMEOUT_SECONDS = 5


class SessionFailed(Exception):
    """No session could be had: an account failure.  category: network, auth or provider."""

    def __init__(self, category: str, message: str, hint: str, *, code: int | None = None, dialogue: str = "") -> None:
        super().__init__(message)
        self.category, self.message, self.hint = category, message, hint
        self.code, self.dialogue = code, dialogue

    def outcome(self) -> Outcome:
        """The outcome of the one attempt that probed the account."""
        return Outcome(
            {},
            error=self.category,
            detail=f"{self.message} ({self.hint})" if self.hint else self.message,
            code=self.code,
            scope=Scope.ACCOUNT,
            dialogue=self.dialogue,
        )


class Session:
    """An open, logged-in connection to an account's server."""

    def __init__(self, wire: Wire, account: Account) -> None:
        self.wire = wire
        self.account = account
        self.alive = True
        self.worn = False  # still polite, but to be renewed before the next message
        self.served = 0  # messages attempted
        self.number = 1  # within the run

    def usable(self) -> bool:
        """Whether another message may be claimed for it: nothing is claimed for a connection that has ended."""
        most = self.account.smtp.messages_per_connection
        return self.alive and not self.worn and (most is None or self.served < most) and self.wire.quiet()

    def offers(self, extension: str) -> bool:
        """Whether the server's EHLO named this extension."""
        return bool(self.wire.has_extn(extension))

    @property
    def data_timeout(self) -> float:
        """Seconds to wait for the reply to the final dot."""
        return self.account.smtp.data_timeout_seconds

    @property
    def size_limit(self) -> int | None:
        """Largest message in octets that the server announced (RFC 1870), None when it named none."""
        announced = str(self.wire.esmtp_features.get("size", "")).strip()
        return int(announced) if announced.isascii() and announced.isdigit() and int(announced) > 0 else None

    def facts(self) -> dict[str, Any]:
        """What was agreed: TLS version and cipher, and the extensions the server offers."""
        sock = self.wire.sock
        tls = sock if isinstance(sock, ssl.SSLSocket) else None
        cipher = tls.cipher() if tls else None
        return {
            "tls": tls.version() if tls else None,
            "cipher": cipher[0] if cipher else None,
            "extensions": sorted(self.wire.esmtp_features),
        }

    def abandon(self) -> None:
        """Close without a word: the dialogue is in a state from which nothing good can come."""
        self.alive = False
        self.wire.close()

    def close(self) -> None:
        """Say QUIT and close.  What happens here changes nothing that was recorded, so no error gets out."""
        if self.alive:
            self.alive = False
            self.wire.reply_timeout = min(QUIT_TIMEOUT_SECONDS, self.wire.reply_timeout)
            with suppress(OSError, ValueError):
                self.wire.quit()
        self.wire.close()


class SessionFactory:
    """Opens sessions for one account; certificates and secrets are read once."""

    def __init__(self, account: Account, password: str | None) -> None:
        self._account = account
        self._password = password
        self._context = None if account.smtp.tls == "none" else verifying_context(account)

    def open(self) -> Session:
        """A new open, logged-in session.  Raises SessionFailed."""
        transcript = Transcript()
        client = _client(self._account, self._password, self._context, transcript)
        try:
            client.login()
            client.smtp.ehlo_or_helo_if_needed()
        except (OSError, ValueError, UnicodeError) as error:
            _drop(client)
            raise _failure(error, self._account, redact(transcript.take())) from None
        wire, client.is_closed = client.smtp, True  # the session closes it, not yagmail's finaliser
        transcript.take()
        return Session(wire, self._account)


class _Client(yagmail.SMTP):  # type: ignore[misc]
    """yagmail's client on our hardened connection.  Only its opening and login are used; never its ``send``."""

    wire_class: Any

    @property
    def connection(self) -> Any:
        return self.wire_class


def _client(account: Account, password: str | None, context: ssl.SSLContext | None, transcript: Transcript) -> _Client:
    smtp = account.smtp
    options: dict[str, Any] = {"local_hostname": smtp.helo_name or _helo_name()}
    if smtp.tls == "implicit":
        options["context"] = context
    client = _Client(
        user={smtp.user or "": smtp.user or ""},  # as a str without @ it would become somebody at gmail.com
        password=password,
        host=account.host,
        port=account.port,
        smtp_ssl=smtp.tls == "implicit",
        smtp_starttls={"context": context} if smtp.tls == "starttls" else False,
        smtp_skip_login=password is None,
        soft_email_validation=False,
        **options,
    )
    wire_class = ImplicitTlsWire if smtp.tls == "implicit" else Wire
    client.wire_class = partial(wire_class, reply_timeout=smtp.timeout_seconds, transcript=transcript)
    client.is_closed = True
    return client


def _helo_name() -> str:
    """This machine's full name, or an address literal (RFC 5321 section 4.1.4); asks no name server, which may hang."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


def _drop(client: _Client) -> None:
    client.is_closed = True
    if client.smtp is not None:
        client.smtp.close()


def _failure(error: Exception, account: Account, dialogue: str) -> SessionFailed:
    """The account failure that *error* amounts to, with its cause and its fix."""
    where = f"{account.host}:{account.port}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return _not_offered(error, account, dialogue)
    if isinstance(error, smtplib.SMTPResponseException):
        return _refused(error, account, dialogue)
    if isinstance(error, ssl.SSLError):
        cause, hint = explain(error, account)
        return SessionFailed(NETWORK, f"{where}: {cause}", hint, dialogue=dialogue)
    if isinstance(error, BadReply):
        return SessionFailed(
            PROVIDER, f"{where}: {error}", "is this an SMTP server? check host and port", dialogue=dialogue
        )
    if isinstance(error, socket.gaierror):
        return SessionFailed(
            NETWORK,
            f"cannot find {account.host}: {error.strerror}",
            "check smtp.host and this machine's DNS",
            dialogue=dialogue,
        )
    cause = (
        "no connection in time (timeout)"
        if isinstance(error, TimeoutError)
        else str(getattr(error, "strerror", None) or error)
    )
    hint = "check the network, smtp.host and smtp.port"
    if isinstance(error, ConnectionLost) and account.smtp.tls != "implicit":
        hint = 'check smtp.port; one that speaks TLS from the first byte, as 465 does, wants tls = "implicit"'
    return SessionFailed(
        NETWORK,
        f"cannot connect to {where}: {cause}" if not isinstance(error, ConnectionLost) else f"{where}: {cause}",
        hint,
        dialogue=dialogue,
    )


def _not_offered(error: smtplib.SMTPNotSupportedError, account: Account, dialogue: str) -> SessionFailed:
    where = f"{account.host}:{account.port}"
    if "STARTTLS" in str(error):
        return SessionFailed(
            NETWORK,
            f"{where} does not offer STARTTLS; nothing was sent in clear",
            'check the port; port 465 wants tls = "implicit"',
            dialogue=dialogue,
        )
    offered = str(error)
    return SessionFailed(
        AUTH,
        f"{where} offers no login that a password fits" + (f" ({offered})" if offered else ""),
        "check the port, or remove smtp.auth if this server needs no login",
        dialogue=dialogue,
    )


def _refused(error: smtplib.SMTPResponseException, account: Account, dialogue: str) -> SessionFailed:
    raw = error.smtp_error
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    reply = Reply(error.smtp_code, redact(text))
    if isinstance(error, smtplib.SMTPAuthenticationError):
        category = AUTH if reply.code >= 500 or reply.code == 334 else PROVIDER
        return SessionFailed(
            category, f"login refused: {reply}", _login_hint(reply, account), code=reply.code, dialogue=dialogue
        )
    category = judge(reply, Scope.MESSAGE).category
    return SessionFailed(
        category,
        f"{account.host} refused the session: {reply}",
        "wait, or ask the provider what it means",
        code=reply.code,
        dialogue=dialogue,
    )


def _login_hint(reply: Reply, account: Account) -> str:
    if reply.enhanced in ("5.7.30", "5.7.139"):
        return "the provider no longer takes passwords: use XOAUTH2"
    if reply.enhanced == "5.7.9" or account.provider in ("gmail", "yahoo", "fastmail"):
        return "this provider wants an app password, made in your account's security settings"
    if 400 <= reply.code <= 499:
        return "the server has a passing trouble or throttles logins: the next run tries again"
    return f"check smtp.user and where the password comes from ({', '.join(account.smtp.auth.kinds)})"
