"""Read text from files and pipes, and a message's text and HTML from the options that name them."""

import errno
import io
import os
import select
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from prx_email_cli.cli.output import on_terminal
from prx_email_cli.errors import InputNotFound, ValidationError

if TYPE_CHECKING:
    from prx_email_cli.submission.request import Request

MAX_TEXT_BYTES = 50 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024
PIPE_SECONDS = 60


def open_input(name: str) -> BinaryIO:
    """Open *name* for reading bytes, - for stdin.  Raises InputNotFound."""
    try:
        if name == "-":
            if sys.stdin is None:  # the parent process closed it
                raise OSError(errno.EBADF, "it is closed")
            return _checked(open(sys.stdin.fileno(), "rb", closefd=False), name)
        return _checked(open(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY), "rb"), name)
    except OSError as error:
        raise _unreadable(name, error) from None


def _checked(stream: BinaryIO, name: str) -> BinaryIO:
    """Refuse a device without an end, and give a named pipe a time limit.  Raises ValidationError."""
    mode = os.fstat(stream.fileno()).st_mode
    if (
        stat.S_ISCHR(mode)
        and not stream.isatty()
        and not os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))
    ):
        stream.close()
        raise ValidationError(f"{shown_name(name)} is a device that has no end", hint="give a file or a pipe")
    if name != "-" and stat.S_ISFIFO(mode):
        return io.BufferedReader(_PatientPipe(stream, name))
    if name != "-" and not stat.S_ISREG(mode):
        os.set_blocking(stream.fileno(), True)
    return stream  # not waiting: a file of /proc may have nothing to read


class _PatientPipe(io.RawIOBase):
    """Reads a named pipe, and fails when nothing is written into it for PIPE_SECONDS."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._begun = False

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def readinto(self, buffer: Any) -> int:
        """Read some bytes and return their number, 0 at the end.  Raises ValidationError after PIPE_SECONDS."""
        watcher = select.poll()
        watcher.register(self.fileno(), select.POLLIN)
        until = time.monotonic() + PIPE_SECONDS
        while (left := until - time.monotonic()) > 0:
            if watcher.poll(min(left, 0.1) * 1000):
                with suppress(BlockingIOError):
                    data = os.read(self.fileno(), len(buffer))
                    if data or self._begun:
                        self._begun = True
                        buffer[: len(data)] = data
                        return len(data)
            time.sleep(0.02)  # poll returns at once for a pipe that no process has opened for writing
        raise ValidationError(
            f"nothing came through the pipe {self._name} for {PIPE_SECONDS} s",
            hint="check that the program that writes into it is running",
        )

    def close(self) -> None:
        self._stream.close()
        super().close()


def password_on_command_line(hint: str) -> ValidationError:
    """Make the error for a password that is an argument."""
    return ValidationError("a password on the command line can be seen by others on this machine", hint=hint)


def first_line_of_stdin() -> str:
    """Read the first line of stdin, without its line end, and leave the rest to other programs.

    Raises InputNotFound, and ValidationError for more than MAX_LINE_BYTES and for what is not UTF-8.
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
            f"the first line of stdin is longer than {MAX_LINE_BYTES >> 10} KiB", hint="pipe in the password alone"
        )
    return _decoded(bytes(line), "-").rstrip("\r")


def read_text(name: str) -> str:
    """Read the UTF-8 text of a file, - for stdin.

    Raises InputNotFound, and ValidationError for more than MAX_TEXT_BYTES and for what is not UTF-8.
    """
    with open_input(name) as stream:
        try:
            data = stream.read(MAX_TEXT_BYTES + 1) or b""  # None: a file of /proc with nothing to read
        except OSError as error:
            raise _unreadable(name, error) from None
    if len(data) > MAX_TEXT_BYTES:
        raise ValidationError(
            f"{shown_name(name)} is larger than {MAX_TEXT_BYTES >> 20} MiB", hint="attach it as a file instead"
        )
    return _decoded(data, name)


def shown_name(name: str) -> str:
    """Name an input in an error; - is stdin."""
    return "stdin" if name == "-" else name


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode().removeprefix("\ufeff")  # the byte order mark is no part of the text
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"{shown_name(name)} is not UTF-8 text (at byte {error.start})",
            hint="convert it, for example with iconv -f latin1 -t utf-8",
        ) from None


def _unreadable(name: str, error: OSError) -> InputNotFound:
    hint = "redirect it from a file, or pipe into it" if name == "-" else "check the path and its permissions"
    return InputNotFound(f"cannot read {shown_name(name)}: {error.strerror}", hint=hint)


class Bodies:
    """Reads a message's text and HTML from the files that the options name, or the text from stdin.

    stdin is read only without ``--body``, ``--body-file`` and ``--html``: in a shell loop of ``read`` and ``prx-email
    send`` it holds the loop's next lines.
    """

    def __init__(
        self, body: str | None, body_file: str | None, html: str | None, *,
        parent: str | None = None, requests: str | None = None,
    ) -> None:  # fmt: skip
        """Note the options' values.  parent, requests: other files that the command reads."""
        if body is not None and body_file is not None:
            raise typer.BadParameter("use only one of --body and --body-file")
        self._body, self._html = body, html
        given = body, body_file, html, requests
        self.awaits_stdin = all(one is None for one in given) and not on_terminal(sys.stdin)
        if parent == "-" and (body_file == "-" or (body is None and body_file is None and html is None)):
            raise typer.BadParameter("--parent - reads stdin: give the text with --body or --body-file FILE")
        if [body_file, html, parent, requests].count("-") > 1:
            other = "--parent" if requests is None else "the file of requests or rows"
            raise typer.BadParameter(f"only one of --body-file, --html and {other} can be - (stdin)")
        self._file = "-" if self.awaits_stdin else body_file

    def text(self) -> str:
        """Read the plain text; "" when there is none.  Raises InputNotFound, ValidationError."""
        return self._body or "" if self._file is None else read_text(self._file)

    def html(self) -> str | None:
        """Read the HTML; None when there is none.  Raises as ``text`` does."""
        return None if self._html is None else read_text(self._html)

    def put_into(self, request: "Request") -> "Request":
        """Return *request* with both.  Raises as ``text`` does."""
        return request._replace(body_text=self.text(), body_html=self.html())
