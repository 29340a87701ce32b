"""Explain why no session could be opened, and what a person can do about it."""

import smtplib
import socket
import ssl
from typing import NamedTuple

from prx_email_cli.config.oauth_servers import CLIENT_CREDENTIALS
from prx_email_cli.config.providers import TlsMode, provider_named
from prx_email_cli.config.settings import Account
from prx_email_cli.errors import AccountUnusable
from prx_email_cli.redaction import from_outside
from prx_email_cli.smtp.errors import BadReply, ConnectionLost, OpeningStep, Refused
from prx_email_cli.smtp.replies import CHALLENGE, LOGIN_REFUSED, Category, Reply, Scope, judge
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.tls import CLIENT_CERTIFICATE_HINT, explain


class Course(NamedTuple):
    """How far the opening of a session came.

    step: the one that failed.  reply: the server's refusal, None without one.  dialogue: the transcript until then.
    profile: the server's until then, None for an empty one.
    """

    step: OpeningStep = OpeningStep.LOGIN
    reply: Reply | None = None
    dialogue: str = ""
    profile: ServerProfile | None = None


class SessionFailed(AccountUnusable):
    """No session could be opened: a failure of the account."""

    def __init__(self, category: Category, message: str, hint: str, course: Course = Course()) -> None:  # noqa: B008
        super().__init__(category.value, message, hint)
        self.category, self.course = category, course
        self.step, self.reply, self.dialogue, self.profile = *course[:3], course.profile or ServerProfile()

    @property
    def of_secret(self) -> bool:
        """Tell whether the server refused the secret (535), so that another may work."""
        return self.reply is not None and self.reply.code == LOGIN_REFUSED

    def instead_of(self, refused: "SessionFailed") -> "SessionFailed":
        """Return a failure with the refusal *refused* and why its secret was not replaced."""
        message = f"{refused.message}; {self.message}"
        return SessionFailed(self.category, message, self.hint, refused.course._replace(step=self.step))


def failure(error: Exception, account: Account, dialogue: str, profile: ServerProfile) -> SessionFailed:
    """Turn *error* into a failure of the account that names cause and fix.

    dialogue: the transcript until then.
    """
    cause = _cause(error, account, profile)
    reply = error.reply if isinstance(error, Refused) else None
    return SessionFailed(cause.category, cause.message, cause.hint, Course(cause.step, reply, dialogue, profile))


class _Cause(NamedTuple):
    """What failed in which step, and what to do about it."""

    category: Category
    step: OpeningStep
    message: str
    hint: str


def _cause(error: Exception, account: Account, profile: ServerProfile) -> _Cause:
    where = f"{account.host}:{account.port}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return _not_offered(error, account)
    if isinstance(error, Refused):
        return _refused(error, account)
    if isinstance(error, ssl.SSLError):
        cause, hint = explain(error, account)
        return _Cause(Category.NETWORK, OpeningStep.TLS, f"{where}: {cause}", hint)
    if isinstance(error, BadReply):
        if error.in_login:
            hint = "ask the provider what it means; the next run tries again"
            return _Cause(Category.PROVIDER, OpeningStep.LOGIN, f"{where}: {error}", hint)
        hint = "check smtp.host and smtp.port: this may be no SMTP server"
        return _Cause(Category.PROVIDER, OpeningStep.GREETING, f"{where}: {error}", hint)
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_ADDRFAMILY:  # which source_address causes
        hint = "check smtp.host and this machine's DNS"
        return _Cause(Category.NETWORK, OpeningStep.CONNECTION, f"cannot find {account.host}: {error.strerror}", hint)
    if isinstance(error, ConnectionLost):
        step = _step_lost(account, profile)
        return _Cause(Category.NETWORK, step, f"{where}: {error}", _hint_lost(step, error, account, profile))
    cause = "no connection in time (timeout)" if isinstance(error, TimeoutError) else _text(error)
    return _Cause(
        Category.NETWORK, OpeningStep.CONNECTION, f"cannot connect to {where}: {cause}", _connection_hint(account)
    )


