"""What is 8-bit is encoded anew so that a reader sees no difference, and a signature is left alone."""

from __future__ import annotations

import email
import email.policy
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.mail.seven_bit import seven_bit


def message(body: bytes, *headers: str) -> bytes:
    return "\r\n".join([*headers, "Subject: s", "", ""]).encode() + body


def leaves(content: bytes) -> list[tuple[str, bytes]]:
    read = email.message_from_bytes(content, policy=email.policy.SMTP)
    return [
        (one.get_content_type(), cast(bytes, one.get_payload(decode=True)))
        for one in read.walk()
        if not one.is_multipart()
    ]


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1).map(
        lambda text: text.replace("\n", "\r\n").encode()
    )
)
def test_text_reads_as_before(body: bytes) -> None:
    before = message(body + "ü\r\n".encode(), "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8")
    after = seven_bit(before)
    assert after is not None
    assert after.isascii()
    assert leaves(after) == leaves(before)
    assert all(len(line) <= 78 for line in after.split(b"\r\n"))
    assert b"\n" not in after.replace(b"\r\n", b"")


@given(st.binary(min_size=1).filter(lambda data: not data.isascii()))
def test_other_data_reads_as_before(data: bytes) -> None:
    before = message(data, "MIME-Version: 1.0", "Content-Type: application/octet-stream",
                     "Content-Transfer-Encoding: binary")  # fmt: skip
    after = seven_bit(before)
    assert after is not None
    assert after.isascii()
    assert leaves(after) == leaves(before)


PARTS = (
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nplain =20\r\n--b--\r\n"
)


def test_only_the_parts_that_need_it_are_encoded() -> None:
    kind = "Content-Type: multipart/mixed; boundary=b"
    before = message(PARTS, "MIME-Version: 1.0", kind, "Content-Transfer-Encoding: 8bit")
    after = seven_bit(before)
    assert after is not None
    assert after.isascii()
    assert leaves(after) == leaves(before)
    assert b"plain =20\r\n" in after
    assert after.startswith(b"MIME-Version: 1.0\r\n" + kind.encode())
    assert b"8bit" not in after


def test_a_signed_message_with_8_bit_content_is_not_touched() -> None:
    signed = "Content-Type: multipart/signed; boundary=b; protocol=x"
    assert seven_bit(message(PARTS, "MIME-Version: 1.0", signed)) is None


@pytest.mark.parametrize(
    "head", ["X-Long: " + "a " * 200, "Subject: a\r\n b\r\n\tc", "DKIM-Signature: v=1; a=b;\r\n  c=d"]
)
def test_headers_stay_as_they_are(head: str) -> None:
    after = seven_bit(message("ü".encode(), head))
    assert after is not None
    assert after.startswith(head.encode() + b"\r\n")
