"""Writes docs/configuration.md from the settings' own declarations: ``python -m tests.config.document``."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from prx_email_cli.config.settings import Settings
from prx_email_cli.config.table import Key, Table

FILE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"

INTRODUCTION = """\
# Every key of the config

<!-- Written by `python -m tests.config.document`. Do not edit: a test compares this page with the settings. -->

The config is one TOML file: `--config FILE`, else `$PRX_EMAIL_CONFIG`, else `prx-email/config.toml` in your config
directory (`~/.config` on Linux), else `/etc/prx-email/config.toml` for those who may read it: root, and the user of
[a shared outbox](sendmail.md#one-outbox-for-the-whole-machine). `prx-email init` writes a first one, `prx-email account
add NAME` adds an account and keeps the rest; [config.example.toml](../config.example.toml) shows one with comments.

An unknown key, a wrong type, a value outside its limits and keys that contradict each other are errors that name the
file, the key and the fix, and end every command with status 78. A file that holds a secret must be mode 0600, or 0640
in a directory of root's that only its group may enter, else status 77. Relative paths are relative to the file, and `~`
is your home directory. A command is a list of words, `["pass", "show", "mail/work"]`, and no shell sees it.
"""

SECRETS = """\
## Where secrets come from

`password`, `oauth_token`, `client_secret` and `refresh_token` can stand in the file, or come from elsewhere:

| Key ends in | The secret is |
|---|---|
| (nothing) | the value itself; the config must then be mode 0600 |
| `_env` | in this environment variable; cron does not read your shell's profile |
| `_command` | the first line that this command prints, within 60 seconds |
| `_file` | the first line of this file, which must be mode 0600 |

`keyring = true` takes the password from the system's keyring, where `prx-email account set-password` puts it. It needs
`pip install 'prx-email-cli[keyring]'`, and cron can often not open the keyring of your session.

## OAuth

An account has one way of login: a password, or OAuth. OAuth takes an access token that you bring
(`oauth_token` and its kind), or `[accounts.NAME.smtp.auth.oauth]`, with which prx-email gets tokens itself and renews
them a minute before they expire; that needs `pip install 'prx-email-cli[oauth]'`. Both together are possible: the given
token is used as long as it lasts; say with `oauth_expires_at` when that is, or every run tries it first, though it was
refused before. `oauth_token_command` is run for every login.

With `[..oauth]`, either run `prx-email account login NAME` once (`--device` on a machine without a browser), or bring a
`refresh_token`. Tokens are kept in `prx-email/tokens` in your state directory (`~/.local/state` on Linux), mode 0600,
shared by all drains; a refresh token that the server replaces is kept there too, and setting another one in the config
makes the kept ones worthless. `account logout` removes them. Of the mechanisms that a server offers, XOAUTH2 is taken
before OAUTHBEARER.

The presets `google` and `microsoft` fill the addresses and the scope; the providers that they belong to choose them by
themselves. [providers.md](providers.md) says how to register an application, which gives the `client_id`.

## The environment

| Variable | Meaning |
|---|---|
| `PRX_EMAIL_CONFIG` | the config file, when `--config` names none |
| `PRX_EMAIL_SMTP_OAUTH_TOKEN` | an access token for the default account (or the only one), unless it has a password |
| `PRX_EMAIL_SMTP_OAUTH_EXPIRES_AT` | when that token expires, in Unix seconds |
| `PRX_EMAIL_DEBUG` | `1` shows tracebacks, without secrets |
| `REQUESTS_CA_BUNDLE` | a PEM file of CAs for the authorization server, when it has a private one |
"""

TLS = """\
## TLS

Certificates are always verified: against the system's CAs and `tls_ca_file`, and against the host name.
`tls_fingerprint` accepts exactly one certificate instead, whoever signed it and whatever name is in it; together with
`tls_ca_file` both must hold. `openssl x509 -in server.pem -noout -fingerprint -sha256` prints a fingerprint; colons and
case do not matter.
`tls = "none"` is for this machine itself, unless `allow_plaintext = true`.

A client certificate (`tls_cert_file`, and `tls_key_file` where the key is not in it) is shown to servers that ask for
one. The key must be mode 0600 and not encrypted: nobody is there to type a passphrase.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, *(_section(path, table) for path, table in _tables("", Settings)), SECRETS, TLS]
    return "\n".join(part for part in parts if part)


def _tables(path: str, table: type[Table]) -> Iterator[tuple[str, type[Table]]]:
    """Every table of the file with its dotted name, in the order of their declaration."""
    yield path, table
    for name, declared in table.keys.items():
        kind = _kind(declared)
        if _is_free(kind):
            continue
        if get_origin(kind) is dict:
            yield from _tables(f"{name}.NAME", get_args(kind)[1])
        elif isinstance(kind, type) and issubclass(kind, Table):
            yield from _tables(f"{path}.{name}" if path else name, kind)


def _kind(declared: Key) -> Any:
    if isinstance(declared.kind, UnionType):
        return next(part for part in get_args(declared.kind) if part is not type(None))
    return declared.kind


def _section(path: str, table: type[Table]) -> str:
    plain = {name: declared for name, declared in table.keys.items() if not _is_table(_kind(declared))}
    if not plain:
        return ""
    rows = "\n".join(
        f"| `{name}` | {_type(declared)} | {_default(name, declared)} | {_meaning(declared)} |"
        for name, declared in plain.items()
    )
    title = f"`[{path}]`" if path else "At the top"
    return f"## {title}\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n{rows}\n"


def _is_free(kind: Any) -> bool:
    """Tell whether it is a table whose names are free and whose values are words."""
    return get_origin(kind) is dict and get_origin(get_args(kind)[1]) is tuple


def _is_table(kind: Any) -> bool:
    return (get_origin(kind) is dict and not _is_free(kind)) or (isinstance(kind, type) and issubclass(kind, Table))


def _type(declared: Key) -> str:
    kind = _kind(declared)
    if _is_free(kind):
        return "table"
    if get_origin(kind) is tuple:
        return "list of strings"
    return {str: "string", int: "number", bool: "true or false"}.get(kind, "path")


def _default(name: str, declared: Key) -> str:
    """Where it is a file, the place on Linux: the page must not depend on who writes it."""
    if name == "path":
        return "`~/.local/share/prx-email/outbox.db`"
    value = declared.default_value()
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{word}`" for word in value)
    return f"`{value}`" if not isinstance(value, str) else f'`"{value}"`'


def _meaning(declared: Key) -> str:
    text = declared.doc
    if declared.choices:
        text += "; one of " + ", ".join(f"`{choice}`" for choice in declared.choices)
    if declared.low is not None and declared.high is not None:
        text += f" ({declared.low:,} to {declared.high:,})"
    elif declared.low is not None:
        text += f" ({declared.low:,} or more)"
    return text


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
