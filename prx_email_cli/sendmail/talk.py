"""Print on standard output and error, either of which may be closed."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


STORAGE = 74
"""The exit status of a call whose answer could not be written: EX_IOERR of sysexits.h."""

_unwritten: "list[OSError | ValueError]" = []
"""Why lines that were asked for could not be printed."""


def put(text: str) -> None:
    """Print *text*, which was asked for, and a line's end."""
    trouble = _write(sys.stdout, text)
    if trouble is not None:
        _unwritten.append(trouble)


def say(text: str) -> None:
    """Print *text*, a line that tells of a trouble, on standard error."""
    _write(sys.stderr, text)


def answered(status: int) -> int:
    """Return the exit status of what ended with *status*: a success is 74 if its answer could not be written."""
    if not _unwritten:
        return status
    trouble = _unwritten[0]
    if not isinstance(trouble, BrokenPipeError):  # a reader like head closes the pipe on purpose
        why = getattr(trouble, "strerror", None)
        say(f"{'warning' if status else 'error'}: stdout {f'cannot be written: {why}' if why else 'is closed'}")
    return status or STORAGE


def visible(text: str) -> str:
    """Return *text* on one line; what a terminal would obey, or a reader would not see, is escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _write(stream: "TextIO | None", text: str) -> "OSError | ValueError | None":
    """Print a line; return what was in the way."""
    if stream is None:
        return ValueError("it is closed")
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(f"{text.encode(encoding, 'backslashreplace').decode(encoding)}\n")
        stream.flush()
    except (OSError, ValueError) as error:
        return error
    return None


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
