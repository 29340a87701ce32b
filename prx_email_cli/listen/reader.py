"""Read lines and contents from a client, and nothing that two readers could understand in two ways."""

import asyncio
import re
from typing import Any

END = b"\r\n.\r\n"
_OWN_ENDS = 3  # what begin_content puts in front, and those around the final dot
_UNSTUFFED = re.compile(rb"\n\.(?!\.)")


class BadLine(Exception):
    """A command line that is refused; the text says why."""


class AheadOfTime(Exception):
    """More was sent behind a command whose answer the client must wait for."""


class Content:
    """The content of one message as it comes in, dots undone at the end.

    refusal: the reply, when it cannot be taken; the rest is then read and dropped.  counted: the bytes that are held.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._pieces: list[bytes] = []
        self.counted = self._size = 0
        self.complete = False
        self.refusal = ""

    @property
    def endless(self) -> bool:
        """Tell whether a client goes on and on with what is refused."""
        return bool(self.refusal) and self._size > 2 * self._most + (1 << 20)

    def add(self, piece: bytes, *, last: bool) -> None:
        """Take the next piece; the *last* ends with the dot's line."""
        self._size += len(piece)
        self.complete = last
        if self._size > self._most + len(END) + 2:
            self.drop(f"552 5.3.4 the message is larger than {self._most} bytes")
        if not self.refusal:
            self._pieces.append(piece)
            self.counted += len(piece)
        if last and not self.refusal:
            self._check()

    def drop(self, refusal: str) -> None:
        """Refuse the message, and hold nothing of it any more."""
        self.refusal = self.refusal or refusal
        self._pieces.clear()

    def take(self) -> bytes:
        """Return the message, with the line end of its last line and without the dots that SMTP added."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        data = data[2 : -len(END) + 2]
        return data[1 if data.startswith(b".") else 0 :].replace(b"\r\n.", b"\r\n")

    def _check(self) -> None:
        """Refuse bare CR, bare LF and NUL: some take them for line ends, or for the end of all, and some do not.

        Where every line ends with a bare LF, as some programs write them, no reader sees another message in it: a
        server that passes mail on ends the lines it adds with CR LF.  A line that begins with a dot must show, by a
        second one, that the client takes bare LF for line ends, too.
        """
        data = b"".join(self._pieces)
        self._pieces = [data]
        ends, returns = data.count(b"\r\n"), data.count(b"\r")
        if returns == _OWN_ENDS and data.count(b"\n") > ends:
            data = data[2 : -len(END)]
            if _UNSTUFFED.search(b"\n" + data):
                self.drop("550 5.6.11 a line that begins with a dot follows a bare LF: end every line with CR LF")
                return
            text = data if data.endswith(b"\n") else data + b"\n"
            self._pieces = [data := b"\r\n" + text.replace(b"\n", b"\r\n") + END[2:]]
        elif data.count(b"\n") != ends or returns != ends:
            self.drop("550 5.6.11 the message has a bare CR, or a bare LF among lines that end with CR LF")
            return
        if b"\0" in data:
            self.drop("550 5.6.0 the message has a NUL byte")


class StrictReader(asyncio.StreamReader):
    """Reads what a client says."""

    _buffer: bytearray
    _eof: bool

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        """Read a line.  Raises BadLine, LimitOverrunError; CancelledError at the end, which ends the dialogue."""
        try:
            line = await super().readuntil(separator)
        except asyncio.IncompleteReadError:
            raise asyncio.CancelledError from None
        if separator == b"\n":
            if not line.endswith(b"\r\n"):
                raise BadLine("a line that ends with a bare LF: end it with CR LF")
            if b"\r" in line[:-2] or b"\0" in line:
                raise BadLine("a line with a bare CR or a NUL byte")
        return line

    def refuse_what_is_ahead(self) -> None:
        """Raise AheadOfTime if the client has already sent more."""
        if self._buffer:
            raise AheadOfTime

    def begin_content(self) -> None:
        """Put a line end before the content: its end is the same in the first line as in any other."""
        if self._eof:  # the client has hung up on us
            raise asyncio.CancelledError
        self.feed_data(b"\r\n")

    async def read_content(self, content: Content) -> None:
        """Read the next piece of *content*, up to its end."""
        try:
            content.add(await self.readuntil(END), last=True)
        except asyncio.LimitOverrunError as error:
            content.add(await self.read(error.consumed), last=False)
