"""What each reply means: whose fault it is, and whether it is for good (section 3 of the design)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.smtp.replies import Category, Reply, Scope, Trouble, judge

OF_MESSAGE_OR_RECIPIENT = [Scope.MESSAGE, Scope.RECIPIENT]


def trouble(category: str, scope: Scope, permanent: bool, reply: Reply) -> Trouble:
    """What *reply* means, told in its own words."""
    return Trouble(Category(category), scope, permanent, str(reply), reply)


@pytest.mark.parametrize("scope", OF_MESSAGE_OR_RECIPIENT)
@pytest.mark.parametrize(
    ("code", "text", "category"),
    [
        (421, "4.3.2 shutting down", "provider"),
        (421, "4.7.0 try again later, closing connection", "provider"),
        (421, "", "provider"),
        (432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "provider"),
        (454, "4.7.0 too many login attempts", "provider"),
        (550, "5.4.5 Daily user sending limit exceeded", "provider"),
        (554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; limit exceeded", "provider"),
        (535, "5.7.8 wrong user or password", "auth"),
        (535, "5.7.139 basic authentication is disabled", "auth"),
        (535, "", "auth"),
        (530, "5.7.0 authentication required", "auth"),
        (534, "5.7.9 application-specific password required", "auth"),
        (538, "5.7.11 encryption required", "auth"),
        (550, "5.7.30 basic authentication is not supported", "auth"),
    ],
)
def test_these_speak_of_the_account_and_give_nothing_up(scope: Scope, code: int, text: str, category: str) -> None:
    assert judge(Reply(code, text), scope) == trouble(category, Scope.ACCOUNT, False, Reply(code, text))


@pytest.mark.parametrize("scope", OF_MESSAGE_OR_RECIPIENT)
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (450, "4.2.0 mailbox busy"),
        (450, "4.2.1 greylisted"),
        (451, "4.3.0 local error"),
        (452, "4.2.2 over quota"),
        (452, "4.5.3 too many recipients"),
        (432, "4.7.12 a password transition is needed"),
        (432, "something else"),
        (454, "4.3.0 not that one"),
        (499, ""),
        (550, "5.1.1 no such user"),
        (550, ""),
        (550, "5.4.50 looks like a quota, but is not"),
        (550, "mail with 5.4.5 inside the text"),
        (551, "5.1.6 user has moved"),
        (552, "5.3.4 message too big"),
        (553, "5.1.3 bad address"),
        (554, "5.7.1 spam"),
        (554, "5.2.0 something else"),
        (500, "5.5.2 syntax"),
        (571, "5.7.1 blocked"),
    ],
)
def test_a_4xx_is_for_now_and_a_5xx_for_good(scope: Scope, code: int, text: str) -> None:
    assert judge(Reply(code, text), scope) == trouble("provider", scope, code >= 500, Reply(code, text))


@pytest.mark.parametrize("text", ["too many recipients", "5.5.3 too many recipients"])
def test_the_552_with_which_old_servers_say_too_many_recipients_is_for_now(text: str) -> None:
    reply = Reply(552, text)
    assert judge(reply, Scope.RECIPIENT) == trouble("provider", Scope.RECIPIENT, False, reply)


def test_an_account_failure_is_told_from_any_line_of_the_reply() -> None:
    many = Reply(554, "5.2.0 the first line\n5.2.0 SubmissionQuotaExceeded in the second")
    assert judge(many, Scope.MESSAGE).scope is Scope.ACCOUNT


@settings(max_examples=300, deadline=None)
@given(st.integers(400, 599), st.text(max_size=40), st.sampled_from(OF_MESSAGE_OR_RECIPIENT))
def test_only_5xx_is_for_good_and_never_when_the_account_is_at_fault(code: int, text: str, scope: Scope) -> None:
    verdict = judge(Reply(code, text), scope)
    assert verdict.scope in (scope, Scope.ACCOUNT)
    if verdict.permanent:
        assert code >= 500
        assert verdict.scope is scope
    if code == 535:
        assert verdict.scope is Scope.ACCOUNT


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [
        ("5.1.1 no such user", "5.1.1"),
        ("4.7.0", "4.7.0"),
        ("2.0.0\nsecond line", "2.0.0"),
        ("5.1.1234 x", ""),
        ("no 5.1.1 at its start", ""),
        ("1.1.1 not a class", ""),
        ("", ""),
    ],
)
def test_the_enhanced_code_stands_at_the_start_of_the_text(text: str, enhanced: str) -> None:
    assert Reply(550, text).enhanced == enhanced


def test_a_reply_is_told_on_one_line_and_not_without_end() -> None:
    assert str(Reply(550, "one\ntwo")) == "550 one two"
    assert str(Reply(354, "")) == "354"
    assert len(str(Reply(550, "x" * 100_000))) < 1100
