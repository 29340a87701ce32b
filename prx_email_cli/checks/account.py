"""Try an account step by step, as a drain would use it; no mail is sent."""

import socket
import time
from typing import Any, NamedTuple

from prx_email_cli.checks.check import Check, failed, ok, warning
from prx_email_cli.config.auth import LOOPBACK_HOSTS
from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.config.providers import TlsMode, provider_named
from prx_email_cli.config.settings import Account
from prx_email_cli.config.shelf import Shelf
from prx_email_cli.errors import AccountUnusable, ConfigError, PrxEmailError, ReadableByOthers, StorageError, Unwell
from prx_email_cli.oauth.shared import has_token_key
from prx_email_cli.smtp.credentials import Login, login_of
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.replies import Category
from prx_email_cli.smtp.server import Certificate, ServerProfile
from prx_email_cli.smtp.session import SessionFactory

CERTIFICATE_DAYS_LEFT = 3  # with fewer its renewal has failed: even six-day certificates have more
_DAY = 86_400


class Shared(NamedTuple):
    """The outbox of many machines that may share tokens, and where it keeps those; without one, each has its own."""

    outbox: OutboxSettings | None = None
    shelf: Shelf | None = None


ALONE = Shared()


class Examination(NamedTuple):
    """The checks of an account, up to the first failure.

    addresses: the server's IP addresses.  error: the failure, None if the account works.
    """

    account: Account
    checks: list[Check]
    addresses: list[str]
    profile: ServerProfile
    error: PrxEmailError | None


def examine(account: Account, now: float, shared: Shared = ALONE) -> Examination:
    """Resolve, connect, agree on TLS, greet and log in; return the checks of these.

    now: Unix seconds.  shared: where machines may share tokens.  What fails is the last check, and not raised.
    """
    checks, ready = _prepared(account, shared)
    if isinstance(ready, PrxEmailError):
        return Examination(account, checks, [], ServerProfile(), ready)
    login, factory = ready
    addresses, unknown = _resolve(account)
    if unknown is not None:
        return Examination(account, [*checks, failed("address", unknown)], [], ServerProfile(), unknown)
    checks.append(ok("address", ", ".join(addresses)))
    try:
        session = factory.open()
    except SessionFailed as failure:
        steps = _until(_steps(account, login, failure.profile, now), failure.step)
        return Examination(
            account, [*checks, *steps, failed(failure.step, failure)], addresses, failure.profile, failure
        )
    session.close()
    return Examination(account, checks + _steps(account, login, session.profile, now), addresses, session.profile, None)


def unexamined(account: Account, why: PrxEmailError) -> Examination:
    """Return what is known of an account that cannot be tried now."""
    return Examination(account, [failed("connection", why)], [], ServerProfile(), why)


def examine_offline(account: Account, shared: Shared = ALONE) -> list[Check]:
    """Check what of *account* needs no network: its secret can be had, its certificates can be read."""
    return _prepared(account, shared)[0]


def _prepared(account: Account, shared: Shared) -> tuple[list[Check], tuple[Login, SessionFactory] | PrxEmailError]:
    """Return the checks before the network is needed, and what opens sessions, or the failure."""
    try:
        login = login_of(account, *shared)
        login.check_place()
    except (ConfigError, ReadableByOthers, AccountUnusable, StorageError) as error:
        return [failed("secret", error)], error
    secret = ok("secret", _secret(account))
    if account.smtp.auth.oauth is not None and shared.outbox is not None and not has_token_key(shared.outbox):
        secret = warning(
            "secret", f"{secret.detail}; its tokens are on this machine alone",
            "token_key in [outbox] lets all machines share them: docs/scaling.md", Unwell,
        )  # fmt: skip
    try:
        return [secret], (login, SessionFactory(account, login))
    except (ConfigError, ReadableByOthers) as error:
        return [secret, failed("tls", error)], error


def _secret(account: Account) -> str:
    kinds = account.smtp.auth.kinds
    return f"from smtp.auth.{' and '.join(kinds)}" if kinds else "no login configured"


