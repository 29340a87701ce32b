"""The options that describe an account, for ``init`` and ``account add``, and the table they make."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from prx_email_cli.config.paths import absolute


def _option(name: str, help: str, metavar: str | None = None, **more: Any) -> Any:
    return Annotated[str | None, typer.Option(name, help=help, metavar=metavar, **more)]


def _words(name: str, help: str) -> Any:
    return Annotated[list[str] | None, typer.Option(name, help=help, metavar="WORD")]


_ONCE_FOR_EACH = "Repeat for each word; no shell."
OPTIONS: dict[str, Any] = {
    "provider": _option("--provider", "Fills server and limits: prx-email providers.", "NAME"),
    "host": _option("--host", "The server, when no provider fits."),
    "port": Annotated[int | None, typer.Option("--port", min=1, max=65535)],
    "tls": _option("--tls", "By default from the port.", "implicit|starttls|none"),
    "tls_ca_file": _option("--tls-ca-file", "A private CA to trust.", "FILE"),
    "user": _option("--user", "Login name, usually your address."),
    "sender": _option("--from", "From, when it is not --user.", "ADDRESS"),
    "password_env": _option("--password-env", "The variable that holds the password.", "VARIABLE"),
    "password_file": _option("--password-file", "The file whose first line it is.", "FILE"),
    "password_command": _words("--password-command", f"The command that prints it. {_ONCE_FOR_EACH}"),
    "keyring": Annotated[bool, typer.Option("--keyring", help="It lies in the system's keyring.")],
    "oauth_token_env": _option("--oauth-token-env", "The variable that holds an access token.", "VARIABLE"),
    "oauth_token_command": _words("--oauth-token-command", f"The command that prints one. {_ONCE_FOR_EACH}"),
    "oauth_client_id": _option("--oauth-client-id", "Log in with OAuth, as this registered application.", "ID"),
    "oauth_client_secret_env": _option("--oauth-client-secret-env", "The variable with its secret.", "VARIABLE"),
    "oauth_client_secret_file": _option("--oauth-client-secret-file", "The file with its secret.", "FILE"),
    "oauth_tenant": _option("--oauth-tenant", "Microsoft's directory, when not common.", "TENANT"),
}
_SMTP = ("host", "port", "tls", "tls_ca_file", "user")
_OAUTH = {
    "oauth_client_id": "client_id",
    "oauth_client_secret_env": "client_secret_env",
    "oauth_client_secret_file": "client_secret_file",
    "oauth_tenant": "tenant",
    "client_secret": "client_secret",
}
_FILES = ("tls_ca_file", "password_file", "oauth_client_secret_file")
_SECRETS = ("password", "client_secret")  # of the dialogue only: an option would show them to everybody's ps


def with_account_options(command: Callable[..., None]) -> Callable[..., None]:
    """*command* with the options of an account before its own last one, ``--json``.

    It has their values in ``ctx.params`` and takes them as keywords that it need not name twice.
    """
    signature = inspect.signature(command)
    own = [part for part in signature.parameters.values() if part.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=False if name == "keyring" else None, annotation=kind
        )
        for name, kind in OPTIONS.items()
    ]
    parameters = [part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in own]
    whole: Any = command
    whole.__signature__ = signature.replace(parameters=[*parameters[:-1], *options, parameters[-1]])
    whole.__annotations__ = {**command.__annotations__, **OPTIONS}
    return command


def account_table(values: dict[str, Any]) -> dict[str, Any]:
    """``[accounts.NAME]`` as the options and the dialogue say; what neither says is not in it."""
    values = {**values, **{name: str(absolute(values[name])) for name in _FILES if values.get(name)}}
    given = {name: values[name] for name in (*OPTIONS, *_SECRETS) if values.get(name) not in (None, False, ())}
    auth = {name: given[name] for name in given if name not in (*_SMTP, *_OAUTH, "provider", "sender")}
    oauth = {_OAUTH[name]: value for name, value in given.items() if name in _OAUTH}
    if oauth:
        auth["oauth"] = oauth
    smtp: dict[str, Any] = {name: given[name] for name in _SMTP if name in given}
    if auth:
        smtp["auth"] = {key: list(value) if isinstance(value, tuple) else value for key, value in auth.items()}
    table: dict[str, Any] = {"provider": given["provider"]} if "provider" in given else {}
    if "sender" in given:
        table["from"] = given["sender"]
    return {**table, "smtp": smtp}
