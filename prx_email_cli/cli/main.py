"""Define the root command: global options, commands loaded when named, errors as exit statuses."""

import gc
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from prx_email_cli import __version__
from prx_email_cli.cli import interrupts, output
from prx_email_cli.cli.arguments import arranged, command_named, json_asked, refuse_undecodable, show_metavars_alone
from prx_email_cli.cli.context import begun, invocation
from prx_email_cli.cli.outlet import take_over
from prx_email_cli.cli.output import put_json, report_error, say
from prx_email_cli.cli.render import error_object, masked, safe, safe_lines
from prx_email_cli.errors import Exit, PrxEmailError, ValidationError

# Cron starts this program every minute: only the module of the command that runs is imported.
COMMANDS = {
    "demo": "demo",
    "init": "init",
    "account": "account",
    "config": "config",
    "cron": "cron",
    "install-system": "install_system",
    "send": "send",
    "reply": "reply",
    "sendmail": "sendmail",
    "import": "importing",
    "messages": "messages",
    "run": "run",
    "drain": "drain",
    "listen": "listen",
    "retry": "retry",
    "list": "list",
    "show": "show",
    "status": "status",
    "log": "log",
    "top": "top",
    "export": "export",
    "stats": "stats",
    "hold": "manage",
    "release": "manage",
    "cancel": "manage",
    "resolve": "manage",
    "dismiss": "manage",
    "edit": "edit",
    "pause": "pausing",
    "resume": "pausing",
    "prune": "prune",
    "outbox": "outbox",
    "providers": "providers",
    "doctor": "doctor",
    "check": "check",
    "help": "help",
    "completion": "completion",
}
# What people type for a command that is called otherwise, and that no likeness of letters leads to.
_MEANT = {
    "version": "--version", "ls": "list", "queue": "list", "mailq": "list", "flush": "drain", "deliver": "drain",
    "enqueue": "send", "rm": "cancel", "delete": "cancel", "login": "account login", "add": "account add",
    "test": "account test", "setup": "init",
}  # fmt: skip
INTERRUPTED = 130
_COMPLETED_BY = "_PRX_EMAIL_COMPLETE"  # set by the scripts of cli.completion
_CANNOT_TELL = 3  # of check, whose answer could not be written


class _Boundary(TyperGroup):
    """Loads a command when it is named, and turns errors into messages and exit statuses."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        app = import_module(f"prx_email_cli.cli.{COMMANDS[cmd_name]}").apps[cmd_name]
        command = typer.main.get_command(app)
        command.name = cmd_name
        refuse_undecodable(command)
        show_metavars_alone(command)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            meant = _meant(args[0]) if args else None
            if meant is not None and hasattr(error, "message"):
                error.message = f"{error.message.rstrip('.')}. Did you mean '{meant}'?"
            raise

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with _usage_errors():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _usage_errors():
                return super().invoke(ctx)
        except PrxEmailError as error:
            if _debugging():
                _show_traceback(error)
            if _is_check():
                raise typer.Exit(
                    _unknown(error.message, error.hint, error.code, as_json=invocation(ctx).json)
                ) from None
            report_error(error, as_json=invocation(ctx).json)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError as error:  # typer would end silently; ours never raise it
            raise RuntimeError(f"BrokenPipeError: {error}") from error
        except KeyboardInterrupt:
            raise typer.Exit(interrupts.status() or INTERRUPTED) from None
        except typer.Abort:  # Ctrl-C or Ctrl-D at a question
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None


def _meant(word: str) -> str | None:
    """Guess which command was meant by *word*; None without a guess."""
    from difflib import get_close_matches  # on use

    word = word.lower()
    return _MEANT.get(word) or next(iter(get_close_matches(word, COMMANDS, n=1)), None)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Print typer's errors as JSON if asked for; else escape the arguments that they repeat."""
    try:
        yield
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        path = getattr(getattr(error, "ctx", None), "command_path", "prx-email")
        hint = f"{path} --help says what it takes"
        if _is_check():
            raise typer.Exit(_unknown(message(), hint, ValidationError.code, as_json=_json_asked())) from None
        if _json_asked():
            put_json(None, error_object(ValidationError.code, message(), hint))
            raise typer.Exit(Exit.USAGE) from None
        error.format_message = partial(safe_lines, message())  # type: ignore[attr-defined]
        raise


