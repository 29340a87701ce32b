"""Print on standard output and error, either of which may be closed."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def put(text: str) -> None:
    """Print *text*, which was asked for, and a line's end."""
    _write(sys.stdout, text)


def say(text: str) -> None:
    """Print *text*, a line that tells of a trouble, on standard error."""
    _write(sys.stderr, text)


def visible(text: str) -> str:
    """Return *text* on one line; what a terminal would obey, or a reader would not see, is escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _write(stream: "TextIO | None", text: str) -> None:
    if stream is None:
        return
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(f"{text.encode(encoding, 'backslashreplace').decode(encoding)}\n")
        stream.flush()
    except (OSError, ValueError):
        pass  # nobody reads it, and the exit status tells


def flush_for_good() -> None:
    """Give up what could not be written, which the interpreter would try again, and complain of, at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            _drop(stream)


def _drop(stream: "TextIO") -> None:
    import os  # on use

    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass
