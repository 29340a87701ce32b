"""Open a session through yagmail, and carry out transactions in it."""

import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

from prx_email_cli.config.domains import is_full_domain
from prx_email_cli.config.providers import TlsMode
from prx_email_cli.config.settings import Account
from prx_email_cli.redaction import redact
from prx_email_cli.smtp.connection import ImplicitTlsWire, Wire
from prx_email_cli.smtp.credentials import Login
from prx_email_cli.smtp.envelope import Result
from prx_email_cli.smtp.errors import ConnectionLost, Unasked
from prx_email_cli.smtp.failure import SessionFailed, failure
from prx_email_cli.smtp.pipeline import Farewell, Following, Pipeline, Waiting
from prx_email_cli.smtp.sasl import log_in_with_token
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.steps import After, Patience
from prx_email_cli.smtp.tls import verifying_context
from prx_email_cli.smtp.transaction import Transaction
from prx_email_cli.smtp.transcript import Transcript
from prx_email_cli.smtp.yagmail_client import SMTP

QUIT_TIMEOUT_SECONDS = 5


class Ended(NamedTuple):
    """A transaction is over."""

    transaction: Transaction
    result: Result


class Closed(NamedTuple):
    """The session is closed, after QUIT."""


class Session:
    """An open, logged-in connection to an account's server.

    One thread may drive many: it waits for all at once, and lets each go on whose wait is over.
    """

    def __init__(self, wire: Wire, account: Account) -> None:
        self.wire = wire
        self.account = account
        self._channel = wire.channel()
        self._pipeline = Pipeline(self._channel)
        self.alive = True
        self.worn = False  # open, but to be renewed before the next message
        self.served = 0  # transactions that were begun
        self.afterthought: str | None = None  # what the server said unasked, after its last reply

    def usable(self) -> bool:
        """Tell whether another message may be claimed for this connection."""
        most = self.account.smtp.messages_per_connection
        return self.alive and not self.worn and (most is None or self.served < most) and (self.busy or self._quiet())

    def _quiet(self) -> bool:
        """Tell whether the server has neither closed the connection nor spoken unasked."""
        try:
            if not self._channel.heard():
                return True
        except ConnectionLost:
            return False
        self._note(self._channel.unasked())
        return False

    def _note(self, said: ConnectionLost | None) -> None:
        if isinstance(said, Unasked) and said.closing is None:
            self.afterthought = redact(str(said))

    @property
    def patience(self) -> Patience:
        """Return how long to wait for replies."""
        smtp = self.account.smtp
        return Patience(smtp.timeout_seconds, smtp.data_timeout_seconds)

    @property
    def profile(self) -> ServerProfile:
        """Return the server's profile."""
        return self.wire.profile

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 once the session is closed."""
        return self._channel.fileno()

    @property
    def busy(self) -> bool:
        """Tell whether something is under way: ``go_on`` must be called."""
        return self._pipeline.part is not None

    def start(self, transaction: Transaction, following: Following | None = None) -> None:
        """Begin to carry out *transaction*; ``go_on`` does it.

        following: asked for another transaction, None if there is none, when the content of this or of one that it gave
        is about to end; must not raise.  ``go_on`` carries out what it gives after the one before; its envelope leaves
        with that content if it fits in one write.  Asked only if the server offers PIPELINING, the content has at most
        1 MiB, and the connection may carry one more message.
        """

        def follow() -> Transaction | None:
            smtp = self.account.smtp
            most = smtp.messages_per_connection
            if not smtp.join_envelopes or self.profile.breaks_on_joined_envelopes:
                return None
            return following() if following and (most is None or self.served + 2 <= most) else None

        self._pipeline.start(transaction, follow)

    def go_on(self, now: float) -> Waiting | Ended | Closed:
        """Do all that can be done now; return what is waited for, or what has ended.

        now: seconds, by a clock that never goes back.  Call again when what is waited for has come, or at its time
        ``until``; after Ended if the session is ``busy``, because another transaction follows.  The session is not
        ``alive`` after a transaction whose dialogue was broken, and one that follows it is left alone.  Raises only
        what reading the content raises; ``abandon`` the session then.
        """
        part = self._pipeline.part
        done = self._pipeline.go_on(now)
        if isinstance(done, Waiting):
            return done
        if isinstance(part, Farewell):
            self._note(part.said)
            self.wire.close()
            return Closed()
        if done.after is After.ENDED:
            self.alive = False
            self.wire.close()
        self.worn = self.worn or done.after is After.WORN
        self.served += not done.result.left_alone
        return Ended(cast("Transaction", part), done.result)

    def carry_out(self, transaction: Transaction) -> Result:
        """Carry out *transaction* and return its result; waits as long as it takes."""
        self.start(transaction)
        while not isinstance(event := self.go_on(self.wire.clock()), Ended):
            self.wait(event)
        return event.result

    def wait(self, event: Waiting | Ended | Closed) -> None:
        """Wait until ``go_on`` can go on after *event*, for a thread that has only this session."""
        if isinstance(event, Waiting):
            self._channel.wait(read=event.read, write=event.write, seconds=event.until - self.wire.clock())

    def abandon(self) -> None:
        """Close without QUIT, because what is under way cannot go on; ``go_on`` gives one that followed it, if any."""
        self._pipeline.give_up()
        self.alive = False
        self.wire.close()

    def say_goodbye(self) -> None:
        """Begin to say QUIT; ``go_on`` returns Closed at the end.

        It takes QUIT_TIMEOUT_SECONDS at most for each of command and reply.
        """
        self.alive = False
        self._pipeline.start(Farewell(min(QUIT_TIMEOUT_SECONDS, self.wire.reply_timeout)))

    def close(self) -> None:
        """Say QUIT and close; errors are ignored, because no result depends on it."""
        if self.alive:
            with suppress(OSError, ValueError, RuntimeError):
                self.say_goodbye()
                while not isinstance(event := self.go_on(self.wire.clock()), Closed):
                    self.wait(event)
        self.alive = False
        self.wire.close()


class SessionFactory:
    """Opens sessions of one account.

    Its certificates are read when it is made, which raises ConfigError, ReadableByOthers.
    """

    def __init__(self, account: Account, login: Login) -> None:
        self._account = account
        self._login = login
        self._context = None if account.smtp.tls == TlsMode.NONE else verifying_context(account)

    def open(self) -> Session:
        """Open a session and log in; a refused secret is replaced if that is possible.

        Raises SessionFailed.
        """
        for _ in range(self._login.chances):
            secret = self._login.secret() or ""
            try:
                return self._open(secret)
            except SessionFailed as refused:
                if not refused.of_secret or not self._replaced(secret, refused):
                    raise
        return self._open(self._login.secret())

    def _replaced(self, rejected: str, refused: SessionFailed) -> bool:
        try:
            return self._login.replace(rejected)
        except SessionFailed as failed:
            raise failed.instead_of(refused) from None

    def _open(self, secret: str | None) -> Session:
        transcript, profile = Transcript(), ServerProfile()
        password = None if self._login.is_token else secret
        client = _client(self._account, password, self._context, transcript, profile)
        try:
            client.login()
            client.smtp.ehlo_or_helo_if_needed()
            if secret is not None and self._login.is_token:
                log_in_with_token(client.smtp, self._account.smtp.user or "", secret)
            if secret is not None and "size" in profile.extensions and profile.size_limit is None:
                client.smtp.ehlo()  # Dovecot announces its limit only after the login
        except (OSError, ValueError, UnicodeError) as error:
            _drop(client)
            raise failure(error, self._account, str(transcript.take()), profile) from None
        self._login.accepted()
        wire, client.is_closed = client.smtp, True  # the session closes it, not yagmail's finaliser
        transcript.take()
        return Session(wire, self._account)


class _Client(SMTP):  # type: ignore[misc]
    """yagmail's client over a Wire; it opens and logs in, and never sends."""

    wire_class: Any

    @property
    def connection(self) -> Any:
        return self.wire_class


