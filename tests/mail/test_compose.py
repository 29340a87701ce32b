"""The composed message as a whole: its headers, and nothing beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.compose import rfc5322_date
from prx_email_cli.submission.request import Request, request_from_json

from .letters import composed, content_of, read

PRINTABLE = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
HOSTILE = st.one_of(PRINTABLE, st.sampled_from('\r\n\0:=?<>@",;\x0b\x85\u2028'))


def test_a_message_has_exactly_the_headers_it_needs() -> None:
    message = read(content_of(cc=("C <c@example.org>",), bcc=("secret@example.org",), reply_to=("r@example.org",)))
    assert sorted(message.keys()) == sorted(
        ["Date", "From", "To", "Cc", "Reply-To", "Subject", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
    )
    assert message.defects == []
    assert message["From"].addresses[0].addr_spec == "ops@example.com"
    assert message["MIME-Version"] == "1.0"


def test_plain_text_goes_out_as_plain_text_in_utf_8() -> None:
    message = read(content_of(body_text="<b>not HTML</b> & é\n"))
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"
    assert not message.is_multipart()
    assert message.get_content() == "<b>not HTML</b> & é\r\n"


def test_a_body_that_names_a_file_stays_a_text() -> None:
    message = read(content_of(body_text=__file__))
    assert not message.is_multipart()
    assert message.get_content().rstrip("\r\n") == __file__


def test_bcc_is_nowhere_in_the_message_but_among_its_recipients() -> None:
    message = composed(bcc=("Hidden <secret@example.org>",))
    content = b"".join(message.content.pieces)
    assert b"secret@" not in content
    assert b"Hidden" not in content
    assert b"bcc" not in content.lower()
    assert message.recipients == [("a@example.org", "to"), ("secret@example.org", "bcc")]


def test_whoever_is_named_twice_gets_it_once() -> None:
    message = composed(to=("a@x.org, b@x.org",), cc=("B <b@x.org>",), bcc=("a@x.org", "c@x.org"))
    assert message.recipients == [("a@x.org", "to"), ("b@x.org", "to"), ("c@x.org", "bcc")]


def test_the_message_id_is_left_to_the_attempt() -> None:
    assert "Message-ID" not in read(content_of())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 4_102_444_800))
@example(0)
@example(951_782_400)
@example(1_709_164_800)
def test_the_date_is_the_time_given_in_utc(now: int) -> None:
    text = rfc5322_date(now)
    assert text.endswith(" +0000")
    assert parsedate_to_datetime(text) == datetime.fromtimestamp(now, UTC)


@settings(max_examples=120, deadline=None)
@given(st.text(HOSTILE, max_size=60), st.text(HOSTILE, max_size=30), st.text(HOSTILE, max_size=60))
@example("x\r\nBcc: y@example.org", "n", "b")
@example("=?UTF-8?Q?=0A?=Bcc: x", "n", "b")
@example("s", "=?UTF-8?Q?=0A?=Bcc: x", "b")
@example("s", 'n" <x@y.org>\r\nBcc: z', "Bcc: z@example.org\r\n\r\n")
def test_no_text_becomes_a_header_of_its_own(subject: str, name: str, body: str) -> None:
    quoted = name.replace("\\", "").replace('"', "")
    try:
        message = read(content_of(subject=subject, to=(f'"{quoted}" <a@example.org>',), body_text=body))
    except ValidationError:
        return
    assert message.keys() == ["Date", "From", "To", "Subject", "MIME-Version", "Content-Type",
                              "Content-Transfer-Encoding"]  # fmt: skip
    assert [address.addr_spec for address in message["To"].addresses] == ["a@example.org"]


@pytest.mark.parametrize(
    "fields",
    [
        {"to": ()},
        {"to": ("",)},
        {"subject": ""},
        {"subject": "   "},
        {"body_text": ""},
        {"body_text": " \r\n\t\n"},
    ],
)
def test_without_recipient_subject_or_text_nothing_is_composed(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        composed(**fields)
    assert refused.value.message == "to/subject/body_text cannot be empty"


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ValidationError, match="not valid Unicode"):
        composed(body_text="lone \ud800 surrogate")


def test_a_line_break_in_the_senders_name_is_refused() -> None:
    with pytest.raises(ValidationError, match="from contains a control character"):
        composed(sender="Ops\r\nBcc: x@y.org <ops@example.com>")


def test_smtputf8_is_asked_for_by_addresses_only() -> None:
    assert not composed(subject="日本語", to=("Jürgen <j@bücher.example>",)).needs_smtputf8
    assert composed(to=("用户@example.org",)).needs_smtputf8
    assert composed(bcc=("用户@example.org",)).needs_smtputf8
    assert composed(sender="jürgen@example.com").needs_smtputf8


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "JSON object"),
        ({"to": 5}, "to must be"),
        ({"to": ["a@x.org", 5]}, "to must be"),
        ({"subject": ["x"]}, "subject must be a string"),
        ({"body": "x"}, "unknown field 'body'"),
        ({"now_ts": "1"}, "now_ts"),
        ({"now_ts": True}, "now_ts"),
        ({"now_ts": -1}, "now_ts"),
        ({"failure_mode": "fire"}, "failure_mode"),
    ],
)
def test_a_json_request_that_is_wrong_names_its_field(document: object, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        request_from_json(document)


def test_a_json_request_is_read_with_one_address_or_many_and_nulls_left_out() -> None:
    request = request_from_json(
        {"to": "a@x.org", "cc": ["b@x.org", "c@x.org"], "subject": "s", "body_text": "b", "account": None, "now_ts": 7}
    )
    assert request == Request(
        to=("a@x.org",), cc=("b@x.org", "c@x.org"), subject="s", body_text="b", now_ts=7
    )  # fmt: skip