def _json_asked() -> bool:
    return json_asked(typer.main.get_command(app), sys.argv[1:])


def _is_check() -> bool:
    """Tell whether ``check`` is asked, whose statuses are those of monitoring plugins."""
    arguments = sys.argv[1:]
    return "check" in arguments and command_named(typer.main.get_command(app), arguments) == "check"


def _unknown(message: str, hint: str, code: str, *, as_json: bool) -> int:
    """Answer as ``check`` that nothing is known; return the status that says so."""
    from prx_email_cli.checks.backlog import State  # on use
    from prx_email_cli.cli.check import tell_unknown  # on use

    tell_unknown(message, hint, code=code, as_json=as_json)
    return State.UNKNOWN


def _debugging() -> bool:
    return os.environ.get("PRX_EMAIL_DEBUG") == "1"


def _show_traceback(error: BaseException) -> None:
    say(masked("".join(traceback.format_exception(error))).rstrip("\n"))


def _show_version(ctx: typer.Context, value: bool) -> None:  # noqa: FBT001 - as typer calls it
    if value and not ctx.resilient_parsing:  # as a shell is that completes
        typer.echo(f"prx-email {__version__}")
        raise typer.Exit()


app = typer.Typer(
    cls=_Boundary,
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Config file; by default $PRX_EMAIL_CONFIG, else prx-email/config.toml in your config directory, else "
            "/etc/prx-email/config.toml if you may read it.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The outbox for machines that must send mail and must not lose or double it.

    Example: prx-email send --to ops@example.com --subject "Disk full" --body "See /var" && prx-email drain
    """
    this = begun(ctx, config)
    if ctx.invoked_subcommand is not None:
        return
    if not (this.without_file or this.config_file.exists()):
        typer.echo(ctx.get_help())
        raise typer.Exit(Exit.USAGE)
    from prx_email_cli.cli.status import show_status  # on use

    show_status(this, None)


def main() -> None:
    """Run the command line; an unforeseen error ends it with status 70, and a traceback when debugging."""
    interrupts.watch()
    take_over()
    status = int(_run())
    ended = output.finish(status)
    interrupts.die_if_asked()
    sys.exit(ended if ended == status or not _is_check() else _CANNOT_TELL)


def _run() -> int:
    """Run the command, print its errors, and give the exit status."""
    status: Any = INTERRUPTED
    try:
        with interrupts.unwinding():
            if _COMPLETED_BY in os.environ:
                from prx_email_cli.cli.completing import complete  # on use

                return complete(app, os.environ[_COMPLETED_BY])
            app(_arguments(), prog_name="prx-email")
    except KeyboardInterrupt:
        pass
    except SystemExit as ended:
        status = ended.code or Exit.OK
    except Exception as error:  # noqa: BLE001
        status = _tell_bug(error)
    finally:
        gc.freeze()  # the interpreter need not look through all objects at its end
    return interrupts.status() or int(status)


def _arguments() -> list[str]:
    """Give the command line as typer can read it: see ``arranged``."""
    arguments = sys.argv[1:]
    if "sendmail" in arguments and command_named(typer.main.get_command(app), arguments) == "sendmail":
        return arguments  # its flags are none of these
    plain = "--json" not in arguments and "--preview" not in arguments
    if plain and not any(word.startswith("--config") for word in arguments[1:]):
        return arguments  # as cron's, which need not know any command's options yet
    return arranged(typer.main.get_command(app), arguments)


def _tell_bug(error: Exception) -> int:
    """Report an unforeseen error, and return the exit status."""
    if _debugging():
        _show_traceback(error)
    message = f"this is a bug in prx-email: {masked(f'{type(error).__name__}: {error}')}"
    hint = "run it again with PRX_EMAIL_DEBUG=1 and report what it prints"
    as_json = "--json" in sys.argv and _json_asked()
    if _is_check():
        return _unknown(message, hint, PrxEmailError.code, as_json=as_json)
    if as_json:
        put_json(None, error_object(PrxEmailError.code, message, hint))
    elif not _debugging():
        say(f"error: {safe(message)}")
        say(f"hint: {hint}")
    return Exit.BUG
