"""``prx-email init``: write a first config."""

import secrets
import sys
from typing import Annotated, Any

import typer

from prx_email_cli.cli.context import invocation, on_terminal
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put_json, say
from prx_email_cli.config.providers import PROVIDERS
from prx_email_cli.config.settings import check_settings
from prx_email_cli.config.writer import write_new_config

app = typer.Typer(add_completion=False)


@app.command()
def init(
    ctx: typer.Context,
    account: Annotated[str, typer.Option("--account", metavar="NAME", help="Name of the account.")] = "default",
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help=f"One of {', '.join(PROVIDERS)}.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="The server, when no provider fits.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535)] = None,
    tls: Annotated[str | None, typer.Option("--tls", metavar="implicit|starttls|none")] = None,
    ca_file: Annotated[str | None, typer.Option("--tls-ca-file", metavar="FILE", help="A private CA to trust.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Login name, usually your address.")] = None,
    sender: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="From, when it is not --user.")
    ] = None,
    outbox: Annotated[str | None, typer.Option("--outbox", metavar="FILE", help="Where the outbox shall lie.")] = None,
    password_env: Annotated[str | None, typer.Option("--password-env", metavar="VARIABLE")] = None,
    password_file: Annotated[str | None, typer.Option("--password-file", metavar="FILE")] = None,
    password_command: Annotated[
        list[str] | None, typer.Option("--password-command", metavar="WORD", help="Repeat for each word; no shell.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a first config, mode 0600, never over an existing one.  Asks on a terminal for what no option says.

    Example: prx-email init --provider fastmail --user me@example.com --password-env MAIL_PASSWORD
    """
    this = invocation(ctx)
    auth = _given(password_env=password_env, password_file=password_file, password_command=password_command)
    smtp = _given(host=host, port=port, tls=tls, tls_ca_file=ca_file, user=user)
    if on_terminal(sys.stdin) and on_terminal(sys.stderr) and not this.json:
        provider = _ask_missing(provider, smtp, auth)
    if provider is None and "host" not in smtp:
        raise typer.BadParameter("give --provider or --host (nobody is at the terminal to be asked)")
    if auth:
        smtp["auth"] = auth
    settings = _given(provider=provider)
    if sender is not None:
        settings["from"] = sender
    document = {
        "default_account": account,
        "outbox": _given(path=outbox, message_id_domain=f"{secrets.token_hex(4)}.prx-email.local"),
        "accounts": {account: {**settings, "smtp": smtp}},
    }
    file = this.config_file
    check_settings(document, file)
    write_new_config(file, document)
    if this.json:
        put_json({"config": str(file), "account": account})
    else:
        say(f"wrote {file}")
        say("next: prx-email account test")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _ask_missing(provider: str | None, smtp: dict[str, Any], auth: dict[str, Any]) -> str | None:
    """Ask a person for what no option said; the answers go into *smtp* and *auth*, the provider comes back."""
    if provider is None and "host" not in smtp:
        answer = typer.prompt(f"Provider ({', '.join(PROVIDERS)}) or host name of your server", err=True)
        provider = answer if answer in PROVIDERS else None
        if provider is None:
            smtp["host"] = answer
    if "user" not in smtp:
        smtp["user"] = typer.prompt("Login name (usually your address)", err=True)
    if not auth:
        password = typer.prompt(
            "Password (app password; empty: none)", hide_input=True, default="", show_default=False, err=True
        )
        if password:
            auth["password"] = password
    return provider


apps = {"init": app}
