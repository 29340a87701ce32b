"""``prx-email cron``: print the line of a crontab that drains the outbox every minute."""

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json, say
from prx_email_cli.cli.render import safe
from prx_email_cli.config.source import ENV_FROM, ENV_OUTBOX, variable_with_account

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Account

app = typer.Typer(add_completion=False)
_EVERY_MINUTE = "* * * * *"
_MOVES_FILES = ("XDG_DATA_HOME", "XDG_STATE_HOME")  # where the outbox and tokens are; cron has no such variables


@app.command()
def cron(ctx: typer.Context, as_json: Json = False) -> None:
    """Print the line of a crontab that drains the outbox every minute, with absolute paths.

    cron knows neither your PATH nor your variables.
    Example: (crontab -l; prx-email cron) | crontab -
    """
    this = invocation(ctx)
    settings = this.settings()
    if this.json:
        put_json({"crontab_line": crontab_line(this), "variables": needed_variables(settings.accounts.values())})
        return
    put(safe(crontab_line(this)))
    say_variables(settings.accounts.values())


def say_variables(accounts: Iterable["Account"]) -> None:
    """Say which variables of *accounts*' secrets the crontab must set."""
    for name in needed_variables(accounts):
        say(f"note: cron does not know your variable {safe(name)}: set it in the crontab, above that line")


def crontab_line(this: Invocation) -> str:
    """Return the line of a crontab that drains the outbox of this invocation's config."""
    config = [] if this.without_file else ["--config", str(this.config_file.absolute())]
    words = [*_program(), *config, "drain"]
    moved = [f"{name}={shlex.quote(os.environ[name])}" for name in _MOVES_FILES if os.environ.get(name)]
    command = " ".join([*moved, shlex.join(words)])
    return f"{_EVERY_MINUTE} {command}".replace("%", "\\%")  # cron takes a bare % for the end of the line


def needed_variables(accounts: Iterable["Account"]) -> list[str]:
    """Name the variables that the secrets of *accounts* come from."""
    found = [name for name in (variable_with_account(), ENV_OUTBOX, ENV_FROM) if name and os.environ.get(name)]
    for account in accounts:
        auth = account.smtp.auth
        secret = auth.oauth.client_secret_env if auth.oauth is not None else None
        found += [name for name in (auth.password_env, auth.oauth_token_env, secret) if name is not None]
    return list(dict.fromkeys(found))


def _program() -> list[str]:
    """Return the words that start this program from any directory, without a PATH."""
    script = Path(sys.argv[0])
    if script.name == "prx-email" and script.is_file():
        return [str(script.absolute())]  # a link stays: what it leads to may move with an update
    return [sys.executable, "-m", "prx_email_cli"]


apps = {"cron": app}
