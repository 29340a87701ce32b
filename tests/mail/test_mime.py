"""Bodies: what is written arrives byte for byte, and no line of it ever endangers the transport."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.mail.mime import encode_text

PIECES = st.one_of(
    st.sampled_from(
        ["\n", "\r\n", "\r", ".", "..", "From ", " ", "\t", "\0", "=", "=20", "=\n", "🙂", "é", "\x1a", "\x0b", "\x0c",
         "\x1b[31m", "\x7f", "\x85", "\u2028", "\ufeff", "a" * 77, "b" * 78, "c" * 998, "d" * 2000, "ü" * 2000, "word "]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)  # fmt: skip
ANY_TEXT = st.lists(PIECES, max_size=20).map("".join)
ALIKE = st.sampled_from(["\n", "\r\n"])


def on_the_wire(encoding: str, body: bytes) -> bytes:
    return (
        b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: '
        + encoding.encode()
        + (b"\r\n\r\n" + body)
    )


def arrived(text: str) -> bytes:
    """The octets that a MIME reader has after undoing the transfer encoding."""
    message = BytesParser(policy=default).parsebytes(on_the_wire(*encode_text(text)))
    assert isinstance(message, EmailMessage)
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def line_ends(text: str) -> set[str]:
    return set(re.findall("\r\n|\r|\n", text))


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
@example("")
@example(".")
@example(".\r\n")
@example("\r\n.\r\n")
@example("\n.\n")
@example("\r.\r")
@example("a\r\n.\nb\r.\r\nc")
@example("trailing \n\t\n ")
@example("x" * 2000)
@example("🙂" * 2000 + "\n")
@example("no final newline")
@example("From here\nFrom there\n>From\n")
@example("\0" * 100)
@example("a" * 999 + "\n")
@example("\r\n" * 50)
@example("é\r")
@example(".\n..\n")
@example("x \ny\t\n")
def test_any_text_arrives_byte_for_byte_in_lines_that_no_relay_alters(text: str) -> None:
    content = arrived(text)
    if line_ends(text) <= {"\n"}:
        content = content.replace(b"\r\n", b"\n")  # a text's own line end becomes the wire's
    assert content == text.encode()
    encoding, body = encode_text(text)
    assert encoding in ("7bit", "quoted-printable", "base64")
    assert body.isascii()
    assert b"\0" not in body
    assert not body or body.endswith(b"\r\n")
    assert not re.search(rb"[\r\n]", body.replace(b"\r\n", b""))
    for line in body.split(b"\r\n"):
        assert len(line) <= 78
        assert not line.startswith((b".", b"From "))
        assert not line.endswith((b" ", b"\t"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=90)), ALIKE)
def test_a_text_with_one_kind_of_line_end_arrives_line_by_line(lines: list[str], end: str) -> None:
    content = arrived(end.join(lines))
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert content.replace(b"\r\n", b"\n") == "\n".join(lines).encode()


@pytest.mark.parametrize("text", ["Hello,\n\nthe disk is full.\n", "a\r\nb\r\n", "x" * 78 + "\n"])
def test_plain_english_travels_as_it_is(text: str) -> None:
    encoding, body = encode_text(text)
    assert encoding == "7bit"
    assert body == text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


@pytest.mark.parametrize("text", ["Grüße aus Köln\n", "naïve café\n", "one line\nfrom a, b\n" + "long " * 40 + "\n"])
def test_mostly_plain_text_stays_readable_on_the_wire(text: str) -> None:
    assert encode_text(text)[0] == "quoted-printable"


@pytest.mark.parametrize("text", ["日本語の本文です\n" * 20, "🙂" * 100, "Привет, мир\n" * 10])
def test_other_scripts_take_no_more_room_than_base64_does(text: str) -> None:
    _, body = encode_text(text)
    assert len(body) <= len(text.encode()) * 1.4 + 110


def test_a_body_of_ten_megabytes_is_no_trouble() -> None:
    text = ("0123456789" * 6 + " é\n") * 160_000
    assert arrived(text).replace(b"\r\n", b"\n") == text.encode()
