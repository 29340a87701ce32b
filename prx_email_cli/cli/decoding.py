"""Arguments that are no text: bytes that the locale's encoding does not know."""

from typing import Any

# What these name is read, and on the disk a name may be any bytes.  All else is stored, sent or written into a config.
_NAMES_OF_FILES = ("attach", "attach_stored", "batch", "body_file", "files", "html", "parent", "request")


def refuse_undecodable(command: Any) -> None:
    """Let *command*, or each of its own when it is a group, refuse such arguments with a ValidationError."""
    for leaf in getattr(command, "commands", {"": command}).values():
        leaf.callback = _checked(leaf)


def _checked(leaf: Any) -> Any:
    run = leaf.callback

    def checked(**values: Any) -> Any:
        for parameter in leaf.params:
            value = values.get(parameter.name)
            for text in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(text, str) and not text.isascii() and parameter.name not in _NAMES_OF_FILES:
                    from prx_email_cli.mail.text import check_unicode

                    check_unicode(text, _shown(parameter))
        return run(**values)

    return checked


def _shown(parameter: Any) -> str:
    name = str(parameter.opts[0])
    return name if name.startswith("-") else (parameter.metavar or name.upper()).strip("[].")
