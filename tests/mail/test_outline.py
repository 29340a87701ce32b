"""The attachments of a stored message, by name, type and size, in pieces of any length."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from prx_email_cli.mail.outline import Attached, attachments_of

MIXED = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x"
TEXT = ("größe=1 " * 50).encode()
FILES = {"report.pdf": 0, "Übersicht 2026.xlsx": 1, "a.bin": 57, "big.bin": 200_001}


def letter(cte: str = "base64") -> bytes:
    message = EmailMessage(policy=SMTP)
    message["Subject"] = "files"
    message.set_content("text with --dashes\n--and more\n")
    message.add_alternative("<p>text</p>", subtype="html")
    for name, size in FILES.items():
        message.add_attachment(b"\0" * size, "application", "octet-stream", filename=name)
    message.add_attachment(TEXT, "text", "plain", filename="t.txt", cte=cte)
    return message.as_bytes()


EXPECTED = [Attached(name, "application/octet-stream", size) for name, size in FILES.items()] + [
    Attached("t.txt", "text/plain", len(TEXT))
]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    yield from (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 61, 4096, 10**9])
def test_each_is_found_with_its_size_however_the_message_is_cut(size: int) -> None:
    if size < 61:
        few = letter().replace(b"AAAA" * 19 + b"\r\n", b"")  # but for the long one, which would take long
        found = attachments_of(cut(few, size))
        assert [(one.filename, one.content_type) for one in found] == [one[:2] for one in EXPECTED]
        assert found == attachments_of([few])
    else:
        assert attachments_of(cut(letter(), size)) == EXPECTED


def test_quoted_printable_is_decoded_to_be_counted() -> None:
    assert attachments_of([letter("quoted-printable")])[-1] == EXPECTED[-1]


def test_a_message_of_text_alone_has_none() -> None:
    assert attachments_of([b"Subject: s\r\nContent-Type: text/plain\r\n\r\n--x\r\n--\r\n"]) == []
    assert attachments_of([b"no head at all"]) == []
    assert attachments_of([]) == []


def test_a_message_that_is_one_file_is_an_attachment() -> None:
    head = b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    assert attachments_of([head, b"AAAA\r\n"]) == [Attached("a.pdf", "application/pdf", 3)]


def test_a_message_within_a_message_is_one_attachment() -> None:
    inner = EmailMessage(policy=SMTP)
    inner.set_content("x")
    inner.add_attachment(b"1", "a", "b", filename="inner.bin")
    outer = EmailMessage(policy=SMTP)
    outer.set_content("y")
    outer.add_attachment(inner, filename="letter.eml")
    (found,) = attachments_of([outer.as_bytes()])
    assert (found.filename, found.content_type) == ("letter.eml", "message/rfc822")


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n\r\n",
        MIXED,
        MIXED + b"\r\n--x\r\n--x--\r\n--x--\r\n",
        MIXED + b"\r\nContent-Disposition: attachment; filename*=nosuch''%ff\r\n\r\nab",
        b"\n--" * 1000,
        MIXED + b"y" * 5000 + b"\r\n--x--",
    ],
)
def test_what_is_malformed_gives_some_answer(data: bytes) -> None:
    whole = attachments_of([data])
    assert attachments_of(cut(data, 1)) == whole


def test_a_control_character_in_a_name_is_none_afterwards() -> None:
    head = b'Content-Type: text/plain; name="a\x1b[31m.txt"\r\n\r\n'
    (found,) = attachments_of([head, b"x"])
    assert "\x1b" not in found.filename
