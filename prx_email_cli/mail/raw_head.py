"""The headers of a message that comes whole, as bytes: read, completed, and otherwise left as they are; pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prx_email_cli.errors import ValidationError

MOST_HEAD_BYTES = 1024 * 1024
MOST_RECEIVED = 50  # a message that has passed more servers goes in a circle: RFC 5321 section 6.3
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_LONGEST_TEXT = 65_536  # an unfinished line that is longer is a header or begins the body
_PIECE_BYTES = 65_536
_FROM_LINE = re.compile(rb">?From ")
_RECIPIENTS = (b"to", b"cc", b"bcc")


class Field(NamedTuple):
    """One header.  name: in lower case.  raw: all of it, with its folds and its CRLF."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """Return its value, unfolded."""
        return b" ".join(self.raw.partition(b":")[2].split())


def crlf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield *chunks* with each LF, CR and CRLF as a CRLF; the last line gets an end if it has none."""
    end, began = b"", False
    for chunk in chunks:
        data = end + chunk
        end = b"\r" if data.endswith(b"\r") else b""
        data = data[: len(data) - len(end)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if data:
            began, last = True, data[-1:]
            yield data.replace(b"\n", b"\r\n")
    if end or (began and last != b"\n"):
        yield b"\r\n"


def split_head(chunks: Iterable[bytes]) -> tuple[list[Field], Iterator[bytes]]:
    """Split a message, given with CRLF line ends, into its headers and the pieces of its body.

    A first "From " line of an mbox is dropped.  The body begins after a blank line, or with what is no header.  Raises
    ValidationError for headers of more than MOST_HEAD_BYTES.
    """
    rest = _cut(chunks)
    lines, left = _Lines(rest), b""
    fields: list[Field] = []
    for number, line in enumerate(lines):
        if number == 0 and _FROM_LINE.match(line):
            continue
        if line == b"\r\n":
            break
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = Field(fields[-1].name, fields[-1].raw + line)
        elif (found := _FIELD.match(line)) is not None:
            fields.append(Field(found[1].lower(), line))
        else:
            left = line
            break
    return fields, _joined(left + lines.left, rest)


class _Lines:
    """The lines of *chunks*, as far as they are asked for.  left: what was read behind them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self.left, self._read = chunks, b"", 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            end = self.left.find(b"\n") + 1
            if not end:
                chunk = next(self._chunks, None)
                if chunk is None:
                    self._check()
                    if self.left:
                        line, self.left = self.left, b""
                        yield line
                    return
                self.left += chunk
                if len(self.left) > _LONGEST_TEXT and not _may_be_header(self.left):
                    line, self.left = self.left, b""
                    yield line
                self._check()
                continue
            line, self.left = self.left[:end], self.left[end:]
            self._read += end
            self._check()
            yield line

    def _check(self) -> None:
        if self._read > MOST_HEAD_BYTES or len(self.left) > MOST_HEAD_BYTES:
            raise ValidationError(
                f"the headers have more than {MOST_HEAD_BYTES} bytes", hint="is a blank line missing before the text?"
            )


def _cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield *chunks* in pieces: a large one, cut line by line, would be copied for each line."""
    for chunk in chunks:
        for at in range(0, len(chunk), _PIECE_BYTES):
            yield chunk[at : at + _PIECE_BYTES]


def _may_be_header(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t") or _FIELD.match(line) is not None


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def first(fields: Iterable[Field], name: bytes) -> bytes | None:
    """Return the value of the first header of this name; None where there is none, or an empty one."""
    return next((field.value for field in fields if field.name == name and field.value), None)


def recipient_values(fields: Sequence[Field]) -> list[bytes]:
    """Return the values of To, Cc and Bcc, or of their Resent- forms if there is one: RFC 5322 section 3.6.6."""
    resent = [field.value for field in fields if field.name.removeprefix(b"resent-") in _RECIPIENTS
              and field.name.startswith(b"resent-") and field.value]  # fmt: skip
    return resent or [field.value for field in fields if field.name in _RECIPIENTS]


def check_no_loop(fields: Iterable[Field]) -> None:
    """Raise ValidationError for a message that goes in a circle."""
    if sum(field.name == b"received" for field in fields) > MOST_RECEIVED:
        raise ValidationError(
            f"a mail loop: the message has passed more than {MOST_RECEIVED} servers (554 5.4.6)",
            hint="its Received headers tell where it goes in a circle",
        )


def without(fields: Iterable[Field], *names: bytes) -> list[Field]:
    """Return the *fields* but for those of these *names*."""
    return [field for field in fields if field.name not in names]


def only_first(fields: Iterable[Field], name: bytes) -> list[Field]:
    """Return the *fields* with the first of this *name* that has a value, and no other of it."""
    kept: list[Field] = []
    for field in fields:
        if field.name != name or (field.value and all(one.name != name for one in kept)):
            kept.append(field)
    return kept


def replaced(fields: Iterable[Field], name: bytes, raw: bytes) -> list[Field]:
    """Return the *fields* with *raw*, a whole header with its CRLF, in place of the first of this *name*."""
    found, kept = False, []
    for field in fields:
        if field.name != name:
            kept.append(field)
        elif not found:
            found = True
            kept.append(Field(name, raw))
    return kept if found else [*kept, Field(name, raw)]
