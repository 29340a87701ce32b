"""Read a message from standard input as sendmail(8) does."""

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

READ_BYTES = 64 * 1024
_DOT_LINES = (b"\n.\n", b"\n.\r\n")
_LONGEST_DOT = max(map(len, _DOT_LINES))


def pieces(descriptor: int = 0) -> "Iterator[bytes]":
    """Yield what comes on *descriptor* until it ends.  Raises OSError."""
    while piece := _read(descriptor):
        yield piece


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, READ_BYTES)
        except BlockingIOError:  # a caller has made its pipe a non-blocking one
            import select  # on use

            select.select([descriptor], [], [])
        except OSError as error:
            if error.errno == errno.EIO and os.isatty(descriptor):  # the terminal is gone
                return b""
            raise


def until_dot(chunks: "Iterable[bytes]") -> "Iterator[bytes]":
    """Yield *chunks* up to a line that is one dot, or to their end; nothing is read behind it."""
    held = b"\n"  # stands before the first line; from then on, what may be the beginning of such a line
    first = True
    for chunk in chunks:
        held += chunk
        found = [at for at in map(held.find, _DOT_LINES) if at >= 0]
        if found:
            held = held[: min(found) + 1]
            break
        ready, held = held[: -_LONGEST_DOT + 1], held[-_LONGEST_DOT + 1 :]
        if ready[first:]:
            yield ready[first:]
        first = first and not ready
    else:
        if held.endswith((b"\n.", b"\n.\r")):
            held = held[: held.rindex(b"\n") + 1]
    if held[first:]:
        yield held[first:]


def readable(chunks: "Iterable[bytes]") -> "Iterator[bytes]":
    """Yield *chunks*.  Raises InputNotFound when they cannot be read."""
    try:
        yield from chunks
    except OSError as error:
        from prx_email_cli.errors import InputNotFound  # on use

        raise InputNotFound(
            f"standard input cannot be read: {error.strerror}; nothing was stored",
            hint="give it the message: prx-sendmail root < message",
        ) from None
