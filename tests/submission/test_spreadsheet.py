"""Tables as spreadsheets write them: marks, separators, quotes, line ends, and what is wrong by row."""

import io

import pytest

from prx_email_cli.errors import ValidationError
from prx_email_cli.submission.spreadsheet import MOST_LINE_CHARACTERS, Row, Table


def table(data: bytes | str) -> Table:
    return Table(io.BytesIO(data if isinstance(data, bytes) else data.encode()), "people.csv")


def read(data: bytes | str) -> list[Row]:
    return list(table(data).rows())


def cells(data: bytes | str) -> list[list[str]]:
    return [list(row.cells.values()) for row in read(data)]


class TestWhatSpreadsheetsWrite:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_is_read_whatever_its_marks(self, separator: str, end: str, encoding: str) -> None:
        told = f"sep=|{end}" if separator == "|" else ""
        rows = [
            ["e-mail", "Name"],
            ["a@x.org", '"Ann; ""A"", Smith"'],
            ["b@x.org", f'"two{end}lines"'],
            ["c@x.org", "ä€"],
        ]
        text = told + "".join(separator.join(row) + end for row in rows)
        found = table(text.encode(encoding))
        assert found.columns == ["e-mail", "Name"]
        assert [(row.number, *row.cells.values()) for row in found.rows()] == [
            (2, "a@x.org", 'Ann; "A", Smith'), (3, "b@x.org", "two\nlines"), (4, "c@x.org", "ä€")]  # fmt: skip

    def test_may_lack_the_last_line_end_and_have_blank_rows_that_count(self) -> None:
        found = read("\n a ;b\n\n;\n1;2\n \t;x\n;;;\n3;4")
        assert [(row.number, *row.cells.values()) for row in found] == [(5, "1", "2"), (6, " \t", "x"), (8, "3", "4")]

    def test_has_names_over_several_lines_and_separators_in_quotes(self) -> None:
        assert table('"First,\nname, title, age";email\nx;y\n').columns == ["First, name, title, age", "email"]

    def test_may_have_one_column(self) -> None:
        assert cells("email\na@x.org\n\nb@x.org\n") == [["a@x.org"], ["b@x.org"]]

    def test_gives_each_row_as_it_stood(self) -> None:
        text = '\r\na;b\r\n1;"x\r\ny"\r\n2;3;4\r\n5;6'
        found = table(b"\xef\xbb\xbf" + text.encode())
        rows = list(found.rows())
        assert found.heading == b"\xef\xbb\xbf\r\na;b\r\n"
        assert [row.raw for row in rows] == [b'1;"x\r\ny"\r\n', b"2;3;4\r\n", b"5;6"]

    def test_comes_from_a_pipe_that_gives_little_at_a_time(self) -> None:
        class Slow(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                return super().read(min(size or 1, 1)) if size != 3 else super().read(3)

        assert [row.cells for row in Table(Slow(b"\xff\xfea\0,\0b\0\n\x001\0,\x002\0"), "-").rows()] == [
            {"a": "1", "b": "2"}
        ]


class TestARowThatIsWrong:
    @pytest.mark.parametrize(("line", "words"), [
        (b"1;2;3", "it has 3 cells, and the first row names 2 columns"),
        (b"1", "it has 1 cell, and"),
        (b'"1"x;2', "it is not CSV"),
        (b"M\xfcller;2", "it is not UTF-8 text"),
        (b"x" * 140_000 + b";2", "it is not CSV in line 3 of the file: field larger than"),
    ])  # fmt: skip
    def test_is_named_and_the_others_are_read(self, line: bytes, words: str) -> None:
        first, wrong, last = read(b"a;b\n1;2\n" + line + b"\n3;4\n")
        assert (first.number, wrong.number, last.number, last.cells) == (2, 3, 4, {"a": "3", "b": "4"})
        assert wrong.error is not None
        assert wrong.error.message.startswith(words)
        assert wrong.raw == line + b"\n"

    def test_with_a_quote_that_is_not_closed_is_told_with_its_lines(self) -> None:
        (wrong,) = read('a;b\n"1;2\n3;4\n')
        assert wrong.error is not None
        assert "lines 2 to 3 of the file" in wrong.error.message

    def test_without_an_end_is_the_last(self) -> None:
        *_, wrong = read("a;b\n1;2\n" + "x" * (MOST_LINE_CHARACTERS + 5))
        assert wrong.error is not None
        assert "read no further" in wrong.error.message

    def test_of_half_a_character_in_utf_16_is_refused(self) -> None:
        first, last, wrong = read("a,b\n1,2\n3,4\n".encode("utf-16") + b"5")
        assert (first.error, last.error) == (None, None)
        assert wrong.error is not None
        assert "not UTF-8" in wrong.error.message


@pytest.mark.parametrize(("text", "words"), [
    ("", "people.csv is empty"), ("\n\n", "is empty"), (";;\n", "is empty"),
    ("a;;b\n", "column 2 has no name"), ("a;b;\n", "column 3 has no name"),
    ("a;b; A \n", "columns 1 and 3 have the same name 'A'"),
    ("a@x.org;Ann\n", "an address where a name of a column is wanted"),
    ("a\0b\n", "not UTF-8 text"), ('"a"b;c\n', "it is not CSV"),
])  # fmt: skip
def test_names_of_columns_that_cannot_be_used_are_told(text: str, words: str) -> None:
    with pytest.raises(ValidationError) as told:
        table(text)
    assert words in told.value.message
    assert told.value.hint


@pytest.mark.parametrize("data", ["Straße;b\n".encode("latin-1"), "a,b\n".encode("utf-16-le")])
def test_names_in_another_encoding_are_told(data: bytes) -> None:
    with pytest.raises(ValidationError, match="is not UTF-8 text") as told:
        table(data)
    assert "CSV UTF-8" in told.value.hint
