"""Keep the end of what a job prints in bounded memory, and write it for people."""

import errno
import os
import select
import sys
from typing import NamedTuple

KEPT_BYTES = 256 * 1024
_INT_BYTES = 4


class Tail:
    """The end of what was added, at most KEPT_BYTES; size, lines: of all that was added."""

    def __init__(self) -> None:
        self.size = 0
        self._ends = 0
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Take *data*, and drop from the beginning what is too much."""
        self.size += len(data)
        self._ends += data.count(b"\n")
        self._kept += data
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    @property
    def lines(self) -> int:
        """Return how many lines there were, the last one perhaps without its end."""
        return self._ends + (bool(self._kept) and not self._kept.endswith(b"\n"))

    def last(self, most: int) -> "Lines":
        """Return at most *most* of the last lines."""
        kept = bytes(self._kept[-KEPT_BYTES:])
        whole = len(kept) == self.size
        text = kept.decode("utf-8", "backslashreplace").replace("\r\n", "\n").replace("\r", "\n")
        lines = text.removesuffix("\n").split("\n") if text else []
        shown = lines[-most:] if most else []
        return Lines(shown, complete=whole and len(shown) == len(lines))


class Lines(NamedTuple):
    """Lines of output.  complete: whether nothing came before them."""

    shown: list[str]
    complete: bool


def unread_bytes(pipe: int) -> int:
    """Return how many bytes can be read from *pipe* now."""
    import fcntl  # on use
    import termios  # on use

    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(_INT_BYTES)), sys.byteorder)


def pass_on(descriptor: int, data: bytes) -> bool:
    """Write all of *data*; False when nobody takes it any more."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            if error.errno != errno.EAGAIN:
                return False
            watcher = select.poll()
            watcher.register(descriptor, select.POLLOUT)
            watcher.poll()
    return True
