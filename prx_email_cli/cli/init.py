"""``prx-email init``: write a first config."""

import secrets
from typing import Annotated

import typer

from prx_email_cli.cli.account_options import AccountOptions, with_account_options
from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.inputs import password_on_command_line
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.setup import Tables, set_up
from prx_email_cli.config.edit import refuse_existing, write_new_config
from prx_email_cli.config.outbox import holds_secret, keys_naming
from prx_email_cli.config.paths import default_outbox_file

app = typer.Typer(add_completion=False)


@app.command()
@with_account_options
def init(
    ctx: typer.Context,
    account: Annotated[str, typer.Option("--account", metavar="NAME", help="Name of the account.")] = "default",
    outbox: Annotated[
        str | None,
        typer.Option(
            "--outbox", metavar="FILE|URL", help="Outbox file, by default in your data directory; or database."
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Try the account at the end; a dialogue always does.")] = False,
    options: AccountOptions = AccountOptions(),  # noqa: B008 - it does not change
    as_json: Json = False,
) -> None:
    """Write a first config, mode 0600.  On a terminal, ask for what no option gives.

    Example: prx-email init --provider fastmail --user me@example.com --password-env MAIL_PASSWORD
    """
    this = invocation(ctx)
    refuse_existing(this.config_file)
    place = _place(outbox)

    def write(table: Tables) -> None:
        domain = {"message_id_domain": f"{secrets.token_hex(4)}.prx-email.local"}
        document = {"default_account": account, "outbox": {**place, **domain}, "accounts": {account: table}}
        write_new_config(this.config_file, document)

    set_up(this, account, options, write, test=test)


def _place(outbox: str | None) -> dict[str, str]:
    """Return the keys that name the outbox."""
    if outbox is None:
        default_outbox_file()  # raises where there is no home directory for it
        return {}
    named = keys_naming(outbox, "--outbox")
    if "url" in named and holds_secret(outbox):
        raise password_on_command_line("name the URL without it, and then a password_file in [outbox] of the config")
    return named


apps = {"init": app}
