"""File names: any script comes back equal, no name is more than a name."""

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from email.utils import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.attachments import attachment_from_base64, checked_filename
from prx_email_cli.mail.compose import Draft, compose

from .attaching import policy, told

PRINTABLE = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
AWKWARD = st.sampled_from(" \"'%*=?_;(),<>@:[]\u00a0\u3000éж日ب\U0001f600qQbB")
HOSTILE = st.one_of(PRINTABLE, AWKWARD, st.sampled_from("\r\n\0/\\.\u202e\u2066\u2028\x85\ud800"))


def sent(filename: str | None) -> EmailMessage:
    """The attachment part that arrives when a message with a file of this name is sent."""
    attached = attachment_from_base64(filename, "application/pdf", "eA==", policy())
    ops = Mailbox("", "ops@example.com")
    composed = compose(Draft(ops, [ops], "s", "text\n", 0, [], [], [], attachments=[attached]))
    raw = b"".join(composed.chunks)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    message = BytesParser(policy=default).parsebytes(raw)
    assert isinstance(message, EmailMessage)
    (part,) = message.iter_attachments()
    assert isinstance(part, EmailMessage)
    assert (message.defects, part.defects, part.get_content()) == ([], [], b"x")
    assert part.keys() == ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding"]
    return part


@settings(max_examples=120, deadline=None)
@given(st.text(st.one_of(PRINTABLE, AWKWARD), min_size=1, max_size=255))
@example("报告 2026 (終).pdf")
@example("доклад.pdf")
@example("تقرير.pdf")
@example("a" * 255)
@example("日" * 255)
@example("\U0001f600" * 255)
@example("\u200fאב.pdf")
@example("'utf-8''x'.pdf")
@example('"quoted"; filename=other.pdf')
@example("100%20 %41.pdf")
@example("=?")
@example('""')
@example("<a>")
@example("e\u0301.pdf")
def test_names_in_any_script_arrive_as_they_were(name: str) -> None:
    try:
        checked = checked_filename(name)
    except ValidationError as refused:
        assert any(c in name for c in "/\\") or "=?" in name or any(c in name for c in "\u202a\u202b\u202c\u202d\u202e"
                   "\u2066\u2067\u2068\u2069") or name.strip() in (".", "..")  # fmt: skip
        told(refused)
        return
    assert checked == (name.strip() or "attachment")
    assert sent(name).get_filename() == unquote(checked)  # Python's reader drops quotes and angle brackets around all


@settings(max_examples=120, deadline=None)
@given(st.text(HOSTILE, max_size=60))
@example("=?utf-8?q?..=2F..=2Fetc=2Fpasswd?=")
@example("=?utf-8?q?x=0ABcc:_y?=")
@example("x=?utf-8?b?4oCu?= gpj.exe")
def test_whatever_is_not_refused_is_a_name_and_nothing_else(name: str) -> None:
    try:
        arrived = sent(name).get_filename() or ""
    except ValidationError as refused:
        told(refused)
        return
    assert arrived
    assert not any(c in "/\\\r\n\0\u202e\u2066\u2028\x85" for c in arrived)
    assert arrived not in (".", "..")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../x.pdf", "is a path"),
        ("/etc/x.pdf", "is a path"),
        ("C:\\x.pdf", "is a path"),
        (".", "is a path"),
        (" .. ", "is a path"),
        ("x\r\nBcc: y.pdf", "control character"),
        ("x\0.pdf", "control character"),
        ("x\x1b[2J.pdf", "control character"),
        ("x\u2028.pdf", "control character"),
        ("x\x85.pdf", "control character"),
        ("\ud800.pdf", "not valid Unicode"),
        ("caf\udce9.pdf", "not valid Unicode"),
        *(
            (f"x{chr(code)}gpj.exe", "changes the direction of writing")
            for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
        ),
        ("=?utf-8?q?x?=", "is an encoded word"),
        ("x" * 256, "longer than 255"),
        ("x" * 40_000, "longer than"),
    ],
)
def test_a_name_that_is_more_than_a_name_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        checked_filename(name)
    assert reason in refused.value.message
    told(refused.value)


@pytest.mark.parametrize("name", [None, "", "  ", "\u3000"])
def test_a_part_without_a_name_is_called_attachment(name: str | None) -> None:
    assert sent(name).get_filename() == "attachment"
