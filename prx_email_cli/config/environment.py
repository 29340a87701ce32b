"""Load the config, and an account from the environment: ``PRX_EMAIL_URL``, as containers have it."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from prx_email_cli.children import hide
from prx_email_cli.config.auth import LOOPBACK_HOSTS
from prx_email_cli.config.domains import is_domain
from prx_email_cli.config.outbox import keys_naming
from prx_email_cli.config.paths import absolute
from prx_email_cli.config.settings import Settings, check_settings, is_sender, load_settings
from prx_email_cli.config.source import ENV_FROM, ENV_OUTBOX, ENV_URL, ENV_URL_FILE
from prx_email_cli.errors import ConfigError
from prx_email_cli.redaction import remember

ACCOUNT = "env"
_SCHEMES = {"smtps": ("implicit", 465), "smtp+starttls": ("starttls", 587), "smtp": ("none", 25)}
_EXAMPLE = "write smtps://user:password@host:465/?from=you@example.com"
_ENCODE = "write each character of user and password but letters and digits as %XX: @ is %40, / is %2F, # is %23"


def load(file: Path | None) -> Settings:
    """Load the config *file*, None for none, completed by the environment; an account that it names stays.

    Raises ConfigError, ReadableByOthers, ChangeableByOthers.
    """
    hide((ENV_URL, ENV_OUTBOX))
    variable = ENV_URL if os.environ.get(ENV_URL) else ENV_URL_FILE
    account = _account(variable) if os.environ.get(variable) else None
    if file is None:
        table = _completed({}, account)
        settings = check_settings(table, Path(variable))
        hide(settings.outbox.variables_with_secrets())
        return settings
    return load_settings(file, lambda table: _completed(table, account))


def _completed(table: Mapping[str, Any], account: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the parsed *table* with what the environment says and it does not."""
    done = dict(table)
    named, outbox = table.get("accounts", {}), table.get("outbox", {})
    if account is not None and isinstance(named, dict):
        done["accounts"] = {**named, **({} if ACCOUNT in named else {ACCOUNT: account})}
        if len(named) == 1:
            done.setdefault("default_account", next(iter(named)))
    if isinstance(outbox, dict):
        kept = {"path", "url"} if {"path", "url"} & outbox.keys() else set()  # the file names an outbox of its own
        given = {name: value for name, value in _outbox(ephemeral=not table).items() if name not in kept}
        done["outbox"] = {**given, **outbox}
    return done


def _outbox(*, ephemeral: bool) -> dict[str, Any]:
    """Return the keys of ``[outbox]`` that the environment gives.

    ephemeral: without a file the outbox may be a new one at each start, and its ids begin anew; no Message-ID may.
    """
    named = os.environ.get(ENV_OUTBOX)
    keys = keys_naming(named, ENV_OUTBOX) if named else {}
    return {**keys, "message_id_domain": f"{os.urandom(4).hex()}.prx-email.local"} if ephemeral else keys


def _account(variable: str) -> dict[str, Any]:
    """Read the account from *variable*.  Raises ConfigError, which names it and never its value."""
    if os.environ.get(ENV_URL) and os.environ.get(ENV_URL_FILE):
        raise ConfigError(f"{ENV_URL} and {ENV_URL_FILE} are both set", hint="unset one of them")
    text = os.environ[variable]
    if variable == ENV_URL_FILE:
        from prx_email_cli.config.secrets import secret_from_file  # on use

        text = secret_from_file(absolute(text), "URL", variable)
    remember(text)
    parts = _split(text, variable)
    tls, port = _SCHEMES[parts.scheme]
    host = _host(parts, variable)
    if tls == "none" and host not in LOOPBACK_HOSTS:
        raise _wrong(variable, "smtp:// would send mail and password in clear", "use smtps:// or smtp+starttls://")
    smtp: dict[str, Any] = {"host": host, "port": _port(parts, variable) or port, "tls": tls}
    smtp |= _login(parts, variable)
    sender = os.environ.get(ENV_FROM) or _query(parts, variable).get("from") or smtp.get("user", "")
    if not is_sender(sender):
        raise _wrong(variable, "gives no From address", f"add ?from=you@example.com, or set {ENV_FROM}")
    return {"from": sender, "smtp": smtp}


def _wrong(variable: str, problem: str, hint: str = _EXAMPLE) -> ConfigError:
    return ConfigError(f"{variable}: {problem}", hint=hint)


def _split(text: str, variable: str) -> SplitResult:
    if not text.isprintable() or " " in text:
        raise _wrong(variable, "has a space or a character that cannot be seen", _ENCODE)
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise _wrong(variable, "has a % that is not followed by two hexadecimal digits", "write % itself as %25")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _wrong(variable, "is not a URL", _ENCODE) from None
    if parts.scheme not in _SCHEMES:
        raise _wrong(variable, f"does not begin with one of {', '.join(f'{one}://' for one in _SCHEMES)}")
    if parts.fragment or "#" in text or parts.path not in ("", "/"):
        raise _wrong(variable, "has a # or a path", _ENCODE)
    return parts


def _host(parts: SplitResult, variable: str) -> str:
    host = parts.hostname or ""
    try:
        ip_address(host)
    except ValueError:
        if not is_domain(host):
            raise _wrong(variable, "names no host", _ENCODE) from None
    return host


def _port(parts: SplitResult, variable: str) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _wrong(variable, "has no port from 1 to 65535 behind the colon", _ENCODE)
    return port


def _login(parts: SplitResult, variable: str) -> dict[str, Any]:
    """Return user and password.  Raises ConfigError for one without the other."""
    if parts.username is None and parts.password is None:
        return {}
    if not parts.username or not parts.password:
        raise _wrong(variable, "has a user without a password, or a password without a user")
    user, password = _decoded(parts.username, variable), remember(_decoded(parts.password, variable))
    if any(character in user + password for character in "\r\n\0"):
        raise _wrong(variable, "has a line break or NUL in user or password")
    return {"user": user, "auth": {"password": password}}


def _query(parts: SplitResult, variable: str) -> dict[str, str]:
    # A + is one, as in you+tag@example.com.
    pairs = parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True, errors="replace")
    if [name for name, _ in pairs] not in ([], ["from"]):
        raise _wrong(variable, "has something else behind the ? than from=ADDRESS, once")
    return dict(pairs)


def _decoded(text: str, variable: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _wrong(variable, "has a user or password that is not UTF-8", "encode it as UTF-8") from None
