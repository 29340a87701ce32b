"""``prx-email config``: check the config, and say where it is."""

from typing import TYPE_CHECKING

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json, say
from prx_email_cli.cli.render import safe
from prx_email_cli.config.source import variable_with_account

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def config() -> None:
    """Check the config, or print where it is.

    Example: prx-email config check
    """


@app.command()
def check(ctx: typer.Context, as_json: Json = False) -> None:
    """Check the config as every command does: its keys, accounts and permissions; no server is asked.

    The exit status is 0 if it is well, else 78 or 77.
    Example: prx-email config check
    """
    this = invocation(ctx)
    settings = this.settings()
    default = settings.default_account or (next(iter(settings.accounts)) if len(settings.accounts) == 1 else None)
    if this.json:
        put_json({"config": _shown(this, settings), "outbox": _outbox(settings),
                  "account_names": list(settings.accounts), "default_account": default})  # fmt: skip
        return
    names = (f"{name} (default)" if name == default else name for name in settings.accounts)
    put(f"{safe(_shown(this, settings))}: ok, accounts: {safe(', '.join(names))}")


def _outbox(settings: "Settings") -> str:
    outbox = settings.outbox
    return outbox.name if outbox.url is not None else str(outbox.path.absolute())


def _shown(this: Invocation, settings: "Settings") -> str:
    """Name the config file, or the variable that the settings come from."""
    return str(settings.file if this.without_file else settings.file.absolute())


@app.command()
def path(ctx: typer.Context, as_json: Json = False) -> None:
    """Print the path of the config, whether it exists or not.

    Example: prx-email config path
    """
    this = invocation(ctx)
    file = this.config_file.absolute()
    if this.without_file:
        say(f"note: there is no such file; the settings come from {variable_with_account()}")
    if this.json:
        put_json({"config": str(file), "exists": file.exists()})
    else:
        put(safe(file))


apps = {"config": app}
