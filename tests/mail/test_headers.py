"""Header lines: any text arrives as it was written, and none becomes a header of its own."""

from __future__ import annotations

import email
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.addresses import parse_mailbox
from prx_email_cli.mail.headers import address_header, check_header_text, further_header, text_header

FORBIDDEN = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]))
ANY = st.characters(exclude_categories=["Cs"], exclude_characters=FORBIDDEN)
SCRIPTS = st.sampled_from(
    list('aZ09 =?_.,:;<>@"\\()[]äßéñ日本語Привет مرحبا שלום हिन्दी 🙂👩\u200d👩\u200b\u202e\ufeff')
)
TEXT = st.one_of(st.text(ANY, max_size=120), st.text(SCRIPTS, max_size=300))
LOOKALIKES = [
    "=?utf-8?q?not_encoded?=",
    "a =?utf-8?b?eA==?= b",
    "=?",
    "?=",
    "=?x?q?",
    "= ?utf-8?q?x?=",
    "=?utf-8?q?ü?=",
]


def parsed(header: str) -> EmailMessage:
    message = BytesParser(policy=default).parsebytes(header.encode() + b"\r\nbody\r\n")
    assert isinstance(message, EmailMessage)
    return message


def lines_of(header: str) -> list[str]:
    assert header.endswith("\r\n")
    return header.removesuffix("\r\n").split("\r\n")


NAMES = st.from_regex(r"[A-Za-z0-9-]{1,990}", fullmatch=True)
SPACED = st.lists(st.sampled_from(["a", "word", " " * 80, " ", "  ", "x" * 300, "é", "=?"]), max_size=12).map("".join)


@settings(max_examples=150, deadline=None)
@given(NAMES | st.integers(1, 990).map(lambda length: "X" * length), SPACED | TEXT)
@example("X-Note", "a" + " " * 80 + "b")
@example("X" * 72, "Grüße")
@example("X" * 990, "é" * 200)
@example("X" * 990, "x" * 990)
def test_a_header_of_ones_own_has_no_line_that_is_too_long_or_of_spaces_alone(name: str, value: str) -> None:
    value = value.strip()
    if not value:
        return
    header = further_header(name, value)
    first, *others = lines_of(header)
    assert first.startswith(f"{name}:")
    assert all(line.startswith(" ") and line.strip() for line in others)
    assert all(len(line.encode()) <= 998 for line in (first, *others))
    read = str(make_header(decode_header(header.split(":", 1)[1].replace("\r\n", "").strip())))
    assert " ".join(read.split()) == " ".join(value.split())


def test_a_structured_header_stays_plain_and_folded_whatever_its_spaces() -> None:
    value = ",   ".join(f"<https://example.org/{number}>" for number in range(100))
    header = further_header("List-Unsubscribe", value)
    assert max(map(len, lines_of(header))) <= 78
    assert header.replace("\r\n", "") == f"List-Unsubscribe: {value}"


def check_form(header: str, name: str, limit: int = 998) -> None:
    """One header: its first line starts with its name, the others with a space, and none of them is blank."""
    first, *others = lines_of(header)
    assert first.startswith(f"{name}: ")
    assert all(line.startswith(" ") and line.strip() for line in others)
    assert all(len(line.encode()) <= limit for line in (first, *others))
    assert not re.search(r"[\r\n]", header.replace("\r\n", ""))


def name_read_from(header: str) -> str:
    """The display name of the header's last mailbox as RFC 5322 and RFC 2047 read it.

    Python's own parser (3.11) puts spaces between adjacent encoded words of a name, against RFC 2047 section 6.2.
    """
    phrase = header.partition(": ")[2].replace("\r\n", "").rpartition(" <")[0].strip(" ")
    if phrase.startswith('"'):
        return re.sub(r"\\(.)", r"\1", phrase[1:-1])
    return str(make_header(decode_header(re.sub(" +", " ", phrase))))


def as_subject(value: str) -> str:
    """What the product would put into a header: what it refuses is no case for this file."""
    try:
        return check_header_text(value, "subject")
    except ValidationError:
        return ""


@settings(max_examples=200, deadline=None)
@given(TEXT)
@example("a  b")
@example("two  spaces, then " + "a long text that has to be folded somewhere  " * 5)
@example("x" * 2000)
@example("word " * 6000)
@example("日本語" * 300)
def test_any_subject_arrives_as_it_was_written(value: str) -> None:
    value = as_subject(value)
    if not value:
        return
    header = text_header("Subject", value)
    check_form(header, "Subject", 78)
    message = parsed(header)
    assert message.keys() == ["Subject"]
    assert str(message["Subject"]) == value