def _text(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _connection_hint(account: Account) -> str:
    hint = "check the network, smtp.host and smtp.port"
    return f"{hint}; smtp.source_address must be one of this machine's" if account.smtp.source_address else hint


def _step_lost(account: Account, profile: ServerProfile) -> OpeningStep:
    """Return the step in which the connection was lost."""
    if profile.extensions and profile.tls is None and account.smtp.tls == TlsMode.STARTTLS:
        return OpeningStep.TLS
    return OpeningStep.LOGIN if profile.extensions else OpeningStep.GREETING


def _hint_lost(step: OpeningStep, error: ConnectionLost, account: Account, profile: ServerProfile) -> str:
    """Return what to do about a connection that was lost in *step*."""
    if step is OpeningStep.TLS:
        return "nothing was sent in clear; the next run tries again"
    if step is OpeningStep.LOGIN:
        return "the server may limit logins: the next run tries again"
    if profile.tls is not None and not error.timed_out:
        return f"{CLIENT_CERTIFICATE_HINT}; else the next run tries again"
    if account.smtp.tls == TlsMode.IMPLICIT:
        return "check the network, smtp.host and smtp.port"
    return 'check smtp.port; port 465 and others that speak TLS from the first byte want smtp.tls = "implicit"'


def _not_offered(error: smtplib.SMTPNotSupportedError, account: Account) -> _Cause:
    where = f"{account.host}:{account.port}"
    if "STARTTLS" in str(error):
        message = f"{where} does not offer STARTTLS; nothing was sent in clear"
        return _Cause(
            Category.NETWORK, OpeningStep.TLS, message, 'check smtp.port; port 465 wants smtp.tls = "implicit"'
        )
    offered = f" ({from_outside(str(error))})" if str(error) else ""
    if account.smtp.auth.token_kinds:
        message = f"{where} offers no login that an OAuth token fits{offered}"
        return _Cause(Category.AUTH, OpeningStep.LOGIN, message, "log in with a password, if the provider takes one")
    message = f"{where} offers no login that a password fits{offered}"
    hint = "check smtp.port, or remove smtp.auth if this server needs no login"
    if "XOAUTH2" in offered or "OAUTHBEARER" in offered:
        hint = "this server wants XOAUTH2: see [accounts.X.smtp.auth.oauth] in docs/configuration.md"
    return _Cause(Category.AUTH, OpeningStep.LOGIN, message, hint)


def _refused(error: Refused, account: Account) -> _Cause:
    reply, step = error.reply, error.step
    if step is OpeningStep.LOGIN:
        category = Category.AUTH if reply.code >= 500 or reply.code == CHALLENGE else Category.PROVIDER
        reason = f"; the server's reason: {error.reason}" if error.reason else ""
        return _Cause(category, step, f"login refused: {reply}{reason}", _login_hint(reply, account))
    category = judge(reply, Scope.MESSAGE).category
    if step is OpeningStep.TLS:
        hint = "nothing was sent in clear; the next run tries again"
        return _Cause(category, step, f"{account.host} refused STARTTLS: {reply}", hint)
    hint = "wait, or ask the provider what it means"
    return _Cause(category, step, f"{account.host} refused the session: {reply}", hint)


def _login_hint(reply: Reply, account: Account) -> str:
    auth = account.smtp.auth
    if 400 <= reply.code <= 499:
        return "the server has a temporary fault or limits logins: the next run tries again"
    if auth.token_kinds and reply.code in (500, 501):
        return "the server does not understand this login: the token may be longer than it takes"
    if auth.oauth is not None and auth.oauth.grant == CLIENT_CREDENTIALS:
        return "the server refuses the application's token: check smtp.user, scope, and what the provider lets it do"
    if auth.oauth is not None:
        return f"the server refuses the token: check smtp.user and scope, then prx-email account login {account.name}"
    if auth.token_kinds:
        return f"the token is wrong, expired or revoked: get a new one where {auth.token_kinds[0]} takes it from"
    if reply.enhanced in ("5.7.30", "5.7.139"):
        return "the provider no longer takes passwords: use XOAUTH2 (docs/providers.md)"
    provider = provider_named(account.provider)
    if provider is not None and "app_password" in provider.logins:
        return f"this provider wants an app password. {' '.join(provider.explanation)}"
    if reply.enhanced == "5.7.9":
        return "this provider wants an app password, made in your account's security settings"
    return f"check smtp.user and where the password comes from ({', '.join(auth.kinds)})"
