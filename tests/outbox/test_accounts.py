"""The rules by which an account rests, is told of, and works again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.config.settings import NOTIFY_EVENTS
from prx_email_cli.outbox.accounts import (
    LONGEST_REST_SECONDS,
    TOLD_AGAIN_SECONDS,
    UNREACHABLE_SECONDS,
    AccountState,
    Event,
    after_attempt,
    rest_seconds,
    to_tell,
    told,
    works_again,
)
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Scope
from prx_email_cli.outbox.messages import Finished, Moment

from ..smtp.courier import message_to
from .messages import NOW, POLICY

REFUSED = Outcome({}, error="auth", detail="535 no", code=535, scope=Scope.ACCOUNT)
THROTTLED = Outcome({}, error="provider", detail="421 later", code=421, scope=Scope.ACCOUNT)
TOKEN = Outcome({}, error="auth", detail="the token was revoked", scope=Scope.ACCOUNT)
UNREACHABLE = Outcome({}, error="network", detail="cannot connect", scope=Scope.ACCOUNT)
CERTIFICATE = Outcome({}, error="network", detail="certificate has expired", scope=Scope.ACCOUNT)
ACCEPTED = Outcome({0: RecipientResult(RecipientStatus.ACCEPTED, 250)}, acceptance="2.0.0 ok")
REJECTED = Outcome({}, error="provider", detail="550 no", code=550)
LOST = Outcome({}, error="network", detail="connection lost")
REHEARSED = Outcome({}, error="network", detail="simulated network timeout")
WORK = AccountState("work")


def attempt(outcome: Outcome, at: int, began_at: int | None = None) -> Finished:
    claimed = message_to("a@example.org")._replace(started_at=at if began_at is None else began_at)
    return finish(claimed, outcome, POLICY, Moment(at))


def after(*attempts: Finished, state: AccountState = WORK) -> AccountState:
    for one in attempts:
        state = after_attempt(state, one)
    return state


def test_the_config_knows_each_event_that_a_person_can_be_told_of() -> None:
    assert ("gave_up", *Event) == NOTIFY_EVENTS


def test_an_account_rests_1_2_4_and_so_on_up_to_60_minutes() -> None:
    assert [rest_seconds(refusals) // 60 for refusals in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert rest_seconds(10_000) == LONGEST_REST_SECONDS


def test_a_refused_login_a_lost_token_and_try_later_let_it_rest_and_a_server_out_of_reach_does_not() -> None:
    for outcome in (REFUSED, THROTTLED, TOKEN):
        assert after(attempt(outcome, NOW)).rests(NOW + 59)
        assert not after(attempt(outcome, NOW)).rests(NOW + 60)
    for outcome in (UNREACHABLE, CERTIFICATE, REJECTED, LOST, ACCEPTED, REHEARSED):
        assert not after(attempt(outcome, NOW)).rests(NOW)


def test_refusals_on_several_connections_at_once_count_as_one() -> None:
    state = after(attempt(REFUSED, NOW), attempt(THROTTLED, NOW + 1), attempt(REFUSED, NOW + 59))
    assert (state.refusals, state.rests_until) == (1, NOW + 60)


def test_a_rest_ends_when_the_clock_has_stepped_back_behind_it() -> None:
    assert not after(attempt(REFUSED, NOW)).rests(NOW - LONGEST_REST_SECONDS)


def test_an_answer_shows_that_it_works_again_whatever_it_says_of_the_message() -> None:
    failing = after(attempt(REFUSED, NOW))
    for outcome in (ACCEPTED, REJECTED):
        works = after(attempt(outcome, NOW + 70), state=failing)
        assert works_again(failing, works)
        assert works == WORK
    for outcome in (LOST, REHEARSED):
        assert after(attempt(outcome, NOW + 70), state=failing) == failing


def test_what_began_before_the_failure_does_not_show_that_it_works_again() -> None:
    failing = after(attempt(REFUSED, NOW))
    assert after(attempt(ACCEPTED, NOW + 5, began_at=NOW), state=failing) == failing


def test_a_person_hears_of_a_refused_login_and_of_a_certificate_at_once() -> None:
    for outcome in (REFUSED, THROTTLED, CERTIFICATE):
        assert to_tell(after(attempt(outcome, NOW)), NOW) is Event.DOWN


def test_a_person_hears_of_a_server_out_of_reach_after_half_an_hour() -> None:
    state = after(attempt(UNREACHABLE, NOW))
    assert to_tell(state, NOW + UNREACHABLE_SECONDS - 1) is None
    assert to_tell(after(attempt(UNREACHABLE, NOW + 60), state=state), NOW + UNREACHABLE_SECONDS) is Event.DOWN


def test_a_person_hears_of_it_once_a_day_and_once_when_it_works() -> None:
    state = told(after(attempt(REFUSED, NOW)), Event.DOWN, NOW)
    assert to_tell(state, NOW + TOLD_AGAIN_SECONDS - 1) is None
    assert to_tell(state, NOW + TOLD_AGAIN_SECONDS) is Event.DOWN
    works = after(attempt(ACCEPTED, NOW + 70), state=state)
    assert to_tell(works, NOW + 70) is Event.UP
    assert told(works, Event.UP, NOW + 70) == WORK


def test_a_person_who_heard_of_no_failure_hears_of_no_end() -> None:
    works = after(attempt(UNREACHABLE, NOW), attempt(ACCEPTED, NOW + 70))
    assert to_tell(works, NOW + 70) is None


@given(st.lists(st.tuples(st.sampled_from([REFUSED, THROTTLED, UNREACHABLE, ACCEPTED, LOST]), st.integers(0, 4000))))
def test_however_attempts_end_a_rest_is_never_longer_than_an_hour(steps: list[tuple[Outcome, int]]) -> None:
    state, now = WORK, NOW
    for outcome, passed in steps:
        now += passed
        state = after(attempt(outcome, now), state=state)
        assert state.rests_until is None or state.rests_until <= now + LONGEST_REST_SECONDS
        assert (state.failing_since is None) == (state.failed_at is None)
        assert state.failing_since is not None or (state.refusals, state.error) == (0, None)
