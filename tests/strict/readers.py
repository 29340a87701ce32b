"""Two strict readers that have nothing in common, Python's own and one in Rust, and the form that every message has.

Whatever one of them had to repair, overlook or guess is a failure here, also where a lenient reader would be content.
"""

import re
from collections.abc import Iterator
from email.errors import NonASCIILocalPartDefect
from email.message import EmailMessage
from email.parser import BytesParser, Parser
from email.policy import SMTPUTF8, default
from typing import Any, NamedTuple

from fast_mail_parser import PyAddress, parse_email

HARD_LIMIT, FOLD_AT, ENCODED_WORD_LINE = 998, 78, 76  # RFC 5322 section 2.1.1, RFC 2047 section 2
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=")
_BOUNDARY = re.compile(r'boundary="([^"]+)"')
_PEOPLE = ("From", "To", "Cc", "Reply-To")

People = dict[str, list[tuple[str, str]]]


class File(NamedTuple):
    """A part with a name.  content_id: without its angle brackets, None for what is attached."""

    name: str
    content_type: str
    content: bytes
    content_id: str | None = None


class Letter(NamedTuple):
    """What a reader finds in a message.  people: (name, address) under From, To, Cc and Reply-To."""

    subject: str
    people: People
    plain: str
    html: str | None = None
    files: tuple[File, ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()


def read_strictly(content: bytes, *, smtputf8: bool = False) -> Letter:
    """What *content* says: both readers agree on it, none has anything to complain of, and its form is right.

    The names of people are as the second reader has them: Python's (3.11) puts spaces between the encoded words of one
    name, against RFC 2047 section 6.2.
    """
    check_form(content, smtputf8=smtputf8)
    first, second = _by_python(content, smtputf8), _by_rust(content)
    assert without_spaces(first.people) == without_spaces(second.people)
    assert second == _as_the_second_reader_has_it(first, second)
    return first._replace(people=second.people)


def check_form(content: bytes, *, smtputf8: bool = False) -> None:
    """Only CRLF, no line too long, none of a header blank, seven bits but for internationalised addresses."""
    assert content.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", content)
    assert max(map(len, content.split(b"\r\n"))) <= HARD_LIMIT
    head, _, body = content.partition(b"\r\n\r\n")
    assert body.isascii()
    assert head.isascii() or smtputf8
    assert all(line.strip(" \t") for line in header_lines(content))


def header_lines(content: bytes) -> Iterator[str]:
    """Every line of every header, those of the parts included."""
    text = content.decode()
    ends = [f"\r\n--{boundary}\r\n" for boundary in _BOUNDARY.findall(text)]
    for piece in re.split("|".join(map(re.escape, ends)), text) if ends else [text]:
        yield from f"{piece}\r\n".partition("\r\n\r\n")[0].split(
            "\r\n"
        )  # a multipart's head ends in the boundary's CRLF


def unfolded_lines(content: bytes) -> list[str]:
    """The header lines of more than 78 characters that could have been folded."""
    return [line for line in header_lines(content) if len(line) > FOLD_AT and can_be_folded(line)]


def can_be_folded(line: str) -> bool:
    """Whether a line break could go in front of some white space of *line*.

    That after the header's name does not count: a first line without a word is allowed, and known to be misread.
    """
    return bool(re.search(r"[ \t]", re.sub(r"^[A-Za-z-]+: ", "", line).strip(" \t")))


def long_encoded_lines(content: bytes) -> list[str]:
    """The header lines that hold an encoded word and are longer than RFC 2047 section 2 allows."""
    return [line for line in header_lines(content) if len(line) > ENCODED_WORD_LINE and _ENCODED_WORD.search(line)]


def without_spaces(people: People) -> People:
    """*people* with no white space in their names."""
    return {field: [(re.sub(r"\s", "", name), address) for name, address in found] for field, found in people.items()}


def _by_python(content: bytes, smtputf8: bool) -> Letter:
    if smtputf8:
        message: Any = Parser(policy=SMTPUTF8.clone(raise_on_defect=True)).parsestr(content.decode())
    else:
        message = BytesParser(policy=default.clone(raise_on_defect=True)).parsebytes(content)
    files, texts = [], {}
    for part in message.walk():
        if not part.is_multipart():
            data = part.get_payload(decode=True)  # the one step that finds faults in base64
            if part.get_filename() is None:
                texts[part.get_content_type()] = data.decode()
            else:
                files.append(_file(part, data))
        _check_defects(part, smtputf8)
    people = {name: message[name].addresses for name in _PEOPLE if name in message}
    return Letter(
        subject=str(message["Subject"]),
        people={name: [(one.display_name, one.addr_spec) for one in found] for name, found in people.items()},
        plain=texts["text/plain"],
        html=texts.get("text/html"),
        files=tuple(files),
        in_reply_to=message["In-Reply-To"],
        references=tuple(message.get("References", "").split()),
    )


def _check_defects(part: EmailMessage, smtputf8: bool) -> None:
    assert part.defects == []
    for name, value in part.items():
        # Python knows no policy under which RFC 6531's local parts are not called a defect.
        found = [one for one in value.defects if not (smtputf8 and isinstance(one, NonASCIILocalPartDefect))]
        assert (name, found) == (name, [])


def _file(part: EmailMessage, content: bytes) -> File:
    content_id = part["Content-ID"]
    assert part.get_content_disposition() == ("inline" if content_id else "attachment")
    name = part.get_filename()
    return File(name or "", part.get_content_type(), content, content_id[1:-1] if content_id else None)


def _by_rust(content: bytes) -> Letter:
    mail = parse_email(content, strict=True)
    assert mail.warnings == []
    assert mail.date_parsed is not None
    (plain,) = mail.text_plain
    assert len(mail.text_html) <= 1
    people = {"From": [mail.from_] if mail.from_ else [], "To": mail.to, "Cc": mail.cc, "Reply-To": mail.reply_to}
    return Letter(
        subject=mail.subject,
        people={name: list(map(_person, found)) for name, found in people.items() if found},
        plain=plain,
        html=mail.text_html[0] if mail.text_html else None,
        files=tuple(File(one.filename, one.mimetype, one.content, one.content_id) for one in mail.attachments),
        in_reply_to=mail.headers["In-Reply-To"][0] if "In-Reply-To" in mail.headers else None,
        references=tuple(mail.headers.get("References", [""])[0].split()),
    )


def _person(address: PyAddress) -> tuple[str, str]:
    return address.display_name or "", address.address


def _as_the_second_reader_has_it(first: Letter, second: Letter) -> Letter:
    """*first* with the two things that the second reader (0.10) is known to get wrong as *second* has them.

    It drops a U+FEFF that begins a text, and it lets the soft break that ends a text add a line end (RFC 2045 section
    6.7).
    """
    return first._replace(
        people=second.people,
        plain=_text_as_in(second.plain, first.plain),
        html=first.html if first.html is None else _text_as_in(second.html or "", first.html),
    )


def _text_as_in(second: str, first: str) -> str:
    text = first.removeprefix("\ufeff")
    return second if second == f"{text}\r\n" and not first.endswith("\r\n") else text
