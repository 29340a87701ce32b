"""Which message a claim gives, to whom it is addressed, and under which Message-ID."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from prx_email_cli.errors import LimitUsedUp, NotAllowedForStatus, NotFound, PrxEmailError, RetryNotDue
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Limit
from prx_email_cli.outbox.store import Run, Store

from ..messages import DOMAIN, NOW, ended, new_message, sent, wish
from .asking import ACCEPTED, FOR_EVER, PENDING, REFUSED, attempt, claim, claim_next, forced, record, refuse, submit

# --- the next one


def test_the_longest_due_is_claimed_first_and_nothing_before_its_time(store: Store, run: Run) -> None:
    submit(store, *[new_message(due_at=NOW + offset) for offset in (5, -1, 0, -1, 1)])
    assert [claim(run).outbox_id for _ in range(3)] == [2, 4, 3]
    assert claim_next(run) is None
    assert claim_next(run, NOW + 1) is not None
    assert store.next_due_at() == NOW + 5


def test_a_claim_takes_what_was_due_when_the_drain_began_whatever_the_time_now(store: Store, run: Run) -> None:
    submit(store, new_message(due_at=NOW), new_message(due_at=NOW + 1))
    began = ClaimNext("work", due_before=NOW, now=NOW + 60)
    first, second = run.advance([], [began, began]).claims
    assert (first is not None and first.outbox_id, second) == (1, None)
    assert not store.claimable(began)


def test_a_claim_takes_only_its_accounts_messages(store: Store, run: Run) -> None:
    submit(store, new_message(account="home", due_at=NOW - 9), new_message(account="work"))
    assert claim(run).outbox_id == 2
    assert claim_next(run) is None
    assert store.accounts_due(NOW) == ["home"]
    assert (store.count_due("home", NOW), store.count_due("work", NOW), store.count_due("none", NOW)) == (1, 0, 0)


def hold(store: Store, run: Run) -> None:
    store.hold(1, NOW)


def cancel(store: Store, run: Run) -> None:
    store.cancel(1, NOW)


def give_up(store: Store, run: Run) -> None:
    refuse(run)


@pytest.mark.parametrize("put_aside", [hold, cancel, give_up])
def test_a_drain_leaves_what_is_held_or_given_up_and_a_person_can_still_take_it(
    store: Store, run: Run, put_aside: partial[None]
) -> None:
    submit(store)
    put_aside(store, run)
    assert claim_next(run, FOR_EVER) is None
    assert not store.claimable(wish(FOR_EVER))
    assert (store.count_due("work", FOR_EVER), store.accounts_due(FOR_EVER), store.next_due_at()) == (0, [], None)
    assert run.claim_by_id(forced(1)).outbox_id == 1


def test_a_drain_leaves_what_has_expired(store: Store, run: Run) -> None:
    submit(store, new_message(expires_at=NOW + 1))
    assert store.claimable(wish(NOW))
    assert not store.claimable(wish(NOW + 1))
    assert claim_next(run, NOW + 1) is None
    assert (store.count_due("work", NOW + 1), store.accounts_due(NOW + 1)) == (0, [])
    assert claim(run).outbox_id == 1


def test_a_message_that_expired_since_the_drain_began_is_left(store: Store, run: Run) -> None:
    submit(store, new_message(expires_at=NOW + 1))
    late = ClaimNext("work", due_before=NOW, now=NOW + 1)
    assert run.advance([], [late]).claims == [None]
    assert not store.claimable(late)


def test_what_a_run_has_in_hand_or_was_sent_nobody_else_gets(store: Store, run: Run) -> None:
    submit(store)
    claimed = claim(run)
    with store.start_run(NOW) as other:
        for _ in range(2):
            assert claim_next(other, FOR_EVER) is None
            with pytest.raises(NotAllowedForStatus):
                other.claim_by_id(forced(1, FOR_EVER))
            run.advance([sent(claimed)], [])
    assert store.next_due_at() is None


def test_counting_what_is_due_goes_no_further_than_asked(store: Store) -> None:
    submit(
        store, *[new_message() for _ in range(5)], new_message(account="a"), new_message(account="b", due_at=NOW + 1)
    )
    assert [store.count_due("work", NOW, limit) for limit in (1, 3, 5, 9, None)] == [1, 3, 5, 5, 5]
    assert store.accounts_due(NOW) == ["a", "work"]
    assert store.accounts_due(NOW + 1) == ["a", "b", "work"]
    assert store.next_due_at() == NOW


def test_looking_whether_something_can_be_claimed_changes_nothing(store: Store, run: Run) -> None:
    submit(store)
    before = store.row(1)
    assert store.claimable(wish(NOW))
    assert store.check_claim(ClaimOne(1, NOW)) == "work"
    assert store.row(1) == before
    assert claim(run).message_id == f"<outbox-1-0@{DOMAIN}>"


def test_threads_that_deliver_at_once_finish_each_message_once(store: Store, run: Run) -> None:
    ids = submit(store, *[new_message() for _ in range(60)])
    done: list[int] = []

    def deliver(_: int) -> None:
        claimed = claim_next(run)
        while claimed is not None:
            done.append(claimed.outbox_id)
            (lost,), (claimed,) = run.advance([sent(claimed)], [wish(NOW)])
            assert lost is None

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deliver, range(4)))
    assert Counter(done) == Counter(ids)
    assert store.stats(NOW).sent == len(ids)


# --- limits


def claims_at(run: Run, *limits: Limit, now: int = NOW) -> Claimed | None:
    return claim_next(run, now, limits=limits)


def test_a_limit_counts_what_was_accepted_and_what_is_under_way_in_its_span(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(4)])
    two_a_minute = Limit(2, 60)
    record(run, sent(claim(run, NOW)))
    assert claims_at(run, two_a_minute, now=NOW + 30), "one is taken"
    assert claims_at(run, two_a_minute, now=NOW + 59) is None, "one was sent and one is under way"
    assert not store.claimable(ClaimNext("work", NOW + 59, NOW + 59, (two_a_minute,)))
    assert claims_at(run, Limit(2, 60), Limit(2, 86_400), now=NOW + 60) is None, "each of the limits must have room"
    assert claims_at(run, two_a_minute, now=NOW + 60), "a minute after it was started, the first no longer counts"


def test_each_claim_of_one_step_counts_for_the_next(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(4)])
    limited = ClaimNext("work", NOW, NOW, (Limit(2, 60),))
    claims = run.advance([], [limited] * 3).claims
    assert [claimed and claimed.outbox_id for claimed in claims] == [1, 2, None]
    first = claims[0]
    assert first is not None
    assert run.advance([ended(first, REFUSED)], [limited]).claims[0], "what the server refused does not count"


def test_what_may_have_been_accepted_counts_and_what_was_refused_does_not(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(4)])
    attempt(run, REFUSED)
    attempt(run, PENDING)
    assert claims_at(run, Limit(0, 60)) is None
    claimed = claims_at(run, Limit(1, 60))
    assert claimed is not None
    record(run, ended(claimed, uncertain=True))
    assert claims_at(run, Limit(1, 60)) is None


def test_another_accounts_messages_do_not_count(store: Store, run: Run) -> None:
    submit(store, new_message(account="home"), new_message())
    assert claim_next(run, account="home")
    assert claims_at(run, Limit(1, 60))


def test_a_limit_of_recipients_counts_recipients(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org"), new_message("c@x.org"), new_message("d@x.org", "e@x.org"))
    three_a_day = Limit(3, 86_400, of_recipients=True)
    first = claims_at(run, three_a_day)
    assert first is not None
    record(run, ended(first, ACCEPTED, REFUSED))
    assert claims_at(run, three_a_day), "one was accepted"
    assert claims_at(run, three_a_day, now=NOW + 1) is None, "two and two are more than three"
    assert claims_at(run, three_a_day, now=NOW + 86_400), "a day later they no longer count"


def test_a_message_with_more_recipients_than_the_limit_goes_when_nothing_else_counts(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org", "c@x.org"), new_message())
    one_a_day = Limit(1, 86_400, of_recipients=True)
    assert claims_at(run, one_a_day)
    assert claims_at(run, one_a_day) is None


def test_what_the_limits_do_not_admit_keeps_its_place(store: Store, run: Run) -> None:
    """A smaller message does not overtake it."""
    submit(store, new_message(), new_message("a@x.org", "b@x.org"), new_message())
    two_a_day = Limit(2, 86_400, of_recipients=True)
    assert claims_at(run, two_a_day)
    assert claims_at(run, two_a_day) is None


# --- by id


def test_a_person_is_refused_in_the_order_of_the_contract(store: Store, run: Run) -> None:
    submit(store, new_message(due_at=NOW + 60))
    used_up = (Limit(0, 60),)

    def refused(error: type[PrxEmailError], wish: ClaimOne) -> None:
        before = store.stats(NOW)
        for try_it in (store.check_claim, run.claim_by_id):
            with pytest.raises(error):
                try_it(wish)
        assert store.stats(NOW) == before

    refused(NotFound, ClaimOne(99, NOW, force=True, limits=used_up))
    refused(NotFound, ClaimOne(2**70, NOW, force=True, limits=used_up))
    refused(RetryNotDue, ClaimOne(1, NOW + 59, limits=used_up))
    refused(LimitUsedUp, ClaimOne(1, NOW + 59, force=True, limits=used_up))
    refused(LimitUsedUp, ClaimOne(1, NOW + 60, limits=used_up))
    store.hold(1, NOW)
    refused(NotAllowedForStatus, ClaimOne(1, NOW + 59, limits=used_up))
    refused(LimitUsedUp, ClaimOne(1, NOW + 59, force=True, limits=used_up))
    claimed = run.claim_by_id(forced(1))
    refused(NotAllowedForStatus, ClaimOne(1, NOW + 60, force=True, limits=used_up))
    run.advance([sent(claimed)], [])
    refused(NotAllowedForStatus, ClaimOne(1, NOW + 60, force=True, limits=used_up))


def test_a_person_cannot_take_what_was_pruned(store: Store, run: Run) -> None:
    submit(store)
    store.cancel(1, NOW)
    store.prune(NOW, NOW)
    with pytest.raises(NotAllowedForStatus):
        run.claim_by_id(forced(1))


def test_a_person_takes_what_has_expired(store: Store, run: Run) -> None:
    submit(store, new_message(expires_at=NOW))
    assert run.claim_by_id(ClaimOne(1, NOW)).expires_at == NOW


def test_a_persons_retry_counts_for_a_limit_and_the_other_way_round(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    run.claim_by_id(ClaimOne(2, NOW, limits=(Limit(1, 60),)))
    assert claims_at(run, Limit(1, 60)) is None
    with pytest.raises(LimitUsedUp):
        run.claim_by_id(ClaimOne(1, NOW, limits=(Limit(1, 60),)))


# --- Message-IDs


def test_each_definite_failure_gets_a_message_id_of_its_own(store: Store, run: Run) -> None:
    submit(store)
    seen = [attempt(run, PENDING, now=NOW + number * 10_000).message_id for number in range(3)]
    assert seen == [f"<outbox-1-{retries}@{DOMAIN}>" for retries in range(3)]


def test_an_attempt_after_an_uncertain_one_repeats_its_message_id(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, PENDING)
    uncertain = attempt(run, uncertain=True, now=NOW + 10)
    assert uncertain.message_id == f"<outbox-1-1@{DOMAIN}>"
    repeated = attempt(run, PENDING, now=NOW + 10_000)
    assert (repeated.message_id, repeated.uncertain) == (uncertain.message_id, True)
    assert claim(run, NOW + 99_999).message_id == uncertain.message_id, "its copy may still have been accepted"
    assert store.row(1).uncertain


def test_a_message_that_a_person_resolved_gets_a_new_message_id(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, uncertain=True)
    store.resolve(1, NOW, sent=False)
    assert claim(run, NOW + 10).message_id == f"<outbox-1-1@{DOMAIN}>"
