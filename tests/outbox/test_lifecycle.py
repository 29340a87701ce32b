"""The rules of a message's life, checked as properties: they need no clock, no database and no network."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.outbox.lifecycle import (
    MOVES,
    Outcome,
    Reason,
    RecipientResult,
    RecipientStatus,
    RetryPolicy,
    Scope,
    Settled,
    Standing,
    Status,
    Verdict,
    after_attempt,
    after_crash,
    clock_in_doubt,
    counted_as,
    delay_after,
    drained_since,
    is_over,
    message_id,
    message_id_for_attempt,
)

TIME = st.integers(0, 4_000_000_000)
POLICY = st.builds(
    RetryPolicy,
    base_seconds=st.integers(1, 86_400),
    give_up_after_seconds=st.integers(3600, 40 * 86_400),
    hold_uncertain=st.booleans(),
)
STANDING = st.builds(
    Standing,
    retries=st.integers(0, 1000),
    next_attempt_at=TIME,
    expires_at=st.none() | TIME,
    uncertain=st.booleans(),
    recipients=st.lists(st.sampled_from(RecipientStatus), min_size=1, max_size=5),
    drained_seconds=st.integers(0, 40 * 86_400),
    clock_in_doubt=st.booleans(),
)
OUTCOME = st.builds(
    Outcome,
    recipients=st.sampled_from(({}, {0: RecipientResult(RecipientStatus.PENDING, uncertain=True)})),
    error=st.sampled_from(["network", "auth", "provider"]),
    detail=st.just("why"),
    scope=st.sampled_from(Scope),
    damaged=st.just(False),
)
PENDING, ACCEPTED, REFUSED = RecipientStatus.PENDING, RecipientStatus.ACCEPTED, RecipientStatus.REFUSED


def standing(*recipients: RecipientStatus, due: int = 0, expires_at: int | None = None) -> Standing:
    return Standing(
        retries=0, next_attempt_at=due, expires_at=expires_at, uncertain=False, recipients=recipients or (PENDING,)
    )


def failure(scope: Scope = Scope.MESSAGE) -> Outcome:
    return Outcome({}, error="provider", detail="no", scope=scope)


def test_the_table_of_moves() -> None:
    """Only sending reaches sent, nothing leaves it, nothing returns to pending, and only what waits is claimed."""
    assert {str(status) for status in Status} == {"pending", "sending", "sent", "failed"}
    into = {status: {before for before, after in MOVES if after is status} for status in Status}
    assert into[Status.SENT] == {Status.SENDING}
    assert into[Status.PENDING] == set()
    assert into[Status.SENDING] == {Status.PENDING, Status.FAILED}
    assert all(Status.SENT is not before is not after for before, after in MOVES)


@settings(max_examples=300)
@given(STANDING, OUTCOME, POLICY, TIME)
def test_an_attempt_is_settled_by_the_rules(before: Standing, outcome: Outcome, policy: RetryPolicy, now: int) -> None:
    settled = after_attempt(before, outcome, policy, now)
    assert (Status.SENDING, settled.status) in MOVES
    assert (settled.status is Status.SENT) == (set(before.recipients) == {ACCEPTED})
    if settled.status is Status.SENT:
        assert (settled.retries, settled.gave_up, settled.held) == (before.retries, None, False)
        return
    assert settled.retries == before.retries + 1, "a failure counts once"
    assert settled.next_attempt_at >= max(before.next_attempt_at, now + 2 * policy.base_seconds), "only moves later"
    assert settled.uncertain == before.uncertain
    assert settled.held == (outcome.uncertain and policy.hold_uncertain)
    if outcome.scope is Scope.ACCOUNT and PENDING in before.recipients:
        assert settled.gave_up is None


def test_an_outcome_is_uncertain_exactly_when_a_recipient_may_have_the_message() -> None:
    heard, unheard = RecipientResult(PENDING, 451, "no"), RecipientResult(PENDING, uncertain=True)
    for results, uncertain in (({}, False), ({0: heard}, False), ({0: heard, 1: unheard}, True)):
        outcome = Outcome(results, error="network", detail="why")
        settled = after_attempt(standing(), outcome, RetryPolicy(hold_uncertain=True), 1)
        assert (outcome.uncertain, settled.held) == (uncertain, uncertain)


def test_an_attempt_ends_sent_or_given_up_or_deferred() -> None:
    assert Settled(Status.SENT, 1, 0).verdict is Verdict.SENT
    assert Settled(Status.FAILED, 1, 0).verdict is Verdict.DEFERRED
    assert Settled(Status.FAILED, 1, 0, Reason.REFUSED).verdict is Verdict.GAVE_UP


def test_what_nothing_is_said_of_is_certain_new_and_not_held() -> None:
    settled = Settled(Status.FAILED, 1, 0)
    assert not any((settled.uncertain, settled.held, RetryPolicy().hold_uncertain, RecipientResult(PENDING).uncertain))
    assert (standing().drained_seconds, standing().clock_in_doubt) == (0, False)


def test_the_backoff_is_the_table_of_the_contract() -> None:
    delays, due, policy = [], 1_000_000, RetryPolicy()
    for retries in range(14):
        before = Standing(retries=retries, next_attempt_at=due, expires_at=None, uncertain=False, recipients=(PENDING,))
        settled = after_attempt(before, failure(), policy, due)
        delays.append(settled.next_attempt_at - due)
        due = settled.next_attempt_at
    assert delays == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 5120, 5120, 5120, 5120]


@given(st.integers(1, 10**9), st.integers(1, 86_400))
def test_the_delay_grows_to_its_limit_and_no_further(retries: int, base: int) -> None:
    assert delay_after(retries, base) == base * 2 ** min(retries, 10)


def test_a_clock_that_jumped_back_leaves_the_due_time_where_it_was() -> None:
    settled = after_attempt(standing(due=1_000_000), failure(), RetryPolicy(), 5)
    assert settled.next_attempt_at == 1_000_000


@pytest.mark.parametrize(
    "recipients", [r for n in (1, 2, 3) for r in itertools.product(RecipientStatus, repeat=n) if REFUSED in r]
)
def test_a_message_is_given_up_at_once_when_only_refused_recipients_remain(
    recipients: tuple[RecipientStatus, ...],
) -> None:
    settled = after_attempt(standing(*recipients), failure(Scope.RECIPIENT), RetryPolicy(), 0)
    assert settled.status is Status.FAILED
    assert (settled.gave_up is None) == (PENDING in recipients)


@pytest.mark.parametrize(
    ("drained", "attempts", "gave_up"),
    [(120 * 3600, 8, True), (120 * 3600 - 1, 99, False), (120 * 3600, 7, False), (10**9, 9, True)],
)
@pytest.mark.parametrize("now", [0, 10**9, 10**10], ids=lambda now: f"now {now}")
def test_a_message_is_given_up_after_five_drained_days_and_eight_attempts_whatever_the_clock_says(
    drained: int, attempts: int, gave_up: bool, now: int
) -> None:
    before = standing()._replace(drained_seconds=drained, retries=attempts - 1)
    settled = after_attempt(before, failure(), RetryPolicy(), now)
    assert (settled.status, settled.gave_up is not None) == (Status.FAILED, gave_up)
    assert after_attempt(before, failure(Scope.ACCOUNT), RetryPolicy(), now).gave_up is None


@pytest.mark.parametrize(
    ("outcome", "counts", "reached", "response"),
    [
        (Outcome({0: RecipientResult(REFUSED, 550, "no")}, error="provider", detail="why"), False, 0, "why"),
        (Outcome({0: RecipientResult(PENDING, uncertain=True)}, error="network", detail="why"), True, 1, "why"),
        (Outcome({0: RecipientResult(ACCEPTED, 250), 1: RecipientResult(REFUSED, 550, "no")}, error="provider",
                 detail="why", acceptance="ok"), True, 1, "ok"),
        (Outcome({0: RecipientResult(ACCEPTED, 250), 1: RecipientResult(ACCEPTED, 250)}, acceptance="ok"),
         True, 2, "ok"),
    ],
    ids=["refused", "uncertain", "accepted for one", "accepted"],
)  # fmt: skip
def test_an_attempt_counts_for_the_limits_with_those_who_may_have_the_message(
    outcome: Outcome, counts: bool, reached: int, response: str
) -> None:
    assert (outcome.counts, outcome.reached, outcome.response) == (counts, reached, response)


@pytest.mark.parametrize(
    ("recorded_at", "now", "counted"),
    [(None, 5, 0), (100, 160, 60), (100, 100, 0), (10**9, 5, 0), (0, 25 * 3600, 25 * 3600), (0, 10**9, 25 * 3600)],
)
def test_an_absence_counts_for_a_day_and_a_clock_that_went_back_for_nothing(
    recorded_at: int | None, now: int, counted: int
) -> None:
    assert drained_since(recorded_at, now) == counted


@pytest.mark.parametrize(
    ("recorded_at", "now", "doubt"), [(None, 10**9, False), (0, 86_400, False), (0, 86_401, True), (10**9, 0, False)]
)
def test_a_clock_is_in_doubt_when_it_is_a_day_past_the_last_moment(
    recorded_at: int | None, now: int, doubt: bool
) -> None:
    assert clock_in_doubt(recorded_at, now) is doubt


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("recipients", [(PENDING,), (ACCEPTED, PENDING), (REFUSED,)])
def test_a_damaged_message_is_given_up_for_that(scope: Scope, recipients: tuple[RecipientStatus, ...]) -> None:
    outcome = Outcome({}, error="storage", detail="damaged", scope=scope, damaged=True)
    assert after_attempt(standing(*recipients), outcome, RetryPolicy(), 0).gave_up == "damaged"


def test_a_clock_in_doubt_expires_nothing() -> None:
    before = standing(expires_at=100)._replace(clock_in_doubt=True)
    assert after_attempt(before, failure(), RetryPolicy(), 10**9).gave_up is None


@pytest.mark.parametrize(("now", "reason"), [(99, None), (100, "expired"), (101, "expired")])
def test_a_message_is_given_up_once_it_has_expired(now: int, reason: str | None) -> None:
    assert after_attempt(standing(expires_at=100), failure(), RetryPolicy(), now).gave_up == reason


def test_a_last_attempt_that_succeeds_after_the_limit_is_sent() -> None:
    accepted = Outcome({0: RecipientResult(ACCEPTED, 250, "ok")}, acceptance="ok")
    assert after_attempt(standing(ACCEPTED, expires_at=1), accepted, RetryPolicy(), 10**9).status is Status.SENT


@given(st.integers(0, 10**6), POLICY, TIME)
def test_a_message_whose_run_died_is_due_at_once_and_uncertain(retries: int, policy: RetryPolicy, now: int) -> None:
    assert (Status.SENDING, Status.FAILED) in MOVES
    assert after_crash(retries, policy, now) == Settled(
        Status.FAILED, retries + 1, now, None, uncertain=True, held=policy.hold_uncertain
    )


@pytest.mark.parametrize(
    ("status", "gave_up", "over", "counted"),
    [
        (Status.PENDING, None, False, "pending"),
        (Status.PENDING, Reason.CANCELLED, True, "cancelled"),
        (Status.PENDING, Reason.EXPIRED, True, "expired"),
        (Status.SENDING, None, False, "sending"),
        (Status.SENDING, Reason.CANCELLED, False, "sending"),
        (Status.SENDING, Reason.REFUSED, False, "sending"),
        (Status.SENT, None, True, "sent"),
        (Status.FAILED, None, False, "failed"),
        (Status.FAILED, Reason.CANCELLED, True, "cancelled"),
        (Status.FAILED, Reason.EXPIRED, True, "failed"),
        (Status.FAILED, Reason.REFUSED, True, "failed"),
    ],
)
def test_a_message_is_over_once_it_is_sent_or_given_up_and_counts_as_cancelled_or_as_what_it_came_to(
    status: Status, gave_up: Reason | None, over: bool, counted: str
) -> None:
    assert (is_over(status, gave_up), counted_as(status, gave_up)) == (over, counted)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("uncertain", [False, True])
def test_a_recipient_stays_uncertain_until_it_is_accepted(before: bool, uncertain: bool) -> None:
    for status in (PENDING, REFUSED):
        assert RecipientResult(status, uncertain=uncertain).leaves_uncertain(before) is (before or uncertain)
    assert not RecipientResult(ACCEPTED, uncertain=uncertain).leaves_uncertain(before)


def test_a_message_id_names_message_and_attempt() -> None:
    assert message_id(7, 0, "prx-email.local") == "<outbox-7-0@prx-email.local>"
    assert message_id(42, 3, "3f2a91bc.prx-email.local") == "<outbox-42-3@3f2a91bc.prx-email.local>"


@given(st.integers(1, 2**40), st.integers(0, 1000), st.booleans(), st.none() | st.just("<previous@x>"))
def test_only_an_uncertain_attempts_message_id_is_repeated(
    outbox_id: int, retries: int, uncertain: bool, previous: str | None
) -> None:
    made = message_id_for_attempt(outbox_id, retries, "d.example", previous, uncertain)
    assert (made == previous) == (uncertain and previous is not None)
    if made != previous:
        assert made == f"<outbox-{outbox_id}-{retries}@d.example>"
