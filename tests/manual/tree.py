"""Walks the commands of the program as typer knows them."""

from functools import cache
from typing import Any

import typer

from prx_email_cli.cli.main import app


@cache
def commands() -> dict[str, Any]:
    """Every command and group by its words on the command line, "" for the root."""
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop(0)
        found[words] = command
        waiting += [(f"{words} {name}".strip(), inner) for name, inner in inside(command).items()]
    return found


def inside(command: Any) -> dict[str, Any]:
    """The commands of a group by their names, in its order; none of another command."""
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    return {name: command.get_command(None, name) for name in names}


def context(words: str, command: Any) -> Any:
    """The context in which typer shows a command's help."""
    return command.context_class(command, info_name=f"prx-email {words}".strip(), help_option_names=["-h", "--help"])


def parameters(words: str, command: Any, kind: str) -> list[Any]:
    """The parameters of a command that are a "option" or an "argument", ``--help`` last."""
    every = command.get_params(context(words, command))
    return [one for one in every if one.param_type_name == kind and not one.hidden]
