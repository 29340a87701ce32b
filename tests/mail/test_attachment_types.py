"""Which content types are admitted, and what a file is when nobody says."""

import mimetypes
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.attachments import allowed_content_type, attachment_from_base64, guess
from prx_email_cli.mail.mime import attachment_leaf

from .attaching import ALLOWED, policy, told

NOT_ALLOWED = "attachment content type is not allowed"


@pytest.mark.parametrize(
    ("declared", "allowed"),
    [
        ("application/pdf", ["application/pdf"]),
        ("Application/PDF", ["application/pdf"]),
        ("application/pdf", ["APPLICATION/PDF"]),
        ("text/plain; charset=utf-8", ["text/plain"]),
        ("text/plain", ["text/plain; charset=us-ascii"]),
        ("image/png", ["image/*"]),
        ("IMAGE/SVG+XML", ["Image/*"]),
        ("image/png", [" image/png "]),
        ("application/octet-stream", ["application/octet-stream"]),
        ("application/octet-stream", ["*/*"]),
        ("application/vnd.ms-excel.sheet.macroEnabled.12", ["application/*"]),
    ],
)
def test_a_type_that_the_policy_names_is_admitted(declared: str, allowed: list[str]) -> None:
    assert allowed_content_type(declared, "x", allowed).lower().startswith(declared.split(";")[0].lower())


@pytest.mark.parametrize(
    ("declared", "allowed"),
    [
        ("text/html", ["text/plain"]),
        ("image/png", []),
        ("image/png", ["image"]),
        ("image/png", ["*"]),
        ("imagex/png", ["image/*"]),
        ("text/plainer", ["text/plain"]),
        ("text/plain", ["text/plainer", "text/plai", "ext/plain"]),
        ('application/x-sh; x="application/pdf"', ["application/pdf"]),
        ("message/rfc822", ["message/*", "message/rfc822", "*/*"]),
        ("Multipart/Mixed", ["multipart/*", "*/*"]),
    ],
)
def test_any_other_is_not(declared: str, allowed: list[str]) -> None:
    with pytest.raises(ValidationError) as refused:
        allowed_content_type(declared, "x.pdf", allowed)
    assert refused.value.message == NOT_ALLOWED
    assert declared.split(";")[0].lower() in told(refused.value)


def test_the_declared_type_wins_over_the_name() -> None:
    assert allowed_content_type("text/plain", "x.html", ALLOWED) == "text/plain"
    with pytest.raises(ValidationError, match=NOT_ALLOWED):
        allowed_content_type("text/html", "x.txt", ALLOWED)


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [
        ("report.pdf", "application/pdf"),
        ("REPORT.PDF", "application/pdf"),
        ("bild.jpeg", "image/jpeg"),
        ("写真.png", "image/png"),
        ("notes.txt", "text/plain"),
        ("all.zip", "application/zip"),
        ("log.txt.gz", "application/gzip"),
        ("all.tgz", "application/gzip"),
        ("all.tar.xz", "application/x-xz"),
        ("data:,evil.exe", "application/octet-stream"),
        ("data:text/plain,evil", "application/octet-stream"),
        ("http://x/report.unknown?.txt=", "application/octet-stream"),
        ("README", "application/octet-stream"),
        (".pdf", "application/octet-stream"),
        ("pdf", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_the_type_is_guessed_from_the_end_of_the_name(filename: str, content_type: str) -> None:
    assert guess(filename) == content_type


def test_the_guess_does_not_depend_on_the_tables_of_the_machine(tmp_path: Path) -> None:
    table = tmp_path / "mime.types"
    table.write_text("text/plain exotic pdf\n")
    try:
        mimetypes.init([str(table)])
        assert mimetypes.guess_type("x.exotic")[0] == "text/plain"
        assert (guess("x.exotic"), guess("x.pdf")) == ("application/octet-stream", "application/pdf")
    finally:
        mimetypes.init()


def test_the_default_policy_refuses_a_file_of_unknown_kind_and_says_how_to_allow_it() -> None:
    with pytest.raises(ValidationError) as refused:
        attachment_from_base64("backup.log", None, "", policy())
    assert refused.value.message == NOT_ALLOWED
    for word in ("backup.log", "add ;type=MIME", '"application/octet-stream"', "allowed_content_types"):
        assert word in refused.value.hint


@pytest.mark.parametrize(
    "declared",
    [
        "", " ", "text", "/", "text/", "/plain", "text/plain/x", "te xt/plain", "*/*", "text/*", "text/plän",
        "text/plain; charset", "text/plain; charset=", "text/plain charset=x", "text/plain,text/html", "text/plain\n",
        "text/plain\r\nBcc: x@example.org", "text/plain; x=\"a\r\nBcc: y\"", "text/plain\0", "text/plain; x=\u2028",
        'text/plain; x="=?utf-8?q?=0ABcc:_y?="', "text/plain; x==?utf-8?q?=0ABcc:_y?=", 'text/plain; x="\\""', "x;",
        "text/plain;", "\ud800/x", "text/plain; a=1; A=2", "text/plain; name*=utf-8''x",
        "text/" + "x" * 128, "text/plain; x=" + "y" * 255,
    ],
)  # fmt: skip
def test_a_malformed_type_is_refused(declared: str) -> None:
    with pytest.raises(ValidationError) as refused:
        allowed_content_type(declared, "x", ["*/*"])
    assert refused.value.message.startswith("attachment content type is malformed")
    told(refused.value)


def test_parameters_are_kept_but_for_a_second_file_name() -> None:
    declared = ' Text/Plain ;Charset=UTF-8; name="evil.exe" ; format="flowed text"  '
    assert allowed_content_type(declared, "x", ALLOWED) == 'text/plain; charset=UTF-8; format="flowed text"'


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aZ/;=\" ?*_'%\\-.\r\n0é"), max_size=40))
def test_no_type_becomes_a_header_of_its_own(rest: str) -> None:
    try:
        attachment = attachment_from_base64("x", f"text/plain{rest}", "", policy(allowed=["*/*"]))
    except ValidationError as refused:
        told(refused)
        return
    names = [
        line.split(":")[0] for line in attachment_leaf(attachment).headers.split("\r\n") if line[:1] not in ("", " ")
    ]
    assert names == ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding"]
