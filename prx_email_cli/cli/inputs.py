"""Text that comes in from files and pipes."""

import errno
import os
import sys
from typing import BinaryIO

from prx_email_cli.errors import InputNotFound, ValidationError

MAX_TEXT_BYTES = 50 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024


def open_input(name: str) -> BinaryIO:
    """*name* opened for reading bytes, - for stdin.  Raises InputNotFound."""
    try:
        if name == "-":
            if sys.stdin is None:  # closed by whoever started us
                raise OSError(errno.EBADF, "it is closed")
            return open(sys.stdin.fileno(), "rb", closefd=False)
        return open(name, "rb")
    except OSError as error:
        raise _unreadable(name, error) from None


def first_line_of_stdin() -> str:
    """The first line that is piped in, without its end; what follows it is left to others, as the shell's read does.

    Raises InputNotFound, ValidationError.
    """
    line = bytearray()
    with open_input("-") as stream:
        try:
            while len(line) <= MAX_LINE_BYTES and (byte := os.read(stream.fileno(), 1)) not in (b"", b"\n"):
                line += byte
        except OSError as error:
            raise _unreadable("-", error) from None
    if len(line) > MAX_LINE_BYTES:
        raise ValidationError(
            f"the first line is longer than {MAX_LINE_BYTES >> 10} KiB", hint="pipe in the right file"
        )
    return _decoded(bytes(line)).rstrip("\r")


def read_text(name: str) -> str:
    """The UTF-8 text of a file, - for stdin.  Raises InputNotFound, ValidationError."""
    with open_input(name) as stream:
        try:
            data = stream.read(MAX_TEXT_BYTES + 1)
        except OSError as error:
            raise _unreadable(name, error) from None
    if len(data) > MAX_TEXT_BYTES:
        raise ValidationError(f"the text is larger than {MAX_TEXT_BYTES >> 20} MiB", hint="attach it as a file instead")
    return _decoded(data)


def _decoded(data: bytes) -> str:
    try:
        return data.decode().removeprefix("\ufeff")  # a byte order mark says how to read, not what
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"the text is not UTF-8 (at byte {error.start})",
            hint="convert it, for example with iconv -f latin1 -t utf-8",
        ) from None


def _unreadable(name: str, error: OSError) -> InputNotFound:
    return InputNotFound(f"cannot read {name}: {error.strerror}", hint="check the path and its permissions")
