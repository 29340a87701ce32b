"""What stands on the command line, read before or without typer: whether an answer in JSON was asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

JSON = "--json"


def hoisted(command: Any, arguments: Sequence[str]) -> list[str]:
    """*arguments* with a ``--json`` that stands before the command's name, or a group's, put behind it."""
    early = [at for at, _, options in _words(command, arguments) if options and arguments[at] == JSON]
    if not early:
        return list(arguments)
    last = max((at for at, _, options in _words(command, arguments) if not options), default=None)
    if last is None or last < early[0]:
        return list(arguments)
    kept = [word for at, word in enumerate(arguments) if at not in early or at > last]
    return [*kept[: last + 1 - len(early)], JSON, *kept[last + 1 - len(early) :]]


def json_asked(command: Any, arguments: Sequence[str]) -> bool:
    """Whether ``--json`` stands among *arguments* as an option: not as the value of one, nor after ``--``."""
    return any(options and arguments[at] == JSON for at, _, options in _words(command, arguments))


def _words(command: Any, arguments: Sequence[str]) -> Iterator[tuple[int, Any, bool]]:
    """Position of each option and of each command's name, the command it belongs to, and whether it is an option."""
    at = 0
    while at < len(arguments) and arguments[at] != "--":
        word = arguments[at]
        if word.startswith("-") and word != "-":
            yield at, command, True
            at += 1 + (word in _with_values(command))
            continue
        inner = command.get_command(None, word) if hasattr(command, "get_command") else None
        if inner is not None:
            yield at, command, False
            command = inner
        at += 1


def _with_values(command: Any) -> set[str]:
    """The options of *command* that take the next word."""
    options = [one for one in command.params if one.param_type_name == "option" and not one.is_flag]
    return {name for option in options for name in option.opts}