def _resolve(account: Account) -> tuple[list[str], AccountUnusable | None]:
    """Return the server's IP addresses and None, or no address and why."""
    try:
        found = socket.getaddrinfo(account.host, account.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or error
        return [], AccountUnusable(
            Category.NETWORK, f"cannot find {account.host}: {cause}", "check smtp.host and this machine's DNS"
        )
    return list(dict.fromkeys(str(entry[4][0]) for entry in found)), None


def _until(steps: list[Check], failed_step: str) -> list[Check]:
    """Return the steps before the one that failed."""
    names = ("connection", "tls", "certificate", "greeting", "login", "limits")
    return [step for step in steps if names.index(step.name) < names.index(failed_step)]


def _steps(account: Account, login: Login, profile: ServerProfile, now: float) -> list[Check]:
    """Return the checks of the steps that succeeded."""
    steps = []
    if profile.peer is not None:
        steps.append(ok("connection", profile.peer))
    if profile.tls is not None:
        steps.append(ok("tls", f"{profile.tls}, {profile.cipher}"))
    elif account.smtp.tls == TlsMode.NONE and profile.peer is not None:
        steps.append(_no_tls(account))
    if profile.certificate is not None:
        steps.append(_certificate(profile.certificate, now))
    if profile.extensions:
        steps.append(ok("greeting", ", ".join(profile.shown_extensions).upper()))
    if profile.login is not None:
        steps.append(_logged_in(account, login, profile.login, now))
    elif not account.smtp.auth.kinds:
        steps.append(_no_login(profile))
    return [*steps, ok("limits", _limits(account, profile))]


def _no_tls(account: Account) -> Check:
    if account.host in LOOPBACK_HOSTS:
        return ok("tls", "none, and none is needed on this machine")
    return warning(
        "tls", "none: mail and password travel in clear", 'set smtp.tls = "starttls" if you can', ConfigError
    )


def _certificate(shown: Certificate, now: float) -> Check:
    if shown.expires_at is None:
        return ok("certificate", f"the pinned one, SHA-256 {shown.sha256}")
    days = int((shown.expires_at - now) // _DAY)
    until = time.strftime("%Y-%m-%d", time.localtime(shown.expires_at))
    name = shown.subject or ", ".join(shown.names)
    detail = f"{name}, issued by {shown.issuer}, valid for {days} more days, until {until}"
    if days < CERTIFICATE_DAYS_LEFT:
        return warning("certificate", detail, "the server's operator must renew it", Unwell)
    return ok("certificate", detail)


def _logged_in(account: Account, login: Login, mechanism: str, now: float) -> Check:
    detail = f"{mechanism} as {account.smtp.user}"
    if login.expires_at is None:
        return ok("login", detail)
    detail += f", token valid until {time.strftime('%Y-%m-%d %H:%M:%S%z', time.localtime(login.expires_at))}"
    if login.renews:
        return ok("login", detail)
    if login.expires_at - now < _DAY:
        auth = account.smtp.auth
        fix = f"nothing renews it: prx-email account login {account.name}, or give it a new one"
        if auth.oauth is None:  # then account login cannot get one
            fix = f"nothing renews it: get a new one where {auth.token_kinds[0]} takes it from, or add smtp.auth.oauth"
        return warning("login", detail, fix, Unwell)
    return ok("login", f"{detail}, and nothing renews it")


def _no_login(profile: ServerProfile) -> Check:
    if not profile.extensions.get("auth", "").strip():
        return ok("login", "none")
    detail = "none is configured, but the server offers one: it may refuse to send"
    return warning("login", detail, "add smtp.auth, if it does", Unwell)


def _limits(account: Account, profile: ServerProfile) -> str:
    """Return the limits of server and account, and those that the provider documents."""
    smtp, provider = account.smtp, provider_named(account.provider)
    parts: list[tuple[Any, str]] = [
        (profile.size_limit, "bytes a message"),
        (account.connections, "connections"),
        (smtp.messages_per_connection, "messages a connection"),
        (smtp.messages_per_minute, "messages a minute"),
        (smtp.messages_per_day, "messages a day"),
        (smtp.recipients_per_day, "recipients a day"),
    ]
    text = ", ".join(f"{number:,} {unit}" for number, unit in parts if number is not None)
    documented = [] if provider is None else [
        (provider.messages_per_day, smtp.messages_per_day, "messages a day"),
        (provider.recipients_per_day, smtp.recipients_per_day, "recipients a day"),
    ]  # fmt: skip
    for number, own, unit in documented:
        if number is not None and own is None:
            text += f"; the provider documents {number:,} {unit}"
    return text
