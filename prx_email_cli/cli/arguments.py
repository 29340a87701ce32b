"""Read the command line as typed: ``--json`` and ``--config`` anywhere in it, and arguments that are not text."""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

JSON, CONFIG, PREVIEW, FIRST = "--json", "--config", "--preview", "--first"
# These name files, which may be any bytes; every other value is stored, sent or written into a config.
_NAMES_OF_FILES = (
    "attach", "attach_stored", "batch", "body_file", "command", "files", "html", "maildir", "merge", "parent",
    "rejected", "request",
)  # fmt: skip


def arranged(command: Any, arguments: Sequence[str]) -> list[str]:
    """Move ``--config`` before the name of the command, and ``--json`` behind the last name.

    ``--preview 3`` becomes ``--preview --first 3``.
    """
    if any(word == CONFIG or word.startswith(f"{CONFIG}=") for word in arguments):
        arguments = _with_config_first(command, arguments)
    if PREVIEW in arguments:
        arguments = _with_first(command, arguments)
    return hoisted(command, arguments) if JSON in arguments else list(arguments)


def _with_first(command: Any, arguments: Sequence[str]) -> list[str]:
    """Put ``--first`` between each ``--preview`` and a number."""
    previews = {at for at, _, options in _words(command, arguments) if options and arguments[at] == PREVIEW}
    words: list[str] = []
    for at, word in enumerate(arguments):
        words += [FIRST, word] if at - 1 in previews and word.isdecimal() else [word]
    return words


def _with_config_first(command: Any, arguments: Sequence[str]) -> list[str]:
    """Move each ``--config FILE`` behind the name of a command before that name; the last one counts."""
    words = [(at, options) for at, _, options in _words(command, arguments)]
    first = next((at for at, options in words if not options), len(arguments))
    moved: list[int] = []
    for at, options in words:
        if options and at > first and (arguments[at] == CONFIG or arguments[at].startswith(f"{CONFIG}=")):
            moved += [at, at + 1] if arguments[at] == CONFIG else [at]
    if len(arguments) in moved:  # the last one has no value, which the root command says
        return [CONFIG]
    rest = [word for at, word in enumerate(arguments) if at >= first and at not in moved]
    return [*arguments[:first], *(arguments[at] for at in moved), *rest]


def hoisted(command: Any, arguments: Sequence[str]) -> list[str]:
    """Move each ``--json`` before the name of a command or group behind the last name."""
    early = [at for at, _, options in _words(command, arguments) if options and arguments[at] == JSON]
    if not early:
        return list(arguments)
    last = max((at for at, _, options in _words(command, arguments) if not options), default=None)
    if last is None or last < early[0]:
        return list(arguments)
    kept = [word for at, word in enumerate(arguments) if at not in early or at > last]
    return [*kept[: last + 1 - len(early)], JSON, *kept[last + 1 - len(early) :]]


def json_asked(command: Any, arguments: Sequence[str]) -> bool:
    """Tell whether ``--json`` is given as an option.

    It is none as the value of another option, nor after ``--``.
    """
    return any(options and arguments[at] == JSON for at, _, options in _words(command, arguments))


def command_named(command: Any, arguments: Sequence[str]) -> str | None:
    """Return the name of the command of *command* that is called, whatever else is wrong; None without one."""
    return next((arguments[at] for at, _, options in _words(command, arguments) if not options), None)


def _words(command: Any, arguments: Sequence[str]) -> Iterator[tuple[int, Any, bool]]:
    """Yield the position of each option and command name in *arguments*.

    With it come the command that it belongs to, and whether it is an option.
    """
    at = 0
    while at < len(arguments) and arguments[at] != "--":
        word = arguments[at]
        if word.startswith("-") and word != "-":
            yield at, command, True
            at += 1 + (word == CONFIG or word in _with_values(command))
            continue
        inner = command.get_command(None, word) if hasattr(command, "get_command") else None
        if inner is not None:
            yield at, command, False
            command = inner
        elif not hasattr(command, "get_command") and not command.context_settings.get("allow_interspersed_args", True):
            return  # what follows belongs to the job that it runs
        at += 1


def _with_values(command: Any) -> set[str]:
    """Name the options of *command* whose value is the next word."""
    options = [one for one in command.params if one.param_type_name == "option" and not one.is_flag]
    return {name for option in options for name in option.opts}


def show_metavars_alone(command: Any) -> None:
    """Leave the type's name, such as ``<str>``, out of the help of each argument.

    command: a command, or a group whose commands are all changed.
    """
    for leaf in getattr(command, "commands", {"": command}).values():
        for parameter in leaf.params:
            if parameter.param_type_name == "argument":
                parameter.type = copy(parameter.type)  # the types are shared by all commands
                parameter.type.get_metavar = _no_metavar


def _no_metavar(param: Any, ctx: Any) -> str:
    return ""


def refuse_undecodable(command: Any) -> None:
    """Refuse arguments that are not in the locale's encoding, with a ValidationError.

    command: a command, or a group whose commands are all changed.
    """
    for leaf in getattr(command, "commands", {"": command}).values():
        leaf.callback = _checked(leaf)


def _checked(leaf: Any) -> Any:
    run = leaf.callback

    def checked(**values: Any) -> Any:
        for parameter in leaf.params:
            value = values.get(parameter.name)
            for text in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(text, str) and not text.isascii() and parameter.name not in _NAMES_OF_FILES:
                    from prx_email_cli.mail.headers import check_unicode  # on use

                    check_unicode(text, _shown(parameter))
        return run(**values)

    return checked


def _shown(parameter: Any) -> str:
    name = str(parameter.opts[0])
    return name if name.startswith("-") else (parameter.metavar or name.upper()).strip("[].")
