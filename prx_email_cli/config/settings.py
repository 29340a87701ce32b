"""The tables of the config: load, complete and check them."""

import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from prx_email_cli.children import hide
from prx_email_cli.config.auth import LOOPBACK_HOSTS, Auth, check_auth, with_preset
from prx_email_cli.config.domains import is_address_literal, is_domain
from prx_email_cli.config.listen import ListenSettings
from prx_email_cli.config.outbox import OutboxSettings, check_outbox
from prx_email_cli.config.providers import NAMES, Provider, TlsMode, provider_named
from prx_email_cli.config.sendmail import SendmailSettings, check_sendmail
from prx_email_cli.config.table import Place, Table, key, read_table
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.files import check_unchangeable, is_open, read_bounded

DEFAULT_CONNECTIONS = 4
MAX_CONFIG_BYTES, CONFIG_SECONDS, MAX_DOTS = 1 << 20, 10, 5000
ENV_TOKEN, ENV_TOKEN_EXPIRES_AT = "PRX_EMAIL_SMTP_OAUTH_TOKEN", "PRX_EMAIL_SMTP_OAUTH_EXPIRES_AT"
IMPLICIT_TLS_PORT, SUBMISSION_PORT = 465, 587  # RFC 8314 section 3.3, RFC 6409 section 3.1
# One address, bare or in angle brackets; composing a message checks the details.
_SENDER = re.compile(r"[^<>]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+")


class AttachmentPolicy(Table):
    """``[attachments.policy]``: sizes and types that may be attached."""

    max_size_bytes: int = key("largest decoded attachment, in bytes", 26_214_400, low=1)
    max_message_bytes: int = key("largest whole message as sent, in bytes", 52_428_800, low=1)
    allowed_content_types: tuple[str, ...] = key(
        "MIME types that may be attached",
        ("application/pdf", "image/jpeg", "image/png", "text/plain", "application/zip"),
    )


class AttachmentStore(Table):
    """``[attachments.store]``: the directory that requests may attach files from."""

    enabled: bool = key("whether path-based attachments are allowed", False)
    dir: Path | None = key("the only directory they may be read from", None)


class AttachmentSettings(Table):
    """``[attachments]``: what may be attached, and from where."""

    policy: AttachmentPolicy = key("what may be attached", AttachmentPolicy)
    store: AttachmentStore = key("where path-based attachments lie", AttachmentStore)


class LogSettings(Table):
    """``[log]``: the log of attempts."""

    file: Path | None = key("a line for each attempt is appended to it", None)
    format: str = key("how the lines are written", "logfmt", choices=("logfmt", "json"))


NOTIFY_EVENTS = ("gave_up", "account_down", "account_up")


class NotifySettings(Table):
    """``[notify]``: the command that is told of given-up messages, and of accounts that stop working."""

    command: tuple[str, ...] | None = key("argv run once per event, its JSON on stdin (no shell)", None)
    events: tuple[str, ...] = key("which events it is run for", ("gave_up",), choices=NOTIFY_EVENTS)


class Smtp(Table):
    """``[accounts.X.smtp]``: the server, how to connect and log in, and its limits."""

    host: str | None = key("the server's name, as its certificate has it", None)
    port: int | None = key("465 for implicit TLS, 587 for STARTTLS", None, low=1, high=65_535)
    user: str | None = key("login name", None)
    tls: str | None = key("by default from the port", None, choices=tuple(TlsMode))
    allow_plaintext: bool = key('permit tls = "none" beyond loopback', False)
    tls_ca_file: Path | None = key("PEM file of a private CA to trust as well", None)
    timeout_seconds: int = key("for connecting and for each reply", 60, low=1, high=3600)
    data_timeout_seconds: int = key(
        "for the reply to the final dot (RFC 5321 section 4.5.3.2.6)", 600, low=1, high=7200
    )
    connections: int | None = key(
        "simultaneous connections of one drain (of all, with outbox.url), 4 by default", None, low=1, high=100
    )
    messages_per_connection: int | None = key("renew the connection after so many messages", None, low=1)
    join_envelopes: bool = key("with PIPELINING, send the next envelope together with the content before it", True)
    messages_per_minute: int | None = key(
        "the provider's limit; beyond it the account rests until the next run", None, low=1
    )
    messages_per_day: int | None = key("the provider's limit in any 24 hours, counted from the attempts", None, low=1)
    recipients_per_day: int | None = key(
        "the same in recipients; by default the provider's, where it does not depend on the plan", None, low=1
    )
    helo_name: str | None = key("domain or address literal to greet with; by default this machine's", None)
    source_address: str | None = key("this machine's IP address to connect from", None)
    tls_fingerprint: str | None = key("SHA-256 of the one certificate to accept, in place of CAs and host name", None)
    tls_cert_file: Path | None = key("PEM file of a client certificate to show", None)
    tls_key_file: Path | None = key("its private key, mode 0600; by default in tls_cert_file", None)
    auth: Auth = key("how to log in", Auth)


