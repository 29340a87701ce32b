"""Find the attachments of a stored message, piece by piece: however long it is, little of it is held."""

import binascii
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from prx_email_cli.mail.headers import cleaned
from prx_email_cli.mail.received import header_fields

MOST_HEAD_BYTES = 256 * 1024
MOST_ATTACHMENTS = 1000
_MOST_LINE_BYTES = 1000  # a boundary has 70 characters at most (RFC 2046 section 5.1.1)
_WANTED = (b"content-type", b"content-transfer-encoding", b"content-disposition")
_BOUNDARY = re.compile(rb"boundary\s*=\s*(?:\"([^\"]*)\"|([^\s;]+))", re.IGNORECASE)
_END_OF_HEAD = re.compile(rb"(?:\A|\r?\n)\r?\n")
_MARK = b"\n--"


class Attached(NamedTuple):
    """An attachment of a stored message; size_bytes: once decoded."""

    filename: str
    content_type: str
    size_bytes: int


class _Part:
    """A part that is an attachment, whose bytes are counted as they come."""

    def __init__(self, filename: str, content_type: str, encoding: bytes) -> None:
        self.filename, self.content_type, self._encoding = filename, content_type, encoding
        self._bytes = 0
        self._quoted = bytearray()

    def add(self, data: bytes) -> None:
        """Take in what comes next."""
        if self._encoding == b"quoted-printable":
            self._quoted += data
        elif self._encoding == b"base64":
            self._bytes += len(data) - sum(map(data.count, (b"\r", b"\n", b"=", b" ")))
        else:
            self._bytes += len(data)

    def attached(self) -> Attached:
        """Return what it was, once all of it came, with the line end at its beginning that is not its own."""
        if self._encoding == b"base64":
            size = self._bytes * 3 // 4
        else:
            size = max(0, (len(binascii.a2b_qp(bytes(self._quoted))) or self._bytes) - 2)
        return Attached(self.filename, self.content_type, size)


class _Outline:
    """Reads a message; found: its attachments so far."""

    def __init__(self) -> None:
        self.found: list[Attached] = []
        self._rest = b""
        self._in_head = True
        self._boundaries: list[bytes] = []
        self._part: _Part | None = None

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self._rest += data
        while self._read_head() if self._in_head else self._read_body():
            pass

    def close(self) -> None:
        """End the message."""
        if self._part is not None:
            self._part.add(self._rest)
        self._end_part()

    def _read_head(self) -> bool:
        """Read the head of a part; False if more of it is to come."""
        end = _END_OF_HEAD.search(self._rest)
        if end is None and len(self._rest) < MOST_HEAD_BYTES:
            return False
        head, rest = (self._rest[: end.start()], self._rest[end.end() :]) if end else (b"", self._rest)
        fields = header_fields(head, _WANTED)
        named = _BOUNDARY.search(fields.get(b"content-type", b""))
        if fields.get(b"content-type", b"").lower().startswith(b"multipart/") and named:
            self._boundaries.append((named[1] or named[2] or b"").rstrip())
        elif len(self.found) < MOST_ATTACHMENTS:
            self._part = _part_of(head, fields)
        self._in_head, self._rest = False, b"\r\n" + rest  # a boundary may follow at once
        return True

    def _read_body(self) -> bool:
        """Read on to the next line that may be a boundary; False if more is to come."""
        at = self._rest.find(_MARK)
        end = self._rest.find(b"\n", at + 1)
        if at < 0 or (end < 0 and len(self._rest) - at < _MOST_LINE_BYTES):
            self._pass(len(self._rest) - len(_MARK) if at < 0 else at - 1)
            return False
        line = self._rest[at + len(_MARK) : end if end >= 0 else None].rstrip()
        if not self._is_boundary(line):
            self._pass(at + len(_MARK))
            return True
        self._pass(at - 1 if self._rest[at - 1 : at] == b"\r" else at)
        self._end_part()
        self._rest = self._rest[self._rest.index(_MARK) + len(_MARK) + len(line) :].partition(b"\n")[2]
        closes = line not in self._boundaries
        depth = self._boundaries.index(line[:-2] if closes else line)
        del self._boundaries[depth if closes else depth + 1 :]
        self._in_head = not closes
        if closes:
            self._rest = b"\r\n" + self._rest
        return True

    def _is_boundary(self, line: bytes) -> bool:
        return line in self._boundaries or (line.endswith(b"--") and line[:-2] in self._boundaries)

    def _pass(self, many: int) -> None:
        if many > 0:
            if self._part is not None:
                self._part.add(self._rest[:many])
            self._rest = self._rest[many:]

    def _end_part(self) -> None:
        if self._part is not None:
            self.found.append(self._part.attached())
        self._part = None


def attachments_of(pieces: Iterable[bytes]) -> list[Attached]:
    """Return the attachments of the message in *pieces*, with the images of its HTML; any bytes give some answer."""
    outline = _Outline()
    for piece in pieces:
        outline.feed(piece)
    outline.close()
    return outline.found


def _part_of(head: bytes, fields: dict[bytes, bytes]) -> _Part | None:
    """Return the part of a *head* if it is an attachment; None for a text of the message."""
    content_type = fields.get(b"content-type", b"text/plain").partition(b";")[0].strip().lower()
    disposition = fields.get(b"content-disposition", b"").lower()
    filename = _filename(head)
    is_text = content_type in (b"text/plain", b"text/html") and not filename
    if is_text and not disposition.startswith(b"attachment"):
        return None
    encoding = fields.get(b"content-transfer-encoding", b"").strip().lower()
    return _Part(filename or "(no name)", content_type.decode("ascii", "replace"), encoding)


def _filename(head: bytes) -> str:
    from email import message_from_bytes  # on use

    with suppress(Exception):  # the standard library fails on some that are malformed
        return cleaned(message_from_bytes(head).get_filename() or "")
    return ""
