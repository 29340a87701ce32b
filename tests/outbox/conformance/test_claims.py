"""Which message a claim gives, to whom it is addressed, and under which Message-ID."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from prx_email_cli.errors import LimitUsedUp, NotAllowedForStatus, NotFound, PrxEmailError, RetryNotDue
from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.outbox.messages import ClaimNext, ClaimOne, Limit
from prx_email_cli.outbox.store import Run, Store

from ..messages import DOMAIN, NOW, new_message, sent, wish
from .asking import FOR_EVER, PENDING, attempt, claim, claim_many, claim_next, forced, ids, refuse, submit

# --- the next one


def test_the_longest_due_is_claimed_first_and_nothing_before_its_time(store: Store, run: Run) -> None:
    submit(store, *[new_message(due_at=NOW + offset) for offset in (5, -1, 0, -1, 1)])
    assert [claim(run).outbox_id for _ in range(3)] == [2, 4, 3]
    assert claim_next(run) is None
    assert claim_next(run, NOW + 1) is not None
    assert [store.count_due("work", now) for now in (NOW + 4, NOW + 5)] == [0, 1]


BULK, NORMAL, HIGH = Priority.BULK, Priority.NORMAL, Priority.HIGH


def test_a_higher_class_is_claimed_before_all_of_the_lower_ones_and_within_it_the_longest_due(
    store: Store, run: Run
) -> None:
    offsets = [(BULK, -9), (NORMAL, -5), (HIGH, 0), (BULK, -99), (HIGH, -1), (NORMAL, -7), (HIGH, 1)]
    submit(store, *[new_message(due_at=NOW + offset, priority=priority) for priority, offset in offsets])
    assert [[one.outbox_id for one in claim_many(run, 2)] for _ in range(4)] == [[5, 3], [6, 2], [4, 1], []]
    assert (claim(run, NOW + 1).outbox_id, claim_next(run, NOW + 1)) == (7, None)


def test_classes_are_kept_where_limits_have_room_for_some_only(store: Store, run: Run) -> None:
    three, one = new_message("a@x.org", "b@x.org", "c@x.org", priority=HIGH), new_message(priority=BULK)
    submit(store, one, three, one)
    limits = (Limit(4, 60), Limit(4, 60, of_recipients=True))
    assert [one.outbox_id for one in claim_many(run, 3, limits=limits)] == [2, 1]


def test_due_messages_of_every_class_are_counted_and_make_an_account_due(store: Store) -> None:
    accounts = [(HIGH, "high"), (NORMAL, "normal"), (BULK, "bulk")]
    submit(store, *[new_message(account=account, priority=priority) for priority, account in accounts])
    submit(store, *[new_message(priority=priority) for priority in Priority])
    assert store.accounts_due(NOW) == ["bulk", "high", "normal", "work"]
    assert [store.count_due("work", NOW, limit) for limit in (1, 2, None)] == [1, 2, 3]
    assert [store.count_due(account, NOW) for _, account in accounts] == [1, 1, 1]


def test_a_claim_takes_what_was_due_when_the_drain_began_whatever_the_time_now(store: Store, run: Run) -> None:
    submit(store, new_message(due_at=NOW), new_message(due_at=NOW + 1))
    began = ClaimNext("work", due_before=NOW, now=NOW + 60)
    assert ids(run.advance([], [began, began])) == [[1], []]


def test_a_claim_takes_only_its_accounts_messages(store: Store, run: Run) -> None:
    submit(store, new_message(account="home", due_at=NOW - 9), new_message(account="work"))
    assert claim(run).outbox_id == 2
    assert claim_next(run) is None
    assert store.accounts_due(NOW) == ["home"]
    assert (store.count_due("home", NOW), store.count_due("work", NOW), store.count_due("none", NOW)) == (1, 0, 0)


PUT_ASIDE: dict[str, Callable[[Store, Run], object]] = {
    "held": lambda store, run: store.hold(1, NOW),
    "cancelled": lambda store, run: store.cancel(1, NOW),
    "given up": lambda store, run: refuse(run),
}


@pytest.mark.parametrize("what", PUT_ASIDE)
def test_a_drain_leaves_what_is_held_or_given_up_and_a_person_can_still_take_it(
    store: Store, run: Run, what: str
) -> None:
    submit(store)
    PUT_ASIDE[what](store, run)
    assert claim_next(run, FOR_EVER) is None
    assert (store.count_due("work", FOR_EVER), store.accounts_due(FOR_EVER)) == (0, [])
    assert run.claim_by_id(forced(1)).outbox_id == 1


def test_a_drain_leaves_what_has_expired_also_since_it_began_and_a_person_can_still_take_it(
    store: Store, run: Run
) -> None:
    submit(store, new_message(expires_at=NOW + 1), new_message(expires_at=NOW + 1))
    for late in (wish(NOW + 1), ClaimNext("work", due_before=NOW, now=NOW + 1)):
        assert run.advance([], [late]).claims == [[]]
    assert (store.count_due("work", NOW + 1), store.accounts_due(NOW + 1)) == (0, [])
    assert claim(run).outbox_id == 1
    assert run.claim_by_id(ClaimOne(2, NOW + 1)).expires_at == NOW + 1


def test_what_a_run_has_in_hand_or_was_sent_nobody_else_gets(store: Store, run: Run) -> None:
    submit(store)
    claimed = claim(run)
    with store.start_run(NOW) as other:
        for _ in range(2):
            assert claim_next(other, FOR_EVER) is None
            with pytest.raises(NotAllowedForStatus):
                other.claim_by_id(forced(1, FOR_EVER))
            run.advance([sent(claimed)], [])
    assert store.accounts_due(FOR_EVER) == []


def test_counting_what_is_due_goes_no_further_than_asked(store: Store) -> None:
    submit(
        store, *[new_message() for _ in range(5)], new_message(account="a"), new_message(account="b", due_at=NOW + 1)
    )
    assert [store.count_due("work", NOW, limit) for limit in (1, 3, 5, 9, None)] == [1, 3, 5, 5, 5]
    assert store.accounts_due(NOW) == ["a", "work"]
    assert store.accounts_due(NOW + 1) == ["a", "b", "work"]


def test_the_next_due_time_is_that_of_what_waits_for_drains(store: Store, run: Run) -> None:
    assert store.next_due_at() is None
    submit(store, new_message(due_at=NOW + 9), new_message(account="b", due_at=NOW + 5), new_message(due_at=NOW + 7))
    assert store.next_due_at() == NOW + 5
    store.hold(2, NOW)
    assert store.next_due_at() == NOW + 7
    claim(run, NOW + 7)
    assert store.next_due_at() == NOW + 9


def test_looking_whether_something_can_be_claimed_changes_nothing(store: Store, run: Run) -> None:
    submit(store)
    before = store.row(1)
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
            (lost,), ((*following,),) = run.advance([sent(claimed)], [wish(NOW)])
            assert lost is None
            claimed = following[0] if following else None

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deliver, range(4)))
    assert Counter(done) == Counter(ids)
    assert store.stats(NOW).sent == len(ids)


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


# --- Message-IDs


def test_each_definite_failure_gets_a_message_id_of_its_own_and_an_uncertain_one_is_repeated(
    store: Store, run: Run
) -> None:
    submit(store)
    seen = [attempt(run, PENDING, now=NOW + number * 10_000).message_id for number in range(2)]
    uncertain = attempt(run, uncertain=True, now=NOW + 20_000)
    assert [*seen, uncertain.message_id] == [f"<outbox-1-{retries}@{DOMAIN}>" for retries in range(3)]
    repeated = attempt(run, PENDING, now=NOW + 30_000)
    assert (repeated.message_id, repeated.uncertain) == (uncertain.message_id, True)
    assert claim(run, NOW + 99_999).message_id == uncertain.message_id, "its copy may still have been accepted"
    assert store.row(1).uncertain


def test_a_message_that_a_person_resolved_gets_a_new_message_id(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, uncertain=True)
    store.resolve(1, NOW, sent=False)
    assert claim(run, NOW + 10).message_id == f"<outbox-1-1@{DOMAIN}>"