@pytest.mark.parametrize("value", LOOKALIKES)
def test_what_looks_like_an_encoded_word_arrives_as_it_was_written(value: str) -> None:
    message = parsed(text_header("Subject", value))
    assert message["Subject"] == value
    mailbox = parsed(address_header("From", [Mailbox(value, "a@example.org")]))["From"].addresses[0]
    assert mailbox.display_name == value


@settings(max_examples=200, deadline=None)
@given(TEXT)
@example("a  b")
@example(" a ")
@example('"')
@example("\\")
@example("a\\")
@example("Dr. Who, (really) <x@y.org>; @home")
@example("x" * 300)
@example("日本語 " * 40 + "end")
def test_any_display_name_arrives_as_it_was_written(name: str) -> None:
    name = as_subject(name)
    if not name:
        return
    header = address_header("To", [Mailbox(name, "a@example.org")])
    check_form(header, "To")
    assert name_read_from(header) == name
    message = parsed(header)
    assert message.keys() == ["To"]
    (address,) = message["To"].addresses
    assert address.addr_spec == "a@example.org"
    assert re.sub(r"\s", "", address.display_name) == re.sub(r"\s", "", name)


@pytest.mark.parametrize("typed", ['" a " <a@x.org>', '"a  b" <a@x.org>', '"  " <a@x.org>', "a  b <a@x.org>"])
def test_spaces_in_a_display_name_arrive_as_they_were_typed(typed: str) -> None:
    mailbox = parse_mailbox(typed, "from")
    assert name_read_from(address_header("From", [mailbox])) == mailbox.name


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.text(SCRIPTS, max_size=20), st.integers(0, 999)), min_size=1, max_size=30))
def test_any_list_of_mailboxes_arrives_complete_and_in_order(people: list[tuple[str, int]]) -> None:
    mailboxes = [Mailbox(as_subject(name), f"user{number}@example.org") for name, number in people]
    header = address_header("Cc", mailboxes)
    check_form(header, "Cc")
    message = parsed(header)
    assert message.keys() == ["Cc"]
    assert [address.addr_spec for address in message["Cc"].addresses] == [mailbox.address for mailbox in mailboxes]
    for mailbox in mailboxes:
        if mailbox.name:
            assert name_read_from(address_header("Cc", [mailbox])) == mailbox.name


def test_a_thousand_recipients_are_folded_into_lines_of_78() -> None:
    mailboxes = [Mailbox(f"User Number {number}", f"user{number}@example.org") for number in range(1000)]
    header = address_header("To", mailboxes)
    check_form(header, "To", 78)
    assert len(parsed(header)["To"].addresses) == 1000


def test_the_longest_address_with_the_longest_name_stays_within_998_octets() -> None:
    longest = "a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".org"
    for name in ("n" * 32_000, "ü" * 8_000, '"' * 8_000):
        header = address_header("To", [Mailbox(name, longest)] * 2)
        check_form(header, "To")
        assert [address.addr_spec for address in parsed(header)["To"].addresses] == [longest] * 2


@pytest.mark.parametrize("address", ['"very unusual"@example.org', '"a@b"@example.org', "a@[127.0.0.1]", "o'x+y@b.org"])
def test_an_unusual_address_arrives_as_it_was_written(address: str) -> None:
    mailbox = parse_mailbox(f"Name <{address}>", "to")
    (found,) = parsed(address_header("To", [mailbox]))["To"].addresses
    assert (found.display_name, found.addr_spec) == ("Name", address)


@settings(max_examples=200, deadline=None)
@given(st.text(st.one_of(ANY, st.sampled_from("\r\n\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x7f")), max_size=40))
@example("x\r\nBcc: y@example.org")
@example("x\n\nbody")
@example("trailing\n")
@example("=?UTF-8?Q?=0A?=Bcc: x")
@example("=?utf-8?q?=0D=0ABcc:_x?=")
@example("=?utf-8?b?DQpCY2M6IHg=?=")
@example("=?utf-8?q?a?= =?utf-8?q?=0A?=")
@example("\ud800")
def test_a_text_is_either_refused_or_stays_within_its_header(value: str) -> None:
    try:
        value = check_header_text(value, "subject")
    except ValidationError:
        return
    header = text_header("Subject", value) + address_header("From", [Mailbox(value, "a@example.org")])
    for policy in (default, email.policy.compat32):
        assert BytesParser(policy=policy).parsebytes(header.encode() + b"\r\n").keys() == ["Subject", "From"]
    assert "\n" not in str(parsed(header)["Subject"])


@pytest.mark.parametrize("character", FORBIDDEN + "\ud800\udfff")
def test_every_control_character_is_refused_by_its_number(character: str) -> None:
    with pytest.raises(ValidationError, match=f"subject contains a control character .U.{ord(character):04X}"):
        check_header_text(f"a{character}b", "subject")
