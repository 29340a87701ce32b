"""What a server says is kept without the secrets that it repeats, in whatever form, and wherever it is cut."""

from __future__ import annotations

import string
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.redaction import PIECE, forget_all, from_outside, redact, remember, remember_encoded, reported

from .support.echoes import ECHOES, pieces_in

PASSWORD = "c0rrect-Horse/b4ttery+St&ple%9"
SECRETS = st.text(st.sampled_from(string.ascii_letters + string.digits + "!\"#$%&'()+,-./:;<=>?@[\\]^_`{|}~ é秘"),
                  min_size=12, max_size=60)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_secret_known() -> Iterator[None]:
    forget_all()
    yield
    forget_all()


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
def test_an_echo_is_masked_whole(echo: object) -> None:
    assert callable(echo)
    remember(PASSWORD)
    said = from_outside(f"5.7.8 no: {echo(PASSWORD)} (try again)")
    assert "***" in said
    assert said.startswith("5.7.8 no: ")
    assert said.endswith(" (try again)")
    assert len(said) < len("5.7.8 no:  (try again)") + 32, "more than the edges of what was encoded is left"
    assert pieces_in(said, PASSWORD, 4) == []


@settings(max_examples=400, deadline=None)
@given(SECRETS, st.sampled_from([*ECHOES]), st.data())
def test_no_piece_of_an_echo_is_left_wherever_it_is_cut(secret: str, kind: str, data: st.DataObject) -> None:
    forget_all()
    remember(secret)
    echo = ECHOES[kind](secret)
    start = data.draw(st.integers(0, len(echo)))
    end = data.draw(st.integers(start, len(echo)))
    said = from_outside(f"no such user: {echo[start:end]}")
    assert pieces_in(said, secret, PIECE) == [], said


@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase])
def test_letters_outside_ascii_are_known_in_the_other_case(change: Callable[[str], str]) -> None:
    remember("Größe-Éclair-Пароль")
    assert from_outside(f"535 <{change('öße-Éclair-Паро')}>") == "535 <***>"


@settings(max_examples=300, deadline=None)
@given(SECRETS, st.sampled_from([*ECHOES]), st.integers(0, 60))
def test_what_is_cut_afterwards_is_masked_before(secret: str, kind: str, most: int) -> None:
    forget_all()
    remember(secret)
    assert pieces_in(reported(f"refused: {ECHOES[kind](secret)}", most), secret, PIECE) == []


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_whatever_text_comes_is_masked_without_an_error(text: str) -> None:
    remember("c0rrect-horse")
    remember_encoded("AG9wcwBjMHJyZWN0LWhvcnNl")
    assert "c0rrect-horse" not in from_outside(f"{text}c0rrect-horse{text}")
    from_outside(text + "\udc80\ud800%e9=C3\\ud800&#xd800;&#1114112;")


@pytest.mark.parametrize(("secret", "piece"), [("pass", "pass"), ("secret", "secr"), ("hunter21", "unter"),
                                               ("0123456789ab", "345678")])  # fmt: skip
def test_of_a_short_secret_no_more_than_the_half_is_left(secret: str, piece: str) -> None:
    remember(secret)
    assert from_outside(f"535 <{piece}>") == "535 <***>"
    assert from_outside(f"535 <{piece[:-1]}>") == f"535 <{piece[:-1]}>"


def test_what_is_no_secret_stays_as_it_is() -> None:
    remember(PASSWORD)
    link = "https://support.example/?p=BadCredentials&x=%20%41"
    for text in (
        f"5.7.8 Username and Password not accepted. {link} d9443c01a7336-2434cb",
        "2.0.0 OK 1732838400 af79cd13be357-7b6a8c",
        "ops@example.com",
        "100 % = 0",
        "é秘\udcff\n",
    ):
        assert from_outside(text) == text


def test_the_shortest_secrets_are_masked_where_they_are_a_word_and_only_on_request() -> None:
    remember("abc")
    assert from_outside("the abc is abcd, not abc", strict=True) == "the *** is abcd, not ***"
    assert from_outside("the abc is abcd") == "the abc is abcd"


def test_a_secret_that_becomes_known_is_masked_in_what_was_seen_before() -> None:
    remember("something-else")
    assert from_outside("you said hunter2-hunter2") == "you said hunter2-hunter2"
    remember("hunter2-hunter2")
    assert from_outside("you said hunter2-hunter2") == "you said ***"


def test_of_our_own_words_only_whole_secrets_are_masked() -> None:
    remember("password-of-ops")
    assert redact("accounts.work.smtp.auth.password: password-of-ops") == "accounts.work.smtp.auth.password: ***"


def test_secrets_may_become_known_while_others_mask() -> None:
    switched, errors = sys.getswitchinterval(), []
    sys.setswitchinterval(1e-6)

    def mask(thread: int) -> None:
        try:
            for number in range(300):
                remember(f"{thread}-{'x' * (number % 9)}-{number}-secret")
                from_outside(f"2.0.0 queued as {thread}-{number}")
                redact("nothing")
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=mask, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(switched)
    assert errors == []
