"""What has failed for one cause is one group, whatever differs in the words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.checks.causes import causes_of, fix_of, masked
from prx_email_cli.outbox.lifecycle import Reason
from prx_email_cli.outbox.views import Failure

NOW = 1_700_000_000


def failure(words: str, outbox_id: int = 1, *, many: int = 1, account: str = "work", by_account: bool = False,
            gave_up: Reason | None = None) -> Failure:  # fmt: skip
    return Failure(account, by_account, "provider", words, gave_up, many, NOW - outbox_id, outbox_id)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a@x.example: 550 5.1.1 <a@x.example>: unknown", "bob@y.example: 550 5.1.1 <bob@y.example>: unknown"),
        ("451 4.7.1 greylisted until 10:20:30", "451 4.7.1 greylisted until 23:59"),
        ("250 queued as 4XyZ12AbCd", "250 queued as 9QwE45RtYu"),
        ("421 mx1.example.org too busy [192.0.2.1]:25", "421 mx22.example.net too busy [203.0.113.77]:25"),
        ("connection to 2001:db8::1 lost", "connection to 2001:db8::2:3 lost"),
    ],
)
def test_what_differs_between_two_replies_of_one_cause_is_masked(one: str, other: str) -> None:
    assert masked(one) == masked(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("550 5.1.1 unknown", "550 5.2.2 full"),
        ("550 unknown user", "451 unknown user"),
        ("535 5.7.8 wrong password", "535 5.7.9 use another way"),
    ],
)
def test_codes_and_words_are_kept(one: str, other: str) -> None:
    assert masked(one) != masked(other)
    assert masked(one) == one


def test_a_group_has_the_sum_the_oldest_and_the_latest_words_and_the_largest_comes_first() -> None:
    found = causes_of([
        failure("b@x.example: 550 5.1.1 no", 5), failure("451 4.2.2 full", 2, many=7),
        failure("a@x.example: 550 5.1.1 no", 9, many=3),
    ])  # fmt: skip
    assert [(one.many, one.oldest_at, one.outbox_id, one.example) for one in found] == [
        (7, NOW - 2, 2, "451 4.2.2 full"),
        (4, NOW - 9, 9, "a@x.example: 550 5.1.1 no"),
    ]


def test_accounts_scopes_and_what_was_given_up_are_told_apart() -> None:
    words = "550 5.7.1 no"
    found = causes_of([
        failure(words), failure(words, account="home"), failure(words, by_account=True),
        failure(words, gave_up=Reason.REFUSED),
    ])  # fmt: skip
    assert len(found) == 4


def test_each_cause_names_what_helps() -> None:
    (known,) = causes_of([failure("535 5.7.8 wrong password", 42, by_account=True)])
    assert known.known is not None
    assert (known.known.meaning, fix_of(known, 1)) == ("wrong user or password", "prx-email account test work")
    assert fix_of(known._replace(error="auth"), 1, "log in") == "log in, then prx-email account test work"
    assert fix_of(known._replace(error="network"), 1, "log in") == "prx-email account test work"
    (known,) = causes_of([failure("550 5.1.1 no such user", 42)])
    assert fix_of(known, 2) == "prx-email edit 42 --replace OLD=NEW --retry, or prx-email dismiss 42"
    many = "prx-email edit --cause 2 --replace OLD=NEW --retry, or prx-email dismiss --cause 2"
    assert fix_of(known._replace(many=3), 2) == many
    (unknown,) = causes_of([failure("550 never", 42)])
    assert (unknown.known, fix_of(unknown, 1)) == (None, "drains try again; prx-email retry 42 --force tries at once")
    assert fix_of(unknown._replace(gave_up=True), 1) == "prx-email retry 42 --force, or prx-email dismiss 42"
    doubtful = fix_of(unknown._replace(uncertain=True, many=2), 3)
    assert doubtful.startswith("prx-email resolve --cause 3 --sent if it arrived, else ")
    assert "prx-email resolve --cause 3 --not-sent" in doubtful


@given(st.emails(), st.emails())
def test_whatever_the_address_the_cause_is_the_same(one: str, other: str) -> None:
    assert masked(f"{one}: 550 no") == masked(f"{other}: 550 no")


@given(st.lists(st.tuples(st.sampled_from(["550 a", "550 b", "x@y.example: 550 c"]), st.integers(1, 99)), max_size=20))
def test_no_message_is_counted_twice_or_not_at_all(found: list[tuple[str, int]]) -> None:
    failures = [failure(words, number, many=many) for number, (words, many) in enumerate(found, 1)]
    assert sum(one.many for one in causes_of(failures)) == sum(many for _, many in found)
