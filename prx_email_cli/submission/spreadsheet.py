"""Read a table as spreadsheets write it: CSV with ``,``, ``;`` or tabs, in UTF-8 or UTF-16, with a row of names."""

import csv
import io
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from prx_email_cli.errors import ValidationError

MOST_LINE_CHARACTERS = 1 << 20
_DELIMITERS = "\t;,"  # the first wins where two are as frequent
_ENCODINGS = ((BOM_UTF8, "utf-8"), (BOM_UTF16_LE, "utf-16-le"), (BOM_UTF16_BE, "utf-16-be"))
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel writes and obeys it
_QUOTED = re.compile(r'"[^"]*"')
_BROKEN = re.compile("[\ud800-\udfff\ufffd]")  # of bytes that are no text in the file's encoding
_SAVE = 'save it as "CSV UTF-8", or convert it, for example with iconv -f windows-1252 -t utf-8'


class Row(NamedTuple):
    """A row by its number, as a spreadsheet shows it: cells by column, or why they cannot be used.

    raw: the bytes of the row as they stand in the file.
    """

    number: int
    cells: dict[str, str]
    raw: bytes
    error: ValidationError | None = None


class Table:
    """A table whose first row that is not blank names the columns.

    heading: the bytes of the file up to and with that row.  line_end: a line feed in the file's encoding.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Read the names of the columns.  Raises ValidationError, which calls the file *name*."""
        self._name = name
        start = stream.read(3) or b""
        mark, self._encoding = next((one for one in _ENCODINGS if start.startswith(one[0])), (b"", "utf-8"))
        errors = "surrogateescape" if self._encoding == "utf-8" else "replace"
        rest = io.BufferedReader(_Chained(start[len(mark) :], stream))
        self._text = io.TextIOWrapper(rest, self._encoding, errors, newline="")
        self._taken: list[str] = []
        self._number = 0
        self.line_end = "\n".encode(self._encoding)
        first, delimiter = self._first_lines()
        self._reader = csv.reader(self._lines(first), delimiter=delimiter, strict=True)
        self.columns = self._checked(self._names())
        self.heading = mark + self._raw()

    def rows(self) -> Iterator[Row]:
        """Yield each row that is not blank; the last one may say why no more can be read."""
        while True:
            self._taken.clear()
            self._number += 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(self._number, {}, self._raw(), self._no_csv(error))
                continue
            except ValidationError as error:
                yield Row(self._number, {}, self._raw(), error)
                return
            if any(cells):
                yield self._row(cells)

    def _row(self, cells: list[str]) -> Row:
        raw = self._raw()
        if _BROKEN.search("".join(cells)):
            return Row(self._number, {}, raw, ValidationError("it is not UTF-8 text", hint=_SAVE))
        if len(cells) != len(self.columns):
            counted = f"{len(cells)} cell" + ("" if len(cells) == 1 else "s")
            return Row(
                self._number, {}, raw,
                ValidationError(
                    f"it has {counted}, and the first row names {len(self.columns)} columns",
                    hint="put a cell that has the separator in it between double quotes",
                ),
            )  # fmt: skip
        return Row(self._number, dict(zip(self.columns, map(_unix_lines, cells), strict=True)), raw)

    def _first_lines(self) -> tuple[list[str], str]:
        """Read the lines of the first row, and find the separator: what it has most of outside quotes."""
        lines: list[str] = []
        while line := self._line():
            lines.append(line)
            said = _SEPARATOR_LINE.fullmatch(line.strip("\r\n"))
            if said is not None and len("".join(lines[:-1]).strip()) == 0:
                self._taken += lines
                return [], said[1]
            text = "".join(lines)
            if text.strip() and (text.count('"') % 2 == 0 or len(text) > MOST_LINE_CHARACTERS):
                break
        outside = _QUOTED.sub("", "".join(lines))
        return lines, max(_DELIMITERS, key=outside.count)

    def _names(self) -> list[str]:
        while True:
            self._number += 1
            try:
                cells = next(self._reader)
            except StopIteration:
                raise ValidationError(
                    f"{self._name} is empty", hint="its first row names the columns, email and name for example"
                ) from None
            except csv.Error as error:
                raise ValidationError(f"{self._name}: {self._no_csv(error).message}", hint=_SAVE) from None
            if any(cells):
                return [" ".join(cell.split()) for cell in cells]

    def _checked(self, names: list[str]) -> list[str]:
        """Return *names*.  Raises ValidationError if one is missing, there twice or no name."""
        text = "".join(names)
        if "\0" in text or _BROKEN.search(text):
            raise ValidationError(f"{self._name} is not UTF-8 text", hint=_SAVE)
        first: dict[str, int] = {}
        for at, name in enumerate(names, 1):
            if not name:
                raise ValidationError(
                    f"{self._name}: column {at} has no name", hint="name it in the first row, or delete it"
                )
            if "@" in name:
                raise ValidationError(
                    f"{self._name}: the first row has an address where a name of a column is wanted: {name[:100]!r}",
                    hint="the first row names the columns, email and name for example",
                )
            if name.lower() in first:
                twice = f"columns {first[name.lower()]} and {at}"
                raise ValidationError(f"{self._name}: {twice} have the same name {name[:100]!r}", hint="rename one")
            first[name.lower()] = at
        return names

    def _lines(self, first: list[str]) -> Iterator[str]:
        for line in first:
            self._taken.append(line)
            yield line
        while line := self._line():
            self._taken.append(line)
            yield line

    def _line(self) -> str:
        """Read a line; "" at the end.  Raises ValidationError for one without an end."""
        line = self._text.readline(MOST_LINE_CHARACTERS)
        if len(line) == MOST_LINE_CHARACTERS and not line.endswith(("\r", "\n")):
            raise ValidationError(
                f"{self._name} has a line of more than {MOST_LINE_CHARACTERS >> 20} MiB, and is read no further",
                hint="give a table saved as CSV",
            )
        return line

    def _raw(self) -> bytes:
        errors = "surrogateescape" if self._encoding == "utf-8" else "replace"
        return "".join(self._taken).encode(self._encoding, errors)

    def _no_csv(self, error: csv.Error) -> ValidationError:
        last = self._reader.line_num
        first = last - len(self._taken) + 1
        lines = f"line {last}" if first >= last else f"lines {first} to {last}"
        return ValidationError(
            f"it is not CSV in {lines} of the file: {error}",
            hint='a cell with a double quote in it stands between double quotes, and the quote is written twice: ""',
        )


class _Chained(io.RawIOBase):
    """Gives bytes that were read already, and then the rest of a stream."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self._start, self._stream = start, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        data = self._start[: len(buffer)] or self._stream.read(len(buffer)) or b""
        self._start = self._start[len(data) :] if self._start else b""
        buffer[: len(data)] = data
        return len(data)


def _unix_lines(cell: str) -> str:
    return cell.replace("\r\n", "\n").replace("\r", "\n") if "\r" in cell else cell
