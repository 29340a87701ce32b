"""The root command: global options, lazily loaded commands, and the one boundary where errors become exit statuses."""

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from prx_email_cli import __version__
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.decoding import refuse_undecodable
from prx_email_cli.cli.output import report_error, say
from prx_email_cli.errors import Exit, PrxEmailError

# Cron starts this program every minute: only the module of the command that runs is imported.
COMMANDS = {
    "demo": "demo",
    "init": "init",
    "account": "account",
    "send": "send",
    "reply": "reply",
    "import": "importing",
    "messages": "messages",
    "drain": "drain",
    "retry": "retry",
    "list": "look",
    "show": "look",
    "stats": "look",
    "hold": "manage",
    "release": "manage",
    "cancel": "manage",
    "resolve": "manage",
    "prune": "manage",
    "outbox": "outbox",
    "providers": "providers",
    "doctor": "doctor",
}


class _Boundary(TyperGroup):
    """Loads commands when they are named, and turns errors into messages and exit statuses."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        app = import_module(f"prx_email_cli.cli.{COMMANDS[cmd_name]}").apps[cmd_name]
        command = typer.main.get_command(app)
        command.name = cmd_name
        refuse_undecodable(command)
        return command

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PrxEmailError as error:
            if _debugging():
                _show_traceback(error)
            report_error(error, as_json=invocation(ctx).json)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # the reader of our output has gone; nothing is left to tell it
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at its end
            raise typer.Exit(Exit.OK) from None
        except (KeyboardInterrupt, typer.Abort):
            say("interrupted")
            raise typer.Exit(130) from None


def _debugging() -> bool:
    return os.environ.get("PRX_EMAIL_DEBUG") == "1"


def _show_traceback(error: BaseException) -> None:
    import traceback

    from prx_email_cli.cli.masking import masked

    sys.stderr.write(masked("".join(traceback.format_exception(error))))


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"prx-email {__version__}")
        raise typer.Exit()


app = typer.Typer(
    cls=_Boundary,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The config file; else $PRX_EMAIL_CONFIG, else the default one."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The outbox for machines that must send mail and must not lose or double it.

    Example: prx-email send --to ops@example.com --subject "Disk full" --body "See /var" && prx-email drain
    """
    ctx.obj = Invocation(config)


def main() -> None:
    """Run the command line; what nobody foresaw ends with status 70 and without a traceback, unless debugging."""
    try:
        app(prog_name="prx-email")
    except Exception as error:  # noqa: BLE001
        from prx_email_cli.cli.masking import masked

        if _debugging():
            _show_traceback(error)
        else:
            say(masked(f"error: this is a bug in prx-email: {type(error).__name__}: {error}"))
            say("hint: run it again with PRX_EMAIL_DEBUG=1 and report what it prints")
        sys.exit(Exit.BUG)
    finally:
        gc.freeze()  # nor need the interpreter look through them at its end
