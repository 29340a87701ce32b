"""``prx-email help``: print what a command does and takes, as its ``--help`` does."""

from typing import Annotated, Any

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put_json

app = typer.Typer(add_completion=False)


@app.command("help")
def help_of(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="Name of the command, such as account add.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the help of a command; without one, the list of all commands.

    Example: prx-email help send
    """
    root: Any = ctx.find_root().command
    if not invocation(ctx).json:
        root.main([*(words or ()), "--help"], prog_name="prx-email", standalone_mode=False)
        return
    command = _found(root, words or [])
    put_json({
        "command": " ".join(["prx-email", *(words or ())]),
        "help": command.help,
        "options": [{"names": list(one.opts), "help": one.help} for one in command.params if one.name != "help"],
        "subcommands": command.list_commands(None) if hasattr(command, "list_commands") else [],
    })  # fmt: skip


def _found(command: Any, words: list[str]) -> Any:
    """Find the command that *words* name below *command*.  Raises BadParameter."""
    for word in words:
        command = command.get_command(None, word) if hasattr(command, "get_command") else None
        if command is None:
            raise typer.BadParameter(f"there is no command {' '.join(words)!r}")
    return command


apps = {"help": app}
