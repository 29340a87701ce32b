"""What ``check`` makes of the figures of accounts."""

import pytest

from prx_email_cli.checks.backlog import Limits, State, judge, shown_age
from prx_email_cli.outbox.lifecycle import Reason
from prx_email_cli.outbox.views import Figures

LIMITS = Limits(10, 100)


def test_nothing_is_ok() -> None:
    assert judge({}, LIMITS).state is State.OK
    assert judge({"work": Figures()}, LIMITS) == (State.OK, [], False, 0, 0, 0, 0)


def test_the_worst_account_decides_and_is_named_first() -> None:
    found = judge(
        {"a": Figures(waiting=1, oldest_age_seconds=50), "b": Figures(waiting=2, oldest_age_seconds=500)}, LIMITS
    )
    assert (found.state, found.waiting, found.oldest_age_seconds, found.late) == (State.CRITICAL, 3, 500, True)
    assert [reason.split(":")[0] for reason in found.reasons] == ["b", "a"]


def test_what_a_person_cancelled_is_no_failure() -> None:
    found = judge({"a": Figures(gave_up={Reason.CANCELLED: 4})}, LIMITS)
    assert (found.state, found.failures) == (State.OK, 0)
    found = judge({"a": Figures(gave_up={Reason.CANCELLED: 4, Reason.REFUSED: 1, Reason.TOO_OLD: 2})}, LIMITS)
    assert (found.state, found.failures, found.reasons) == (State.WARNING, 3, ["a: 3 messages given up"])


def test_uncertain_messages_want_a_person_only_when_they_are_held() -> None:
    assert judge({"a": Figures(uncertain=2)}, LIMITS).state is State.OK
    assert judge({"a": Figures(uncertain=2, held_uncertain=1)}, LIMITS).state is State.WARNING


def test_an_account_that_does_not_work_is_a_warning_whatever_waits() -> None:
    found = judge({"a": Figures()}, LIMITS, {"a": "login refused for 2m"})
    assert (found.state, found.reasons) == (State.WARNING, ["a: login refused for 2m"])


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h 0m"), (11_100, "3h 5m"), (187_200, "2d 4h")],
)
def test_an_age_is_shown_in_its_largest_units(seconds: int, shown: str) -> None:
    assert shown_age(seconds) == shown
