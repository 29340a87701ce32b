"""The headers of a message that comes whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.raw_head import MOST_HEAD_BYTES, Field, check_no_loop, crlf, recipient_values, split_head


def split(data: bytes, *, size: int = 7) -> tuple[list[Field], bytes]:
    fields, body = split_head(data[at : at + size] for at in range(0, len(data), size))
    return fields, b"".join(body)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc", b""])), st.integers(1, 4))
def test_every_end_of_line_becomes_a_crlf_however_the_input_is_cut(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    made = b"".join(crlf(data[at : at + size] for at in range(0, len(data), size)))
    whole = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    whole += b"" if not whole or whole.endswith(b"\n") else b"\n"
    assert made == whole.replace(b"\n", b"\r\n")


@given(st.integers(1, 60))
def test_headers_are_split_from_the_body_however_the_input_is_cut(size: int) -> None:
    data = b"Subject: a\r\n b\r\nTo : x@y\r\n\r\nbody\r\n\r\nmore\r\n"
    fields, body = split(data, size=size)
    assert [(one.name, one.value) for one in fields] == [(b"subject", b"a b"), (b"to", b"x@y")]
    assert b"".join(one.raw for one in fields) == b"Subject: a\r\n b\r\nTo : x@y\r\n"
    assert body == b"body\r\n\r\nmore\r\n"


@pytest.mark.parametrize("start", [b"From root Mon Mar 17\r\n", b">From x\r\n"])
def test_the_first_line_of_an_mbox_is_dropped(start: bytes) -> None:
    fields, body = split(start + b"Subject: a\r\n\r\nb\r\n")
    assert ([one.name for one in fields], body) == ([b"subject"], b"b\r\n")


def test_a_body_may_begin_without_a_blank_line_or_be_all_there_is() -> None:
    assert split(b"Subject: a\r\nhello you\r\n\r\nx\r\n")[1] == b"hello you\r\n\r\nx\r\n"
    assert split(b"hello\r\n") == ([], b"hello\r\n")
    assert split(b" folded: first\r\n") == ([], b" folded: first\r\n")
    assert split(b"") == ([], b"")


@pytest.mark.parametrize("data", [b"X: " + b"a" * (MOST_HEAD_BYTES + 1), b"X: a\r\n" * (MOST_HEAD_BYTES // 5)],
                         ids=["one", "many"])  # fmt: skip
def test_headers_without_end_are_refused(data: bytes) -> None:
    with pytest.raises(ValidationError, match="headers have more than"):
        split(data, size=65536)


def test_a_long_line_that_is_no_header_begins_the_body() -> None:
    data = b"x" * (MOST_HEAD_BYTES + 1) + b"\r\ny\r\n"
    assert split(data, size=65536) == ([], data)


def test_a_large_message_may_come_in_one_piece() -> None:
    body = b"line\r\n" * (MOST_HEAD_BYTES // 2)
    fields, found = split(b"Subject: a\r\nTo: x@y\r\n\r\n" + body, size=len(body) * 2)
    assert ([one.name for one in fields], found) == ([b"subject", b"to"], body)


def test_resent_headers_take_over() -> None:
    fields, _ = split(b"To: a@x\r\nResent-To: b@x\r\nBcc: c@x\r\nResent-Cc: d@x\r\n\r\n")
    assert recipient_values(fields) == [b"b@x", b"d@x"]
    assert recipient_values(fields[:1] + fields[2:3]) == [b"a@x", b"c@x"]


def test_a_message_that_has_passed_too_many_servers_goes_in_a_circle() -> None:
    fields = [Field(b"received", b"Received: x\r\n")] * 50
    check_no_loop(fields)
    with pytest.raises(ValidationError, match=r"5\.4\.6"):
        check_no_loop([*fields, fields[0]])
