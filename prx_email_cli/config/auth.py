"""Declare how an account logs in, and its secrets' sources: ``[..smtp.auth]``."""

from pathlib import Path
from urllib.parse import urlsplit

from prx_email_cli.config.oauth_servers import (
    CLIENT_CREDENTIALS,
    MICROSOFT,
    MICROSOFT_APPLICATION_SCOPE,
    PRESETS,
)
from prx_email_cli.config.table import Place, Table, key

LATEST_EXPIRY = 253_370_764_800  # in the year 9999: Python's dates end there
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


class OAuth(Table):
    """``[accounts.X.smtp.auth.oauth]``: how access tokens are got and renewed."""

    preset: str | None = key("fills the addresses and the scope; by default the provider's", None, choices=(*PRESETS,))
    tenant: str = key("directory of Microsoft's preset", "common")
    grant: str = key(
        "refresh_token: on behalf of a person; client_credentials: an application as itself",
        "refresh_token",
        choices=("refresh_token", CLIENT_CREDENTIALS),
    )
    client_id: str | None = key("the application's id, as registered with the provider; required", None)
    client_secret: str | None = key("its secret, where it has one", None, secret=True)
    client_secret_env: str | None = key("name of the environment variable that holds it", None)
    client_secret_command: tuple[str, ...] | None = key("argv of a command that prints it (no shell)", None)
    client_secret_file: Path | None = key("a file whose first line it is, mode 0600", None)
    refresh_token: str | None = key("by default prx-email account login gets and keeps one", None, secret=True)
    refresh_token_env: str | None = key("name of the environment variable that holds it", None)
    refresh_token_command: tuple[str, ...] | None = key("argv of a command that prints it (no shell)", None)
    refresh_token_file: Path | None = key("a file whose first line it is, mode 0600", None)
    scope: str | None = key("what is asked for, separated by spaces", None)
    token_url: str | None = key("token endpoint (RFC 6749 section 3.2)", None)
    authorize_url: str | None = key("authorization endpoint (RFC 6749 section 3.1), for account login", None)
    device_url: str | None = key("device authorization endpoint (RFC 8628 section 3.1)", None)
    revoke_url: str | None = key("revocation endpoint (RFC 7009), for account logout", None)
    redirect_host: str | None = key(
        "host of the redirect to this machine, as registered", None, choices=("127.0.0.1", "localhost")
    )

    @property
    def authorize_extra(self) -> dict[str, str]:
        """Return the preset's further parameters of an authorization request."""
        return dict(PRESETS[self.preset].extra) if self.preset else {}


class Auth(Table):
    """``[accounts.X.smtp.auth]``: a password, OAuth token, way to get one, or none."""

    password: str | None = key("the password itself; the file must then be readable by you alone", None, secret=True)
    password_env: str | None = key("name of the environment variable that holds it", None)
    password_command: tuple[str, ...] | None = key("argv of a command that prints it (no shell)", None)
    password_file: Path | None = key("a file whose first line is the password, mode 0600", None)
    keyring: bool = key("the password lies in the system's keyring: prx-email account set-password", False)
    oauth_token: str | None = key("an OAuth access token; the file must then be yours alone", None, secret=True)
    oauth_token_env: str | None = key("name of the environment variable that holds it", None)
    oauth_token_command: tuple[str, ...] | None = key("argv of a command that prints it, run for each login", None)
    oauth_token_file: Path | None = key("a file whose first line is the token, mode 0600", None)
    oauth_expires_at: int | None = key("when the token expires, in Unix seconds", None, low=0, high=LATEST_EXPIRY)
    oauth: OAuth | None = key("how to get and renew access tokens", None)

    @property
    def kinds(self) -> list[str]:
        """Return the names of the keys that are a source of a password or token."""
        return [name for name in self.keys if name != "oauth_expires_at" and getattr(self, name) not in (None, False)]

    @property
    def token_kinds(self) -> list[str]:
        """Return those of ``kinds`` that are a source of a token."""
        return [name for name in self.kinds if name.startswith("oauth")]


def check_auth(auth: Auth, user: str | None, place: Place) -> None:
    """Check that the keys of *auth* are complete and agree.

    user: the login name, None without one.  place: the account's.  Raises ConfigError.
    """
    kinds = auth.kinds
    fixed_tokens = {"oauth_token", "oauth_token_env", "oauth_token_file"} & {*kinds}  # [..oauth] may follow one of them
    if len(kinds) > 1 and not (len(kinds) == 2 and "oauth" in kinds and fixed_tokens):
        raise place.error("smtp.auth", f"has {' and '.join(kinds)}", "keep exactly one of them")
    if kinds and user is None:
        raise place.error("smtp.user", "is missing", f"add the login name that belongs to {kinds[0]}")
    if auth.token_kinds and user is not None and not user.isascii():
        raise place.error(
            "smtp.user",
            "has letters beyond ASCII",
            "an OAuth login takes ASCII alone: log in with a password, or under another name",
        )
    if auth.oauth_expires_at is not None and not fixed_tokens:
        raise place.error("smtp.auth.oauth_expires_at", "belongs to no token", "add oauth_token_env, or leave it out")
    if auth.oauth is not None:
        _check_oauth(auth.oauth, place.inside("smtp").inside("auth").inside("oauth"))


def _check_oauth(oauth: OAuth, place: Place) -> None:
    for name in ("client_secret", "refresh_token"):
        given = [key for key in oauth.keys if key.startswith(name) and getattr(oauth, key) is not None]
        if len(given) > 1:
            raise place.error(given[1], f"is set, and so is {given[0]}", "keep exactly one of them")
    if oauth.client_id is None:
        raise place.error("client_id", "is missing", "register an application with the provider: see docs/providers.md")
    if oauth.token_url is None:
        raise place.error("token_url", "is missing", f"name it, or set preset to {' or '.join(PRESETS)}")
    if oauth.grant == CLIENT_CREDENTIALS and not any(getattr(oauth, key) for key in oauth.keys if "secret" in key):
        raise place.error("client_secret", "is missing", "an application that logs in as itself needs one")
    for name in ("token_url", "authorize_url", "device_url", "revoke_url"):
        _check_url(getattr(oauth, name), name, place)


def _check_url(url: str | None, name: str, place: Place) -> None:
    """Check that *url* is one of TLS or loopback (RFC 6749 section 3.2).

    Raises ConfigError.
    """
    if url is None:
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    # urlsplit and requests find different hosts in a URL with a backslash; tokens would go to the one of requests.
    if not host or "\\" in url or not (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS)):
        raise place.error(name, f"is not an https address: {url!r}", 'write it as "https://login.example.com/token"')


def with_preset(oauth: OAuth | None, provider_preset: str | None) -> OAuth | None:
    """Complete *oauth* from its preset, else the provider's; keys of the config stay.

    Returns None for None.
    """
    if oauth is None:
        return None
    name = oauth.preset or (provider_preset if oauth.token_url is None else None)
    if name is None:
        return oauth if oauth.redirect_host else oauth.replace(redirect_host="127.0.0.1")
    preset = PRESETS[name]
    filled = {
        field: getattr(oauth, field) or (getattr(preset, field) or "").replace("{tenant}", oauth.tenant) or None
        for field in ("token_url", "authorize_url", "device_url", "revoke_url", "redirect_host")
    }
    scope = oauth.scope or (
        MICROSOFT_APPLICATION_SCOPE if name == MICROSOFT and oauth.grant == CLIENT_CREDENTIALS else preset.scope
    )
    return oauth.replace(preset=name, scope=scope, **filled)
