"""Standard output and error that can be closed, full or stuck without stopping the command."""

import codecs
import errno
import os
import select
import stat
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from threading import Lock
from typing import Any, TextIO, cast

PATIENCE_SECONDS = 5.0  # how long a reader that takes nothing is waited for
KEPT_BYTES = 256 * 1024  # of messages on stderr, for a slow reader
_GATHERED_BYTES = 8192  # of data, before it is written
_PIECE_BYTES = 4096  # what a pipe with any room takes whole
_SMALL_PIECE_BYTES = 256  # what a terminal with any room takes


class Outlet(ABC):
    """A text stream on a file descriptor that never raises.

    trouble: the error of the last write, None when it worked.  lost_lines: how many lines were not written.  Characters
    that its encoding lacks are escaped.
    """

    errors = "backslashreplace"
    closed = False

    def __init__(self, name: str, descriptor: int, stream: TextIO | None) -> None:
        self.name = name
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._closed = stream is None
        self.trouble: OSError | None = OSError(errno.EBADF, "it is closed") if self._closed else None
        self.lost_lines = 0
        self._descriptor = descriptor
        self._encoder = codecs.getincrementalencoder(self.encoding)(self.errors)
        self._pending = bytearray()
        self._lock = Lock()
        self._channel: _Channel | None = None

    def write(self, text: str) -> int:
        """Take *text*, and return the number of its characters."""
        data = self._encoded(text)
        if data:
            with self._lock:
                self._take(data)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Take *data* as it is."""
        with self._lock:
            self._take(data)

    @abstractmethod
    def flush(self) -> None:
        """Write what was taken, as far as possible."""

    def finish(self) -> None:
        """Write the rest, and close what was opened for it."""
        self.flush()
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """Give its descriptor."""
        return self._descriptor

    def readable(self) -> bool:
        """Tell that it cannot be read."""
        return False

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def why(self) -> str:
        """Describe the trouble, for a message."""
        number = self.trouble.errno if self.trouble is not None else None
        if number == errno.EBADF:
            return f"{self.name} is closed"
        if number in (errno.EPIPE, errno.EAGAIN):
            return f"nobody reads {self.name}"
        return f"{self.name} cannot be written: {self.trouble.strerror if self.trouble is not None else ''}"

    @abstractmethod
    def _take(self, data: bytes) -> None: ...

    def _encoded(self, text: str) -> bytes:
        if not isinstance(text, str):
            raise TypeError(f"text is wanted, not {type(text).__name__}")
        try:
            return self._encoder.encode(text)
        except UnicodeError:  # some codecs cannot encode the escapes either
            return text.encode("ascii", self.errors)

    def _push(self, seconds: float | None) -> bool:
        """Write what is pending, waiting *seconds* for each piece (None: for ever); False when that failed."""
        if self._channel is None:
            self._channel = _Channel(self._descriptor, never_waits=seconds is not None)
        channel = self._channel
        while self._pending:
            try:
                written = channel.write(self._pending[: channel.piece_bytes])
            except BlockingIOError:
                if channel.has_room(seconds):
                    continue
                self.trouble = OSError(errno.EAGAIN, "nobody reads it")
                return False
            except OSError as error:
                self.trouble = error
                return False
            del self._pending[:written]
        return True


class DataOutlet(Outlet):
    """Standard output: waits for a slow reader; after an error it writes nothing more."""

    _seconds: float | None = None

    def wait_at_most(self, seconds: float) -> None:
        """Wait at most *seconds* for a reader from now on; what it does not read is lost."""
        with self._lock:
            self._seconds, self._channel = seconds, None

    def flush(self) -> None:
        with self._lock:
            self._flush()

    def _take(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= _GATHERED_BYTES or (b"\n" in data and self.isatty()):
            self._flush()

    def _flush(self) -> None:
        if self._pending and (self.trouble is not None or not self._push(self._seconds)):
            self.lost_lines += max(1, self._pending.count(b"\n"))
            self._pending.clear()


class TalkOutlet(Outlet):
    """Standard error: never waits while the buffer has room, then drops lines.

    The number of dropped lines comes first when it can be written again.
    """

    _untold_lines = 0
    _stuck = False

    def flush(self) -> None:
        with self._lock:
            self._flush(0.0)

    def finish(self) -> None:
        """Write the rest and the number of dropped lines, or give up."""
        with self._lock:
            self._flush(0.0 if self._stuck else PATIENCE_SECONDS)
            if self._pending:
                self._lose()
            self._tells_what_was_lost()
        super().finish()

    def _take(self, data: bytes) -> None:
        if len(self._pending) + len(data) > KEPT_BYTES:
            self._flush(0.0 if self._stuck else PATIENCE_SECONDS)
            self._stuck = bool(self._pending)
        if self._stuck or not self._tells_what_was_lost():
            self._count(data)
            return
        self._pending += data
        self._flush(0.0)

    def _tells_what_was_lost(self) -> bool:
        """Write the number of dropped lines; False when that failed."""
        if self._untold_lines == 0 or self._pending:
            return True
        lines = "1 line" if self._untold_lines == 1 else f"{self._untold_lines} lines"
        self._pending += f"warning: {lines} could not be written here: {self.why()}\n".encode("ascii", self.errors)
        if self._closed or not self._push(0.0):
            self._pending.clear()
            return False
        self.trouble, self._untold_lines = None, 0
        return True

    def _flush(self, seconds: float) -> None:
        if not self._pending:
            return
        if self._closed:
            self._lose()
        elif self._push(seconds):
            self.trouble, self._stuck = None, False
        elif self.trouble is not None and self.trouble.errno != errno.EAGAIN:
            self._lose()

    def _lose(self) -> None:
        self._count(bytes(self._pending))
        self._pending.clear()

    def _count(self, data: bytes) -> None:
        lines = max(1, data.count(b"\n"))
        self.lost_lines += lines
        self._untold_lines += lines


class _Channel:
    """Writes to a descriptor without waiting, where the kernel can do that.

    Other processes share its flags, so O_NONBLOCK is set on an opening of our own.
    """

    def __init__(self, descriptor: int, *, never_waits: bool) -> None:
        self.piece_bytes = _PIECE_BYTES
        self._descriptor = descriptor
        self._socket: Any = None
        self._polls = False
        if never_waits:
            with suppress(OSError):
                self._prepare(os.fstat(descriptor).st_mode)
        else:
            self.piece_bytes = KEPT_BYTES

    def _prepare(self, mode: int) -> None:
        if stat.S_ISSOCK(mode):
            import socket  # on use

            self._socket = socket.socket(fileno=os.dup(self._descriptor))
        elif stat.S_ISFIFO(mode) or os.isatty(self._descriptor):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self._descriptor = os.open(f"/proc/self/fd/{self._descriptor}", flags)
            except OSError:  # no /proc, or it belongs to somebody else: look before each small piece
                self._polls = True
                self.piece_bytes = _PIECE_BYTES if stat.S_ISFIFO(mode) else _SMALL_PIECE_BYTES

    def write(self, data: bytes | bytearray) -> int:
        """Write some of *data*, and return how many bytes.  Raises OSError; BlockingIOError without room."""
        if self._socket is not None:
            import socket  # on use

            return int(self._socket.send(data, socket.MSG_DONTWAIT))
        if self._polls and not self.has_room(0.0):
            raise BlockingIOError(errno.EAGAIN, "no room")
        return os.write(self._descriptor, data)

    def close(self) -> None:
        """Close the socket, if one was made."""
        if self._socket is not None:
            self._socket.close()

    def has_room(self, seconds: float | None) -> bool:
        """Tell whether a write would not wait, now or within *seconds*; it may still fail."""
        watch = select.poll()
        watch.register(self._descriptor, select.POLLOUT)
        return bool(watch.poll(None if seconds is None else seconds * 1000))


def take_over() -> None:
    """Replace ``sys.stdout`` and ``sys.stderr`` by outlets, and open the descriptors 0 to 2 that are closed.

    Otherwise the next file that is opened, such as the database, would become standard output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdout is sys.__stdout__:
        sys.stdout = cast(TextIO, DataOutlet("stdout", 1, sys.stdout))
    if sys.stderr is sys.__stderr__:
        sys.stderr = cast(TextIO, TalkOutlet("stderr", 2, sys.stderr))
