"""Other addresses in the headers of a composed message."""

from __future__ import annotations

import email
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.addresses import parse_mailboxes
from prx_email_cli.mail.compose import Draft, compose
from prx_email_cli.mail.readdressing import Readdressing, compared, needs_smtputf8, parse_replacement, readdressed

NOW = 1_700_000_000


def composed(to: str, cc: str = "", subject: str = "s") -> bytes:
    draft = Draft(
        sender=Mailbox("Ops", "ops@example.com"), to=parse_mailboxes([to], "to"), subject=subject, body_text="To: x\n",
        date=NOW, cc=parse_mailboxes([cc], "cc") if cc else [], bcc=[Mailbox("", "hidden@example.org")],
        reply_to=[Mailbox("", "old@example.org")],
    )  # fmt: skip
    return b"".join(compose(draft).chunks)


def read(content: bytes, name: str) -> list[tuple[str, str]]:
    header = email.message_from_bytes(content, policy=default)[name]
    return [(one.display_name, one.addr_spec) for one in header.addresses]


def replace(content: bytes, *pairs: str) -> bytes:
    return readdressed(content, Readdressing(dict(map(parse_replacement, pairs))))


def test_to_and_cc_get_the_new_address_and_nothing_else_changes() -> None:
    before = composed("Bob Old <old@example.org>, c@example.org", "OLD@example.org, d@example.org")
    after = replace(before, "old@example.org=new@example.net")
    assert read(after, "To") == [("Bob Old", "new@example.net"), ("", "c@example.org")]
    assert read(after, "Cc") == [("", "new@example.net"), ("", "d@example.org")]
    assert read(after, "Reply-To") == [("", "old@example.org")]
    changed = {line for line in after.split(b"\r\n") if line not in before.split(b"\r\n")}
    assert {line.split(b":")[0] for line in changed} == {b"To", b"Cc"}
    assert b"hidden" not in after


def test_a_name_can_come_with_the_new_address() -> None:
    after = replace(composed("Bob <old@example.org>"), 'old@example.org="Müller, A." <a.m@example.org>')
    assert read(after, "To") == [("Müller, A.", "a.m@example.org")]


def test_without_the_old_address_not_a_byte_changes() -> None:
    before = composed("Grüße <a@example.org>, " + ", ".join(f"user{number}@example.org" for number in range(50)))
    assert replace(before, "old@example.org=new@example.org") == before


def test_sender_and_date_can_be_changed() -> None:
    after = readdressed(composed("a@example.org"), Readdressing({}, Mailbox("N", "n@example.com"), NOW + 86_400))
    assert read(after, "From") == [("N", "n@example.com")]
    assert b"Date: Wed, 15 Nov 2023 22:13:20 +0000\r\n" in after


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_name_becomes_a_header_of_its_own(old: str, new: str) -> None:
    """Names with control characters are refused where they are typed; here even they do no harm."""
    before = composed("old@example.org")
    change = Readdressing({"old@example.org": Mailbox(new, "new@example.org")}, Mailbox(old, "x@example.org"))
    try:
        after = readdressed(before, change)
    except (ValidationError, ValueError):
        return
    names = [line.split(b":")[0] for line in before.partition(b"\r\n\r\n")[0].split(b"\r\n") if line[:1] != b" "]
    assert [line.split(b":")[0] for line in after.partition(b"\r\n\r\n")[0].split(b"\r\n") if line[:1] != b" "] == names
    assert after.partition(b"\r\n\r\n")[2] == before.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("a@x.org=b@y.org", "a@x.org", "b@y.org"), ("A@X.org=B <b@y.org>", "a@x.org", "b@y.org"),
        ("a=1@x.org=b=2@y.org", "a=1@x.org", "b=2@y.org"),
        ("a@bücher.example=b@y.org", "a@xn--bcher-kva.example", "b@y.org"),
    ],
)  # fmt: skip
def test_a_replacement_is_two_addresses(text: str, old: str, new: str) -> None:
    found, mailbox = parse_replacement(text)
    assert (found, mailbox.address) == (old, new)


@pytest.mark.parametrize(
    "text",
    ["", "a@x.org", "a@x.org=", "=b@y.org", "a@x.org=b", "a@x.org=b@y.org, c@y.org", "a@x.org=b@y.org\r\nBcc: c@z.org"],
)
def test_nothing_else_is(text: str) -> None:
    with pytest.raises(ValidationError):
        parse_replacement(text)


def test_addresses_beyond_ascii_need_smtputf8() -> None:
    before = composed("old@example.org")
    after = replace(before, "old@example.org=jürgen@example.org")
    assert not needs_smtputf8(["a@example.org"], before)
    assert needs_smtputf8(["jürgen@example.org"], before)
    assert needs_smtputf8(["a@example.org"], after)
    assert not needs_smtputf8(["a@example.org"], replace(after, "jürgen@example.org=j@example.org"))
    assert compared("JÜRGEN@example.org") == compared("jürgen@EXAMPLE.org")
