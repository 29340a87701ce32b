"""``prx-email account``: list and show accounts; the other commands have modules of their own."""

from typing import TYPE_CHECKING, Any

import typer

from prx_email_cli.cli.account_add import add
from prx_email_cli.cli.account_edit import default, remove
from prx_email_cli.cli.account_login import login, logout, set_password
from prx_email_cli.cli.account_test import test
from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, Name
from prx_email_cli.cli.output import put, put_json
from prx_email_cli.cli.render import safe

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Account

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, show, try, add, remove and log in to accounts.\n\nExample: prx-email account test work",
)


@app.command("list")
def list_accounts(ctx: typer.Context, as_json: Json = False) -> None:
    """List the accounts of the config.

    Example: prx-email account list
    """
    this = invocation(ctx)
    settings = this.settings()
    if this.json:
        put_json([_public(account) for account in settings.accounts.values()])
        return
    for account in settings.accounts.values():
        put(f"{safe(account.name)}\t{safe(account.sender)}\t{safe(account.host)}:{account.port}\t{account.smtp.tls}")


@app.command()
def show(ctx: typer.Context, name: Name = None, as_json: Json = False) -> None:
    """Show one account, completed by its provider and the defaults, without its secret.

    Example: prx-email account show work
    """
    this = invocation(ctx)
    account = this.settings().account(name)
    if this.json:
        put_json(_public(account))
        return
    for key, value in _public(account).items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        put(f"{key:<24}{'-' if value is None else safe(shown)}")


app.command()(test)
app.command()(add)
app.command()(remove)
app.command()(default)
app.command()(login)
app.command()(logout)
app.command("set-password")(set_password)


def _public(account: "Account") -> dict[str, Any]:
    """Make the JSON object of an account, which names only the source of its secret."""
    smtp = account.smtp
    return {
        "name": account.name,
        "from": account.sender,
        "provider": account.provider,
        "host": account.host,
        "port": account.port,
        "tls": smtp.tls,
        "user": smtp.user,
        "auth": smtp.auth.kinds[0] if smtp.auth.kinds else None,
        "oauth": _public_oauth(account),
        "tls_ca_file": _text(smtp.tls_ca_file),
        "tls_fingerprint": smtp.tls_fingerprint,
        "tls_cert_file": _text(smtp.tls_cert_file),
        "helo_name": smtp.helo_name,
        "source_address": smtp.source_address,
        "connections": account.connections,
        "messages_per_minute": smtp.messages_per_minute,
        "messages_per_day": smtp.messages_per_day,
        "recipients_per_day": smtp.recipients_per_day,
        "timeout_seconds": smtp.timeout_seconds,
        "data_timeout_seconds": smtp.data_timeout_seconds,
    }


def _public_oauth(account: "Account") -> dict[str, Any] | None:
    oauth = account.smtp.auth.oauth
    if oauth is None:
        return None
    return {name: getattr(oauth, name) for name in ("preset", "grant", "client_id", "scope", "token_url")}


def _text(path: Any) -> str | None:
    return str(path) if path is not None else None


apps = {"account": app}