class Account(Table):
    """``[accounts.X]``, with provider and defaults filled in once loaded."""

    smtp: Smtp = key("the submission server", Smtp)
    provider: str | None = key("fills host, port, tls and limits: prx-email providers", None, choices=NAMES)
    sender: str | None = key("From of its messages; smtp.user by default", None, toml="from")
    name: str = ""

    @property
    def host(self) -> str:
        """Return the server's name; never empty once loaded."""
        return self.smtp.host or ""

    @property
    def port(self) -> int:
        """Return the TCP port; never 0 once loaded."""
        return self.smtp.port or 0

    @property
    def connections(self) -> int:
        """Return how many connections one drain may have open."""
        return self.smtp.connections or DEFAULT_CONNECTIONS


class Settings(Table):
    """The whole config; file: its path."""

    accounts: dict[str, Account] = key("your SMTP identities, each [accounts.NAME]", dict)
    default_account: str | None = key("used when --account is not given", None)
    outbox: OutboxSettings = key("the outbox", OutboxSettings)
    attachments: AttachmentSettings = key("attachments", AttachmentSettings)
    log: LogSettings = key("the log of attempts", LogSettings)
    notify: NotifySettings = key("a command for given-up messages", NotifySettings)
    listen: ListenSettings = key("the SMTP server in front of the outbox", ListenSettings)
    sendmail: SendmailSettings = key("recipients that are local names", SendmailSettings)
    file: Path = Path()

    def account(self, name: str | None) -> Account:
        """Return the named account, else the default one, else the only one.

        Raises ConfigError when there is none.
        """
        wanted = (
            name
            if name is not None
            else self.default_account or (next(iter(self.accounts)) if len(self.accounts) == 1 else None)
        )
        if wanted is None:
            raise ConfigError(
                f"{self.file}: there are several accounts, and no default_account",
                hint=f"name one of {', '.join(self.accounts)}, or set default_account",
            )
        if wanted not in self.accounts:
            raise ConfigError(
                f"{self.file}: there is no account {wanted!r}", hint=f"known accounts: {', '.join(self.accounts)}"
            )
        return self.accounts[wanted]


def load_settings(
    file: Path, complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda table: table
) -> Settings:
    """Read and check the config *file*, once *complete* has completed its table; return the settings.

    Raises ConfigError for a fault in it, ReadableByOthers when it holds a secret and others can read it,
    ChangeableByOthers when others can change it.
    """
    table, status = _read_toml(file)
    settings = check_settings(complete(table), file)
    hide((ENV_TOKEN, *_variables_with_secrets(settings), *settings.outbox.variables_with_secrets()))
    held = any(_holds_secret(settings.accounts[name]) for name in table.get("accounts", {}))
    held = held or settings.outbox.token_key is not None
    if is_open(file, status) and (held or (settings.outbox.holds_secret and "url" in table.get("outbox", {}))):
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise ReadableByOthers(
            f"{file} holds a password and is readable by others (mode {mode})", hint=f"chmod 600 {file}"
        )
    check_unchangeable(file)
    return _with_token_from_environment(settings)


