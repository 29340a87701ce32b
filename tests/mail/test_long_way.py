"""Composing takes shortcuts for what most messages are: each gives, byte for byte, what the long way round gives."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import entries, parsed_entries
from prx_email_cli.mail.compose import rfc5322_date
from prx_email_cli.mail.mime import encode_text
from prx_email_cli.mail.page import FEW_CHARACTERS, FEW_TAGS, too_deep
from prx_email_cli.submission.request import Request

from . import long_way
from .letters import prepared

ATOM = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=70)
LOCAL = st.lists(ATOM, min_size=1, max_size=3).map(".".join)
LABEL = st.text("abcXYZ019-", min_size=1, max_size=64)
DOMAIN = st.one_of(st.just("example.com"), st.lists(LABEL, min_size=1, max_size=5).map(".".join))
PLAIN = st.builds("{}@{}".format, LOCAL, DOMAIN)
WORDS = st.text("aZ09 '-éж日\u00a0\u3000=?.,\"(", max_size=50)
NAMED = st.builds("{}{}<{}>".format, WORDS, st.sampled_from(["", " ", "  "]), PLAIN)
AWKWARD = st.text('"\\<>@,;:()[]. -=?!\r\n\t\0\x7f\x85\u2028\u00a0\u3000aZ0é日\ud800', max_size=14)
NEARLY = st.builds("{}{}{}".format, st.one_of(PLAIN, NAMED), AWKWARD, st.one_of(st.just(""), PLAIN))
ADDRESSES = st.one_of(PLAIN, NAMED, NAMED, AWKWARD, NEARLY)

LINES = st.one_of(
    st.text("abc defgh,", max_size=85),
    st.sampled_from(["", ".", "From here", "From", ">From x", " ", "a ", "b\t", "\0", "\x7f", "é", "=", "=?", "x" * 77,
                     "x" * 78, "x" * 79, "x" * 999, "\x0b", "\x85", "\u2028"]),
)  # fmt: skip
ALIKE = st.builds(lambda lines, end, last: end.join(lines) + last * end, st.lists(LINES, max_size=12),
                  st.sampled_from(["\n", "\r\n"]), st.booleans())  # fmt: skip
MIXED = st.lists(st.one_of(LINES, st.sampled_from(["\n", "\r\n", "\r"])), max_size=14).map("".join)
BODIES = st.one_of(ALIKE, ALIKE, MIXED)
SUBJECTS = st.one_of(
    st.text("abc defg ", max_size=200),
    st.text("a =?é日\u00a0:<", max_size=60),
    st.just("Message 12"),
    AWKWARD,
)
HEADERS = st.builds("X-{}: {}".format, st.text("Ab-", min_size=1, max_size=80), SUBJECTS)
ANY_REQUEST = st.fixed_dictionaries(
    {
        "to": st.lists(ADDRESSES, min_size=1, max_size=3).map(tuple),
        "cc": st.lists(PLAIN, max_size=2).map(tuple),
        "subject": SUBJECTS,
        "body_text": BODIES,
        "sender": st.none() | NAMED,
        "reply_to": st.lists(NAMED, max_size=1).map(tuple),
        "headers": st.lists(HEADERS, max_size=2).map(tuple),
        "idempotency_key": st.none() | st.just("key"),
    }
)
GOOD_REQUEST = st.fixed_dictionaries(
    {
        "to": st.lists(st.sampled_from(["a@x.org", "Ann Lee <a@y.org>", "Jörg <j@x.org>", "é@x.org"]), min_size=1).map(
            tuple
        ),
        "subject": st.text("abc =?é", min_size=1, max_size=120).map("s{}".format),
        "body_text": BODIES.map("b{}".format),
    }
)


def came_of(fields: dict[str, Any], now: int) -> Any:
    """The message to be stored, with its content; or the words of the refusal."""
    try:
        return prepared(Request(**fields), now=now)
    except ValidationError as refused:
        return refused.message, refused.hint


@settings(max_examples=600, deadline=None)
@given(st.one_of(ANY_REQUEST, GOOD_REQUEST), st.integers(0, 4_102_444_800))
def test_a_message_is_composed_or_refused_as_it_is_the_long_way(fields: dict[str, Any], now: int) -> None:
    short = came_of(fields, now)
    with long_way.taken():
        assert came_of(fields, now) == short


@settings(max_examples=1500, deadline=None)
@given(BODIES)
@example("")
@example("\n")
@example(".\n")
@example("From \n")
@example("a\n.b\n")
@example("a\nFrom b\n")
@example("a \n")
@example("a\t\n")
@example("\0\n")
@example("\x7f\n")
@example("é\n")
@example("x" * 78 + "\n")
@example("x" * 79 + "\n")
@example("x\n" + "y" * 79 + "\nz\n")
@example("a\r\nb\r\n")
@example("a\r\nb\n")
@example("a\rb\n")
@example("a\n\rb")
@example("\r\r\n\n")
@example(".a\n\n.b\n..\nFrom c")
def test_a_body_is_encoded_as_by_one_expression_for_each_rule(text: str) -> None:
    assert encode_text(text) == long_way.encode_text(text)


@settings(max_examples=1500, deadline=None)
@given(ADDRESSES, st.booleans())
@example("a@b.c", False)
@example("A B <a@b.c>", False)
@example("<a@b.c>", False)
@example("A  B<a@b.c>", False)
@example("\u00a0A\u00a0 <a@b.c>", False)
@example(" <a@b.c>", False)
@example("A <a@b.c", False)
@example("a@b.c>", False)
@example("a@b..c", False)
@example("a..b@c", True)
@example("a.@c", True)
@example("a@b.", True)
def test_a_plain_address_is_read_as_from_its_tokens(text: str, obsolete: bool) -> None:
    assert list(entries(text, obsolete=obsolete)) == list(parsed_entries(text, obsolete=obsolete))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 253_402_300_799))
def test_a_date_is_written_as_the_standard_library_writes_it(now: int) -> None:
    assert rfc5322_date(now) == long_way.date(now)


TAGS = st.lists(
    st.sampled_from(["<b>", "<i>", "<b c>", "</b>", "<p>", "</p>", "<table>", "<td>", "</table>", "<div>", "<x"]),
    min_size=1,
)


@settings(max_examples=200, deadline=None)
@given(TAGS)
@example(["<b>"])
@example(["<div>"])
@example(["<table>"])
def test_a_page_short_enough_to_be_parsed_unchecked_would_pass(tags: list[str]) -> None:
    some = "".join(tags)
    page = some * (FEW_TAGS // len(tags))
    assert not too_deep(page[:FEW_CHARACTERS])


def test_neither_the_most_repeated_formatting_nor_the_wordiest_tag_of_a_short_page_is_too_much() -> None:
    assert not too_deep("".join(f"<b {number}>" for number in range(FEW_TAGS)))
    assert not too_deep("<a" + " a" * (FEW_CHARACTERS // 2 - 1))
    assert too_deep("<a" + " a" * FEW_CHARACTERS)
