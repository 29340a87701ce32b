"""Attachments of JSON requests, base64, and the option of the command line."""

import base64
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.attachments import Policy, attachment_from_base64, split_attach_option
from prx_email_cli.mail.mime import Attachment
from prx_email_cli.submission.draft import open_requested
from prx_email_cli.submission.request import attachment_from_json

from ..mail.attaching import INSIDE, content, policy, secret_beside_store, told

PDF = "application/pdf"


def attachment_from_request(document: dict[str, Any], policy: Policy) -> Attachment:
    return open_requested(attachment_from_json(document), policy)


def requested(document: dict[str, Any], store: Path | None = None, size: int = 1000) -> bytes:
    return content(attachment_from_request(document, policy(store, size=size)))


def refusal(document: dict[str, Any], store: Path | None = None, size: int = 1000) -> str:
    with pytest.raises(ValidationError) as refused:
        requested(document, store, size)
    told(refused.value)
    return refused.value.message


def test_base64_and_path_are_the_two_ways_in(tmp_path: Path) -> None:
    store, _ = secret_beside_store(tmp_path)
    made = attachment_from_request({"filename": "a.pdf", "content_type": None, "base64": "eA=="}, policy())
    assert (made.filename, made.content_type, content(made)) == ("a.pdf", PDF, b"x")
    made = attachment_from_request({"path": "sub/report.txt"}, policy(store))
    assert (made.filename, made.content_type, content(made)) == ("report.txt", "text/plain", INSIDE)
    made = attachment_from_request({"path": "report.txt", "filename": "b.pdf", "base64": None}, policy(store))
    assert (made.filename, made.content_type, content(made)) == ("b.pdf", PDF, INSIDE)


@pytest.mark.parametrize(
    "sources", [{}, {"base64": None}, {"base64": "", "path": ""}, {"base64": "eA==", "path": "report.txt"}]
)
def test_neither_and_both_are_refused_before_the_type_is_looked_at(sources: dict[str, Any]) -> None:
    document = {"filename": "x.exe", "content_type": "nonsense", **sources}
    assert refusal(document) == "attachment requires exactly one of base64 or path"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"base64": "", "file_name": "x"}, "unknown attachment field 'file_name'"),
        ({"base64": "", "x\r\n": 1}, "unknown attachment field 'x\\r\\n'"),
        ({"base64": 5}, "attachment base64 must be a string"),
        ({"path": ["x"]}, "attachment path must be a string"),
        ({"base64": "", "filename": {}}, "attachment filename must be a string"),
        ({"base64": "", "content_type": False}, "attachment content_type must be a string"),
    ],
)
def test_a_field_that_is_unknown_or_no_text_is_named(document: dict[str, Any], named: str) -> None:
    assert refusal(document) == named


def test_the_type_is_checked_first_then_the_content_then_its_size(tmp_path: Path) -> None:
    large_and_broken = "A" * 4000 + "!"
    assert refusal({"filename": "x.exe", "base64": large_and_broken}) == "attachment content type is not allowed"
    assert refusal({"filename": "x.pdf", "base64": large_and_broken}).startswith("attachment base64 is broken")
    assert refusal({"filename": "x.pdf", "base64": "A" * 4000}) == "attachment exceeds size limit"
    assert refusal({"path": "../x.exe"}) == "attachment content type is not allowed"
    assert refusal({"path": "../x.pdf"}) == "attachment store not configured"
    assert refusal({"path": "../x.pdf"}, tmp_path) == "attachment path escapes storage root"


@given(st.binary(max_size=500), st.integers(1, 90), st.sampled_from(["\n", "\r\n", " \t", ""]))
def test_base64_comes_back_equal_however_it_is_wrapped(data: bytes, width: int, end: str) -> None:
    text = base64.b64encode(data).decode()
    wrapped = end.join([text[at : at + width] for at in range(0, len(text), width)]) + end
    assert requested({"filename": "x.pdf", "base64": wrapped}) == data


@pytest.mark.parametrize(
    "text",
    [
        "A", "AA", "AAA", "AAAAA", "=", "====", "A===", "AA=A", "AA==AA==", "AA===", "AAAA=", "AA==A", "-_-_", "AAA!",
        "AAA\u00a0", "\uff21\uff21\uff21\uff21", "AA\x0bAA", "data:;base64,AAAA", "A" * 131_070 + "==" + "AAAA",
        "A" * 262_145, "\ud800AAA", "AAA\0",
    ],
)  # fmt: skip
def test_broken_base64_is_refused(text: str) -> None:
    message = refusal({"filename": "x.pdf", "base64": text}, size=1_000_000)
    assert message.startswith("attachment base64 is broken")


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_the_limit_is_on_the_decoded_bytes_and_belongs_to_them(size: int) -> None:
    text = base64.encodebytes(bytes(size)).decode()
    assert requested({"filename": "x.pdf", "base64": text}, size=1000) == bytes(size)
    if size:
        assert refusal({"filename": "x.pdf", "base64": text}, size=size - 1) == "attachment exceeds size limit"


def test_decoding_8_mib_keeps_no_copy_of_them() -> None:
    text = base64.b64encode(bytes(8 << 20)).decode()
    tracemalloc.start()
    try:
        attachment = attachment_from_base64("x.pdf", None, text, policy(size=8 << 20))
        assert sum(map(len, attachment.chunks)) == 8 << 20
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("option", "path", "content_type"),
    [
        ("a.pdf", "a.pdf", None),
        ("a.pdf;type=text/plain", "a.pdf", "text/plain"),
        ("a.pdf;type=text/plain; charset=utf-8", "a.pdf", "text/plain; charset=utf-8"),
        ("a;b.pdf", "a;b.pdf", None),
        ("a;type=b.txt;type=text/plain", "a;type=b.txt", "text/plain"),
        ("a.pdf;type=", "a.pdf", ""),
        (";type=text/plain", "", "text/plain"),
        ("type=x.pdf", "type=x.pdf", None),
        ("", "", None),
    ],
)
def test_an_option_is_split_at_its_last_type(option: str, path: str, content_type: str | None) -> None:
    assert split_attach_option(option) == (path, content_type)
