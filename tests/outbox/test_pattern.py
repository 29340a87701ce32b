"""What a pattern of a selection matches."""

import pytest

from prx_email_cli.outbox.pattern import resembles


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("bob", "Bob <bob@example.org>"), ("BOB", "bob"), ("*@example.org", "bob@Example.ORG"), ("b?b", "bob"),
        ("", ""), ("*", ""), ("no such", "550 No Such user"), ("a.b", "xa.bx"), ("grüße*", "Grüße an alle"),
        ("STRASSE", "Straße"), ("caf\u00e9", "cafe\u0301"), ("[x]", "a [x] b"), ("*a*b*", "a\nb"), ("50%", "50% off"),
    ],
)  # fmt: skip
def test_it_matches_letters_of_any_case_wildcards_and_without_these_a_part(pattern: str, text: str) -> None:
    assert resembles(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("bob*", "a bob"), ("b?b", "bb"), ("a.b", "axb"), ("*@x.org", "bob@x.org.evil"), ("[ab]", "a"), ("x", None)],
)  # fmt: skip
def test_it_matches_nothing_else(pattern: str, text: str | None) -> None:
    assert not resembles(pattern, text)


def test_many_wildcards_do_not_take_long() -> None:
    assert not resembles("*a" * 12 + "b", "a" * 60)
    assert not resembles("*" * 50 + "b", "a" * 1000)
