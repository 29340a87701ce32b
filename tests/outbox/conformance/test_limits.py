"""What counts against a provider's limits: what it took or may have taken, and what is claimed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prx_email_cli.errors import LimitUsedUp
from prx_email_cli.outbox.messages import Addressee, Claimed, ClaimNext, ClaimOne, Limit
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Usage

from ..messages import NOW, ended, new_message, sent
from .asking import ACCEPTED, PENDING, REFUSED, claim, claim_many, claim_next, give_back, ids, record, submit

MINUTE, HOUR = 60, 3600


def next_within(run: Run, limit: Limit, now: int = NOW, account: str = "work") -> Claimed | None:
    """Claim as a drain does, for an account with one limit."""
    return claim_next(run, now, account, (limit,))


TAKEN: dict[str, Callable[[Run], object]] = {
    "sent": lambda run: record(run, sent(claim(run))),
    "without an answer": lambda run: record(run, ended(claim(run), uncertain=True)),
}


@pytest.mark.parametrize("limit", [Limit(1, MINUTE), Limit(1, MINUTE, of_recipients=True)])
class TestOneInAMinute:
    @pytest.mark.parametrize("what", TAKEN)
    def test_is_used_up_by_what_was_or_may_be_taken_until_the_minute_is_over(
        self, store: Store, run: Run, limit: Limit, what: str
    ) -> None:
        submit(store, new_message(), new_message(due_at=NOW - 1))
        TAKEN[what](run)
        assert next_within(run, limit, NOW + MINUTE - 1) is None
        with pytest.raises(LimitUsedUp):
            run.claim_by_id(ClaimOne(1, NOW + MINUTE - 1, limits=(limit,)))
        assert next_within(run, limit, NOW + MINUTE) is not None

    def test_is_used_up_by_a_claim_as_long_as_it_lasts(self, store: Store, run: Run, limit: Limit) -> None:
        """Its attempt may begin at any moment."""
        submit(store, new_message(), new_message())
        claimed = claim(run)
        assert next_within(run, limit, NOW + 10 * HOUR) is None
        give_back(run, claimed)
        assert next_within(run, limit, NOW + 10 * HOUR) is not None

    def test_is_left_by_an_attempt_of_which_the_provider_took_nothing(
        self, store: Store, run: Run, limit: Limit
    ) -> None:
        submit(store, new_message(), new_message())
        under_way = next_within(run, limit)
        assert under_way is not None
        assert next_within(run, limit) is None
        record(run, ended(under_way))
        assert next_within(run, limit) is not None

    def test_is_each_accounts_own(self, store: Store, run: Run, limit: Limit) -> None:
        submit(store, new_message(), new_message(), new_message(account="home"), new_message(account="other"))
        record(run, sent(claim(run)))
        assert next_within(run, limit, account="home") is not None
        assert next_within(run, limit, account="other") is not None


class TestALimitOfRecipients:
    def test_counts_those_whom_a_message_under_way_still_addresses(self, store: Store, run: Run) -> None:
        submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
        record(run, ended(claim(run), ACCEPTED, ACCEPTED, PENDING))
        later = NOW + HOUR
        claim(run, now=later)  # for the third recipient alone
        submit(store, new_message("d@x.org", "e@x.org", due_at=later))
        assert next_within(run, Limit(2, MINUTE, of_recipients=True), later) is None
        assert next_within(run, Limit(3, MINUTE, of_recipients=True), later) is not None

    @pytest.mark.parametrize("by_hand", [False, True])
    def test_counts_those_of_the_next_message_that_are_left(self, store: Store, run: Run, by_hand: bool) -> None:
        submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
        record(run, ended(claim(run), ACCEPTED, ACCEPTED, PENDING))
        later, limit = NOW + HOUR, Limit(2, MINUTE, of_recipients=True)
        submit(store, new_message(due_at=NOW), new_message("d@x.org", "e@x.org", due_at=later - 1))
        record(run, sent(claim(run, now=later)))
        if by_hand:
            taken: Claimed | None = run.claim_by_id(ClaimOne(1, later, limits=(limit,)))
        else:
            taken = next_within(run, limit, later)
        assert taken is not None
        assert [target.address for target in taken.targets] == ["c@x.org"]

    def test_asks_about_the_message_that_is_next_and_no_other(self, store: Store, run: Run) -> None:
        three = ("a@x.org", "b@x.org", "c@x.org")
        submit(store, new_message())
        record(run, sent(claim(run)))
        submit(store,
            new_message(*three, due_at=NOW - 4, account="home"), new_message(*three, due_at=NOW - 3, expires_at=NOW),
            new_message(*three, due_at=NOW - 2), new_message(due_at=NOW - 1, expires_at=NOW + 1),
            new_message(*three, due_at=NOW + 1),
        )  # fmt: skip
        store.hold(4, NOW)
        taken = next_within(run, Limit(2, MINUTE, of_recipients=True))
        assert taken is not None
        assert taken.outbox_id == 5
        submit(store, new_message(*three, due_at=NOW - 5, expires_at=NOW + 1))
        assert next_within(run, Limit(4, MINUTE, of_recipients=True)) is None, "it expires later"

    def test_lets_a_larger_message_go_when_nothing_else_has_been_counted(self, store: Store, run: Run) -> None:
        submit(store, new_message("a@x.org", "b@x.org", "c@x.org"), new_message())
        limit = Limit(2, MINUTE, of_recipients=True)
        first = next_within(run, limit)
        assert first is not None
        assert next_within(run, limit) is None


def test_each_claim_of_one_step_counts_for_the_next(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(4)])
    limited = ClaimNext("work", NOW, NOW, (Limit(2, 60),))
    advanced = run.advance([], [limited] * 3)
    assert ids(advanced) == [[1], [2], []]
    first = ended(advanced.claims[0][0], REFUSED)
    assert ids(run.advance([first], [limited])) == [[3]], "what the server refused does not count"


@pytest.mark.parametrize("limit", [Limit(2, 60), Limit(2, 60, of_recipients=True)])
def test_a_wish_for_many_gets_what_the_limits_admit(store: Store, run: Run, limit: Limit) -> None:
    submit(store, *[new_message() for _ in range(4)])
    assert [one.outbox_id for one in claim_many(run, 4, limits=(limit,))] == [1, 2]
    assert claim_many(run, 4, limits=(limit,)) == []


def test_what_the_limits_do_not_admit_keeps_its_place(store: Store, run: Run) -> None:
    """A smaller message does not overtake it."""
    submit(store, new_message(), new_message("a@x.org", "b@x.org"), new_message())
    two_a_day = Limit(2, 86_400, of_recipients=True)
    assert next_within(run, two_a_day)
    assert next_within(run, two_a_day) is None


def test_a_persons_retry_counts_for_a_limit(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    run.claim_by_id(ClaimOne(2, NOW, limits=(Limit(1, 60),)))
    assert next_within(run, Limit(1, 60)) is None


def test_each_of_the_limits_must_have_room(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    record(run, sent(claim(run)))
    minute, day = Limit(1, 60), Limit(1, 86_400)
    for limits in ((minute, day), (day, minute)):
        assert claim_next(run, NOW + 60, limits=limits) is None
    assert claim_next(run, NOW + 60, limits=(minute, Limit(2, 86_400)))


@pytest.mark.parametrize("of_recipients", [False, True])
def test_how_much_of_a_limit_is_used_and_when_there_is_room_again_is_told(
    store: Store, run: Run, of_recipients: bool
) -> None:
    limit, size = Limit(4 if of_recipients else 2, HOUR, of_recipients), 2 if of_recipients else 1
    two = new_message()._replace(recipients=[Addressee("a@x.org"), Addressee("b@x.org")])
    submit(store, two, two, two, new_message(account="home"))
    assert store.usage("work", (limit,), NOW) == [Usage(limit, 0, None)]
    for number in range(2):
        claimed = claim(run, NOW + number)
        record(run, ended(claimed, *[ACCEPTED] * 2, now=NOW + number))
        free_at = NOW + HOUR if number else None
        assert store.usage("work", (limit,), NOW + number) == [Usage(limit, (number + 1) * size, free_at)]
    assert store.usage("work", (limit,), NOW + HOUR) == [Usage(limit, size, None)]
    assert store.usage("home", (limit, limit), NOW + 1) == [Usage(limit, 0, None)] * 2


def test_what_was_delivered_since_a_moment_is_counted_by_account(store: Store, run: Run) -> None:
    submit(store, *[new_message()] * 3, new_message(account="home"))
    for number in range(2):
        record(run, ended(claim(run, NOW + number), ACCEPTED, now=NOW + number))
    record(run, ended(claim(run), PENDING))
    assert store.delivered(NOW - 1) == {"home": 0, "work": 2}
    assert store.delivered(NOW) == {"home": 0, "work": 1}
    assert store.delivered(NOW + 1) == {"home": 0, "work": 0}
