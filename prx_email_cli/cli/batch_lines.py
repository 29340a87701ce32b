"""Read the file of a batch: what any of them gives, and one JSON request a line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol

from prx_email_cli.cli.batch_report import NotJson
from prx_email_cli.errors import ValidationError
from prx_email_cli.submission.request import Request, read_json, request_from_json

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings

_PASSED_AT_ONCE, MOST_PASSED_BYTES = 1 << 20, 1 << 30
_NO_CELLS: Mapping[str, str] = {}


class Entry(ABC):
    """One message of a batch: its number, and the bytes of it as they stand in the file, None when not kept."""

    cells: Mapping[str, str] = _NO_CELLS

    def __init__(self, number: int, raw: bytes | None = None) -> None:
        self.number, self.raw = number, raw

    @abstractmethod
    def request(self) -> Request:
        """Read the request, once.  Raises ValidationError and other errors of this message."""


class Source(Protocol):
    """The file of a batch.

    unit: what its parts are called, line or row.  heading: bytes that stand before them.  line_end: what ends each.
    columns: names that a key may be made of beside the fields of a request.
    """

    unit: str
    heading: bytes
    line_end: bytes
    columns: Sequence[str]

    def entries(self, *, keep: bool, skipped: Callable[[bytes], None] | None) -> Iterator[Entry]:
        """Yield each message.

        keep: whether its bytes are kept.  skipped: gets, piece by piece, what is too long for that.
        """


class JsonLines:
    """A file with one JSON request a line."""

    unit, heading, line_end = "line", b"", b"\n"
    columns: Sequence[str] = ()

    def __init__(self, stream: BinaryIO, settings: Settings) -> None:
        self._stream = stream
        # The most bytes that a line with one message has, each character escaped by JSON.
        self._longest = 2 * settings.attachments.policy.max_message_bytes + (1 << 20)

    def entries(self, *, keep: bool, skipped: Callable[[bytes], None] | None) -> Iterator[Entry]:
        """Yield each line that is not blank."""
        for number, held in enumerate(_lines(self._stream, self._longest, skipped), 1):
            if not held:
                yield _TooLong(number)
                continue
            line = held.pop()
            if line.isspace():
                continue
            raw = line if keep else None
            if number == 1:
                line = line.removeprefix(BOM_UTF8)
            entry = _Line(number, raw, line)
            del line, raw  # so that a long line is freed while it is parsed
            yield entry


class _Line(Entry):
    def __init__(self, number: int, raw: bytes | None, line: bytes) -> None:
        super().__init__(number, raw)
        self._line = line

    def request(self) -> Request:
        try:
            line, self._line = self._line, b""
            text = line.decode()
            del line
            document = read_json(text)
        except (ValueError, RecursionError) as error:
            raise NotJson(
                f"not JSON: {error}", hint="each line must be one JSON object; jq -c makes such lines"
            ) from None
        del text
        return request_from_json(document)


class _TooLong(Entry):
    def request(self) -> Request:
        raise ValidationError(
            "the line is longer than the longest message allowed", hint="put each request on a line of its own"
        )


def _lines(stream: BinaryIO, longest: int, skipped: Callable[[bytes], None] | None) -> Iterator[list[bytes]]:
    """Yield each line of *stream* in a list of its own, from which the caller takes it.

    The list is empty for a line over *longest* bytes, which is given to *skipped* piece by piece; one over
    MOST_PASSED_BYTES is the last.
    """
    while line := stream.readline(longest + 1):
        held = [line]
        fits = len(line) <= longest
        del line  # a long one is kept once, in the list
        if fits:
            yield held
            continue
        if skipped is not None:
            skipped(held[0])
        held.clear()
        passed, rest = 0, b""
        while not rest.endswith(b"\n") and passed < MOST_PASSED_BYTES and (rest := stream.readline(_PASSED_AT_ONCE)):
            passed += len(rest)
            if skipped is not None:
                skipped(rest)
        if skipped is not None and not rest.endswith(b"\n"):
            skipped(b"\n")
        yield held
        if passed >= MOST_PASSED_BYTES:
            return
