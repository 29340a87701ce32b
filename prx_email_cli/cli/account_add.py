"""``prx-email account add``: add an account to an existing config."""

from typing import Annotated

import typer

from prx_email_cli.cli.account_options import AccountOptions, with_account_options
from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.cli.setup import Tables, set_up
from prx_email_cli.config.edit import add_account, refuse_known


@with_account_options
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new account.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the account of that name; the old file is kept as a backup.")
    ] = False,
    test: Annotated[bool, typer.Option("--test", help="Try the account at the end; a dialogue always does.")] = False,
    options: AccountOptions = AccountOptions(),  # noqa: B008 - it does not change
    as_json: Json = False,
) -> None:
    """Add an account to the config; every other line stays.  On a terminal, ask for what no option gives.

    Example: prx-email account add alerts --provider gmail --user me@gmail.com --password-env GMAIL_APP_PASSWORD
    """
    this = invocation(ctx)
    if not replace:
        refuse_known(this.config_file, name)

    def write(table: Tables) -> None:
        added = add_account(this.config_file, name, table, replace=replace)
        if added.default_account is not None:
            say(f"default_account is {safe(added.default_account)}, which was the only account before")
        if added.backup is not None:
            say(f"the old config is kept as {safe(added.backup)}")

    set_up(this, name, options, write, test=test)