def _with_token_from_environment(settings: Settings) -> Settings:
    """Give the default account the OAuth token in the environment, if there is one.

    An account with a password does not get it, and no other account does: a token must not reach another server.
    """
    if not os.environ.get(ENV_TOKEN):
        return settings
    name = settings.default_account or (next(iter(settings.accounts)) if len(settings.accounts) == 1 else None)
    account = settings.accounts.get(name or "")
    if (
        account is None
        or account.smtp.user is None
        or set(account.smtp.auth.kinds) - set(account.smtp.auth.token_kinds)
    ):
        return settings
    expires_at = os.environ.get(ENV_TOKEN_EXPIRES_AT)
    if expires_at and not re.fullmatch("[0-9]{1,12}", expires_at):
        raise ConfigError(
            f"{ENV_TOKEN_EXPIRES_AT}: not Unix seconds: {expires_at!r}",
            hint="write a number like the one that date +%s prints",
        )
    auth = Auth(
        oauth_token_env=ENV_TOKEN,
        oauth_expires_at=int(expires_at) if expires_at else None,
        oauth=account.smtp.auth.oauth,
    )
    check_auth(auth, account.smtp.user, Place(settings.file, f"accounts.{name}"))
    changed = account.replace(smtp=account.smtp.replace(auth=auth))
    return settings.replace(accounts={**settings.accounts, account.name: changed})


def check_settings(table: Mapping[str, Any], file: Path) -> Settings:
    """Make the settings of a parsed *table*, completed and checked.

    file: where the table is or will be.  Raises ConfigError.
    """
    settings = read_table(Settings, table, Place(file))
    if not settings.accounts:
        raise ConfigError(f"{file}: no account is configured", hint="add [accounts.NAME], or run prx-email init")
    accounts = {name: _complete(name, account, file) for name, account in settings.accounts.items()}
    settings = settings.replace(accounts=accounts, file=file)
    if settings.default_account is not None:
        settings.account(None)
    check_outbox(settings.outbox, Place(file, "outbox"))
    check_sendmail(settings.sendmail, file)
    return settings


def _read_toml(file: Path) -> tuple[Mapping[str, Any], os.stat_result]:
    """Return the parsed *file*, and its status as it was then.  Raises ConfigError."""
    try:
        data, status = read_bounded(file, MAX_CONFIG_BYTES, CONFIG_SECONDS)
        if len(data) > MAX_CONFIG_BYTES:
            raise ConfigError(
                f"{file}: larger than {MAX_CONFIG_BYTES >> 20} MiB", hint="check that this is the right file"
            )
        if max(line.count(b".") for line in data.split(b"\n")) > MAX_DOTS:  # tomllib's time grows by their square
            raise ConfigError(f"{file}: a line with over {MAX_DOTS} dots", hint="check that this is the right file")
        return tomllib.loads(data.decode()), status
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: no such config file", hint="run prx-email init, or name one with --config FILE"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: {error}", hint="correct the line it names") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not UTF-8 text", hint="TOML files are UTF-8: save it again as such") from None
    except (ValueError, RecursionError) as error:  # also for endless numbers and nested tables
        raise ConfigError(f"{file}: not valid TOML: {error}", hint="shorten the number, or nest fewer tables") from None
    except TimeoutError:
        raise ConfigError(
            f"{file}: nothing came within {CONFIG_SECONDS} s",
            hint="check that the program that writes into it is running",
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint="check its owner and permissions") from None


def _variables_with_secrets(table: Table) -> Iterator[str]:
    """Yield the environment variables that hold a secret of *table*, at any depth."""
    for name, declared in table.keys.items():
        value = table.__dict__.get(declared.name)
        tables = value.values() if isinstance(value, dict) else [value]
        for inner in tables:
            if isinstance(inner, Table):
                yield from _variables_with_secrets(inner)
        if name.endswith("_env") and isinstance(value, str):
            yield value


def _holds_secret(table: Table) -> bool:
    return any(
        _holds_secret(value) if isinstance(value, Table) else declared.secret and value is not None
        for value, declared in ((table.__dict__.get(declared.name), declared) for declared in table.keys.values())
    )


def is_sender(text: str) -> bool:
    """Tell whether *text* looks like one address, with or without a name.

    Characters that cannot be seen are refused.
    """
    return text.isprintable() and _SENDER.fullmatch(text) is not None


