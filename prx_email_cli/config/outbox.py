"""``[outbox]`` of the config."""

import re
from pathlib import Path

from prx_email_cli.config.durations import seconds_of
from prx_email_cli.config.paths import absolute, default_outbox_file
from prx_email_cli.config.table import Place, Table, key
from prx_email_cli.errors import ConfigError

_DOMAIN = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_USERINFO = re.compile("(?:([^/@]*)@)?(.*)", re.DOTALL)  # as libpq reads it
_PLACE = ("service", "host", "hostaddr", "port", "dbname", "user")  # parameters of a URL that say where it leads
SCHEMES = ("postgresql://", "postgres://")


def parts_of(url: str) -> tuple[str, str, str]:
    """Return user and password of *url*, then hosts and database, then the parameters, each as it is written there.

    An @ in the second is one of a password that is not encoded.
    """
    userinfo, rest = _USERINFO.match(url.partition("://")[2]).groups()  # type: ignore[union-attr]  # it matches anything
    place, _, query = rest.partition("?")
    return userinfo or "", place, query


def holds_secret(url: str) -> bool:
    """Tell whether *url* has a password, also one that is not encoded."""
    from urllib.parse import parse_qs  # on use

    userinfo, place, query = parts_of(url)
    return ":" in userinfo or "@" in place or not {"password", "sslpassword"}.isdisjoint(parse_qs(query))


def keys_naming(outbox: str, where: str) -> dict[str, str]:
    """Return the keys of ``[outbox]`` that name the file or database *outbox*.

    where: what names it, for the error.  Raises ConfigError, which never shows a URL.
    """
    if outbox.startswith(SCHEMES):
        return {"url": outbox}
    if "://" in outbox:
        hint = "name a file, or a database as postgresql://USER@HOST/NAME"
        raise ConfigError(f"{where}: does not begin with postgresql://", hint=hint)
    return {"path": str(absolute(outbox))}


class OutboxSettings(Table):
    """``[outbox]``: its file, retries, and limits of a message."""

    path: Path = key("the SQLite file", default_outbox_file)
    url: str | None = key(
        "a PostgreSQL database in its place: postgresql://user@host:5432/name?sslmode=verify-full", None
    )
    password: str | None = key("its password; the file must then be readable by you alone", None, secret=True)
    password_env: str | None = key("name of the environment variable that holds it", None)
    password_command: tuple[str, ...] | None = key("argv of a command that prints it (no shell)", None)
    password_file: Path | None = key("a file whose first line is the password, mode 0600", None)
    token_key: str | None = key(
        "with url: the key, 32 bytes in base64, under which all machines share the tokens of OAuth", None, secret=True
    )
    token_key_env: str | None = key("name of the environment variable that holds it", None)
    token_key_command: tuple[str, ...] | None = key("argv of a command that prints it (no shell)", None)
    token_key_file: Path | None = key("a file whose first line is the key, mode 0600", None)
    others_wait_seconds: int = key(
        "how long other machines wait, before they recover a dead run, for its own, which may know more", 120, low=0
    )
    base_backoff_seconds: int = key("first delay is twice this, in seconds", 5, low=1, high=86_400)
    give_up_after_hours: int = key(
        "a drain gives up once drains have tried for so long, pauses of over a day not counted", 120, low=1
    )
    give_up_after_attempts: int = key("and after at least so many attempts", 8, low=1)
    on_uncertain: str = key(
        "retry sends again under the same Message-ID; hold waits for a person", "retry", choices=("retry", "hold")
    )
    max_recipients: int = key("of one message, each address counted once; more are refused", 1000, low=1)
    message_id_domain: str = key("right side of every Message-ID; unique to this outbox", "prx-email.local")
    busy_timeout_seconds: int = key("how long to wait for another process's lock", 5, low=0, high=3600)
    claim_ahead: int = key(
        "messages that a drain claims ahead for each connection, at most: a power cut leaves so many uncertain", 32,
        low=0, high=32,
    )  # fmt: skip
    keep_content: str | None = key(
        'drains delete the content of what was sent or given up so long ago, "30d" for example; by default never', None
    )
    keep_records: str | None = key('and the whole record after "1y", for example; by default never', None)

    @property
    def name(self) -> str:
        """The outbox for people: its file, or its database without a password.  No two databases have one name."""
        if self.url is None:
            return str(self.path)
        scheme = self.url.partition("://")[0]
        userinfo, place, query = parts_of(self.url)
        if "@" in place:  # in a password that is not encoded
            userinfo, place = userinfo or place, place.rpartition("@")[2]
        user = userinfo.partition(":")[0]
        more = "&".join(one for one in query.split("&") if one.partition("=")[0] in _PLACE)
        return f"{scheme}://{user}{'@' if userinfo else ''}{place}{'?' if more else ''}{more}"

    @property
    def holds_secret(self) -> bool:
        """Whether the config itself has the database's password, in a key of its own or in the URL."""
        return self.password is not None or holds_secret(self.url or "")

    def variables_with_secrets(self) -> tuple[str, ...]:
        """Name the environment variables, but password_env, from which libpq takes a secret of this database."""
        named = self.holds_secret or self.password_env or self.password_command or self.password_file
        return () if self.url is None or named else ("PGPASSWORD",)

    def is_same_as(self, other: "OutboxSettings") -> bool:
        """Tell whether both name one outbox in one way."""
        return self.url == other.url and (self.url is not None or self.path == other.path)


def check_outbox(outbox: OutboxSettings, place: Place) -> None:
    """Check what a type alone does not say.  Raises ConfigError, which never shows a URL: it may have a password."""
    if not _DOMAIN.fullmatch(outbox.message_id_domain):
        raise place.error("message_id_domain", "is not a domain name", 'write it as "mail.example.com"')
    for name in ("keep_content", "keep_records"):
        _check_duration(getattr(outbox, name), name, place)
    if outbox.url is None:
        return
    if "path" in outbox.__dict__:
        raise place.error("url", "is set, and so is path", "keep exactly one of them: a database, or a file")
    if not outbox.url.startswith(SCHEMES):
        raise place.error("url", "does not begin with postgresql://", "name a file as path, or a database as url")
    for secret in ("password", "token_key"):
        named = [name for name in outbox.keys if name.startswith(secret) and getattr(outbox, name) is not None]
        if len(named) > 1:
            raise place.error(named[1], f"is set, and so is {named[0]}", "keep exactly one of them")


def _check_duration(text: str | None, name: str, place: Place) -> None:
    try:
        if text is None or seconds_of(text) is not None:
            return
    except OverflowError:
        pass
    raise place.error(name, f"is not a duration: {text!r}", 'write it as "30d", "12w" or "1y"')