def _client(
    account: Account,
    password: str | None,
    context: ssl.SSLContext | None,
    transcript: Transcript,
    profile: ServerProfile,
) -> _Client:
    smtp = account.smtp
    options: dict[str, Any] = {"local_hostname": smtp.helo_name or _machine_name()}
    if smtp.tls == TlsMode.IMPLICIT:
        options["context"] = context
    if smtp.source_address is not None:
        options["source_address"] = (smtp.source_address, 0)
    client = _Client(
        user={smtp.user or "": smtp.user or ""},  # to a str without @ yagmail would add @gmail.com
        password=password,
        host=account.host,
        port=account.port,
        smtp_ssl=smtp.tls == TlsMode.IMPLICIT,
        smtp_starttls={"context": context} if smtp.tls == TlsMode.STARTTLS else False,
        smtp_skip_login=password is None,
        soft_email_validation=False,
        **options,
    )
    wire_class = ImplicitTlsWire if smtp.tls == TlsMode.IMPLICIT else Wire
    client.wire_class = partial(wire_class, reply_timeout=smtp.timeout_seconds, transcript=transcript, profile=profile)
    client.is_closed = True
    return client


def _machine_name() -> str:
    """Return this machine's full name, "" without one; asks no name server."""
    name = socket.gethostname()
    return name if is_full_domain(name) else ""


def _drop(client: _Client) -> None:
    client.is_closed = True
    if client.smtp is not None:
        client.smtp.close()