def _complete(name: str, account: Account, file: Path) -> Account:
    """Complete an account by provider and port, and check it.  Raises ConfigError."""
    place = Place(file, f"accounts.{name}")
    smtp = _with_provider(account.smtp, provider_named(account.provider))
    if smtp.host is None:
        raise place.error("smtp.host", "is missing", 'name the server, or set provider = "gmail" or another known one')
    if smtp.port is None:
        smtp = smtp.replace(port=IMPLICIT_TLS_PORT if smtp.tls == TlsMode.IMPLICIT else SUBMISSION_PORT)
    if smtp.tls is None:
        smtp = smtp.replace(tls=TlsMode.IMPLICIT if smtp.port == IMPLICIT_TLS_PORT else TlsMode.STARTTLS)
    if smtp.tls == TlsMode.NONE and not smtp.allow_plaintext and smtp.host not in LOOPBACK_HOSTS:
        raise place.error(
            "smtp.tls",
            f'= "none" would send mail and password in clear to {smtp.host}',
            'use "implicit" or "starttls", or set allow_plaintext = true if you accept that',
        )
    smtp = _checked_connection(smtp, place)
    check_auth(smtp.auth, smtp.user, place)
    sender = account.sender or smtp.user
    if account.sender is not None and not _SENDER.fullmatch(account.sender):
        raise place.error("from", f"is not an address: {account.sender!r}", 'write from = "Name <you@example.com>"')
    if sender is None or not _SENDER.fullmatch(sender):
        raise place.error("from", "is missing", 'add from = "Name <you@example.com>" (smtp.user is not an address)')
    return account.replace(name=name, smtp=smtp, sender=sender)


def _with_provider(smtp: Smtp, provider: Provider | None) -> Smtp:
    """Complete *smtp* by the provider's server and limits; keys of the config stay."""
    smtp = smtp.replace(auth=smtp.auth.replace(oauth=with_preset(smtp.auth.oauth, provider and provider.oauth)))
    if provider is None:
        return smtp
    connections = smtp.connections
    if provider.connections is not None:
        connections = min(connections or DEFAULT_CONNECTIONS, provider.connections)
    per_day = smtp.recipients_per_day or (None if provider.by_plan else provider.recipients_per_day)
    smtp = smtp.replace(connections=connections, recipients_per_day=per_day, user=smtp.user or provider.user)
    host = smtp.host or provider.host
    if smtp.port is None:
        return smtp.replace(host=host, port=provider.port, tls=smtp.tls or provider.tls)
    plain = provider.tls == TlsMode.NONE and host in LOOPBACK_HOSTS  # else the port tells, as without a provider
    return smtp.replace(host=host, tls=smtp.tls or (TlsMode.NONE if plain else None))


def _checked_connection(smtp: Smtp, place: Place) -> Smtp:
    """Check the keys for connecting; return *smtp* with its fingerprint in plain form.

    Raises ConfigError.
    """
    if smtp.tls_fingerprint is not None:
        plain = smtp.tls_fingerprint.replace(":", "").lower()
        if not re.fullmatch("[0-9a-f]{64}", plain):
            raise place.error(
                "smtp.tls_fingerprint",
                "is not a SHA-256 fingerprint of 64 hexadecimal digits",
                "openssl x509 -in server.pem -noout -fingerprint -sha256 prints one",
            )
        smtp = smtp.replace(tls_fingerprint=plain)
    if smtp.helo_name is not None and not (is_domain(smtp.helo_name) or is_address_literal(smtp.helo_name)):
        raise place.error(
            "smtp.helo_name",
            "is neither a domain nor an address literal (RFC 5321 section 4.1.2)",
            'write it as "host.example.com", "[192.0.2.7]" or "[IPv6:2001:db8::7]"',
        )
    for name in ("tls_fingerprint", "tls_cert_file", "tls_ca_file"):
        if smtp.tls == TlsMode.NONE and getattr(smtp, name) is not None:
            raise place.error(f"smtp.{name}", 'has no effect with tls = "none"', "remove one of the two")
    if smtp.tls_key_file is not None and smtp.tls_cert_file is None:
        raise place.error("smtp.tls_cert_file", "is missing", "name the certificate that belongs to tls_key_file")
    if smtp.source_address is not None:
        try:
            ip_address(smtp.source_address)
        except ValueError:
            raise place.error("smtp.source_address", "is not an IP address", 'write it as "192.0.2.7"') from None
    return smtp
