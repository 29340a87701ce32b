"""The options that describe an account, for ``init`` and ``account add``, and the config table they make."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, get_type_hints

import typer

from prx_email_cli.config.paths import absolute

_NO_SHELL = "Repeat it for each word; no shell."


def _check_port(value: int | None) -> int | None:
    """Check a TCP port; help would show limits of the option itself, and 80 columns have no room for them."""
    if value is not None and not 1 <= value <= 65535:
        raise typer.BadParameter(f"{value} is not in the range 1<=x<=65535.")
    return value


def host_and_port(text: str) -> tuple[str, int | None]:
    """Split ``host:port`` or ``[address]:port``; the port is None where there is none, as in an IPv6 address alone."""
    found = re.fullmatch(r"([^:\[\]]+):([0-9]{1,5})|\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?", text)
    if found is None:
        return text, None
    port = found[2] or found[4]
    return found[1] or found[3], int(port) if port else None


class AccountOptions(NamedTuple):
    """The options of an account as typed; None where one is not given.

    The password and the client secret come from the dialogue alone: an option would show them in ``ps``.
    """

    provider: Annotated[
        str | None,
        typer.Option(
            "--provider", metavar="NAME", help="Fill in server and limits; prx-email providers lists the names."
        ),
    ] = None
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST[:PORT]", help="Connect to this server; by default the provider's."),
    ] = None
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="N", callback=_check_port, help="TCP port; by default the provider's, or by --tls."
        ),
    ] = None
    tls: Annotated[
        str | None,
        typer.Option("--tls", metavar="MODE", help="One of implicit, starttls and none; by default from the port."),
    ] = None
    tls_ca_file: Annotated[
        str | None, typer.Option("--tls-ca-file", metavar="FILE", help="PEM file of private CAs to trust as well.")
    ] = None
    user: Annotated[str | None, typer.Option("--user", metavar="LOGIN", help="Login name, usually your address.")] = (
        None
    )
    sender: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="From of its messages; by default --user.")
    ] = None
    password_env: Annotated[
        str | None,
        typer.Option("--password-env", metavar="VARIABLE", help="Environment variable with the password."),
    ] = None
    password_file: Annotated[
        str | None,
        typer.Option("--password-file", metavar="FILE", help="File whose first line is the password."),
    ] = None
    password_command: Annotated[
        list[str] | None,
        typer.Option("--password-command", metavar="WORD", help=f"Command that prints the password. {_NO_SHELL}"),
    ] = None
    keyring: Annotated[bool, typer.Option("--keyring", help="Take the password from the system's keyring.")] = False
    oauth_token_env: Annotated[
        str | None,
        typer.Option("--oauth-token-env", metavar="VARIABLE", help="Environment variable with an access token."),
    ] = None
    oauth_token_command: Annotated[
        list[str] | None,
        typer.Option("--oauth-token-command", metavar="WORD", help=f"Command that prints an access token. {_NO_SHELL}"),
    ] = None
    oauth_client_id: Annotated[
        str | None,
        typer.Option("--oauth-client-id", metavar="ID", help="Log in with OAuth, as this registered application."),
    ] = None
    oauth_client_secret_env: Annotated[
        str | None,
        typer.Option(
            "--oauth-client-secret-env", metavar="VARIABLE", help="Environment variable with the application's secret."
        ),
    ] = None
    oauth_client_secret_file: Annotated[
        str | None,
        typer.Option(
            "--oauth-client-secret-file", metavar="FILE", help="File whose first line is the application's secret."
        ),
    ] = None
    oauth_tenant: Annotated[
        str | None, typer.Option("--oauth-tenant", metavar="TENANT", help="Directory at Microsoft; by default common.")
    ] = None
    password: str | None = None
    client_secret: str | None = None

    def with_port_of_host(self) -> "AccountOptions":
        """Take the port from ``--host HOST:PORT``.  Raises BadParameter for none, or another one in ``--port``."""
        host, port = host_and_port(self.host or "")
        if port is None:
            return self._replace(host=host) if host else self
        if self.port not in (None, port):
            raise typer.BadParameter(f"--host has port {port}, and --port {self.port}")
        return self._replace(host=host, port=_check_port(port))

    @property
    def has_login(self) -> bool:
        """Tell whether a source of a password or token is named."""
        return any(getattr(self, name) for name in (*_AUTH, "oauth_client_id"))

    def table(self) -> dict[str, Any]:
        """Make ``[accounts.NAME]``; an option that is not given is not in it.  Raises ConfigError for a path."""
        smtp: dict[str, Any] = self._given({name: name for name in _SMTP})
        auth: dict[str, Any] = self._given({name: name for name in _AUTH})
        oauth = self._given(_OAUTH)
        if oauth:
            auth["oauth"] = oauth
        if auth:
            smtp["auth"] = auth
        return {**self._given({"provider": "provider", "sender": "from"}), "smtp": smtp}

    def _given(self, keys: dict[str, str]) -> dict[str, Any]:
        """Map the options that are given to their *keys* in the config."""
        values = ((name, key, getattr(self, name)) for name, key in keys.items())
        return {
            key: str(absolute(value)) if name in _FILES else list(value) if name in _LISTS else value
            for name, key, value in values
            if value not in (None, False, (), [])
        }


_SMTP = ("host", "port", "tls", "tls_ca_file", "user")
_AUTH = ("password", "password_env", "password_file", "password_command", "keyring", "oauth_token_env",
         "oauth_token_command")  # fmt: skip
_OAUTH = {
    "oauth_client_id": "client_id",
    "oauth_client_secret_env": "client_secret_env",
    "oauth_client_secret_file": "client_secret_file",
    "oauth_tenant": "tenant",
    "client_secret": "client_secret",
}
_FILES = ("tls_ca_file", "password_file", "oauth_client_secret_file")
_LISTS = ("password_command", "oauth_token_command")
_TYPED_IN_THE_DIALOGUE = ("password", "client_secret")


def option_types() -> dict[str, Any]:
    """Give the annotated type of each option, by its name."""
    hints = get_type_hints(AccountOptions, include_extras=True)
    return {name: kind for name, kind in hints.items() if name not in _TYPED_IN_THE_DIALOGUE}


def with_account_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``options`` of *command* by the options of an account."""
    signature = inspect.signature(command)
    types = option_types()

    def collected(**values: Any) -> None:
        options = AccountOptions(**{name: values.pop(name) for name in types}).with_port_of_host()
        command(**values, options=options)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name != "options":
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        defaults = AccountOptions._field_defaults
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind)
            for name, kind in types.items()
        ]
    whole: Any = collected
    whole.__name__, whole.__doc__ = command.__name__, command.__doc__
    whole.__signature__ = signature.replace(parameters=parameters)
    whole.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return collected
