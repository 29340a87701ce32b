"""What a finished attempt leaves behind, many of them in one step, and claims that are given back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prx_email_cli.errors import ClaimLost
from prx_email_cli.outbox.lifecycle import RetryPolicy, Scope
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, Limit
from prx_email_cli.outbox.store import Run, Store

from ..messages import DOMAIN, NOW, ended, new_message, sent, wish
from .asking import (
    ACCEPTED,
    FOR_EVER,
    PENDING,
    REFUSED,
    Dying,
    attempt,
    claim,
    claim_many,
    claim_next,
    forced,
    give_back,
    ids,
    record,
    recover,
    refuse,
    statuses,
    submit,
    write_whole,
)


def lost(advanced: Advanced) -> list[bool]:
    assert all(one is None or isinstance(one, ClaimLost) for one in advanced.lost)
    return [one is not None for one in advanced.lost]


# --- one attempt


def test_a_message_is_pending_until_claimed_then_sending_then_sent(store: Store, run: Run) -> None:
    submit(store)
    seen = [store.row(1).status]
    claimed = claim(run)
    under_way = store.row(1)
    (begun,) = under_way.attempts
    assert (under_way.status, under_way.next_attempt_at) == ("sending", NOW)
    assert (begun.run_id, begun.message_id, begun.outcome) == (run.run_id, claimed.message_id, None)
    assert (begun.started_at, begun.finished_at) == (NOW, None)
    record(run, sent(claimed))
    row = store.row(1)
    assert [*seen, under_way.status, row.status] == ["pending", "sending", "sent"]
    assert (row.provider_message_id, row.sent_at, row.next_attempt_at) == ("2.0.0 queued", NOW, None)
    assert (row.retries, row.last_error, row.error_code, row.uncertain) == (0, None, None, False)
    (done,) = row.attempts
    assert (done.outcome, done.message_id, done.run_id) == ("sent", claimed.message_id, run.run_id)
    assert (done.started_at, done.finished_at, done.response) == (NOW, NOW, "2.0.0 queued")


def test_a_deferred_message_is_due_later_and_says_why(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, PENDING, now=NOW + 5)
    row = store.row(1)
    assert (row.status, row.retries, row.next_attempt_at, row.gave_up) == ("failed", 1, NOW + 15, None)
    assert (row.last_error, row.error_code, row.message_id) == ("why", "network", f"<outbox-1-0@{DOMAIN}>")
    assert [(one.outcome, one.response) for one in row.attempts] == [("deferred", "why")]
    assert [store.count_due("work", now) for now in (NOW + 14, NOW + 15)] == [0, 1]


def test_a_retry_goes_only_to_those_not_yet_accepted(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
    attempt(run, ACCEPTED, PENDING, REFUSED)
    assert (store.row(1).status, store.row(1).gave_up) == ("failed", None)
    assert statuses(store) == ["accepted", "pending", "refused"]
    again = claim(run, NOW + 10)
    assert [target.address for target in again.targets] == ["b@x.org"]
    assert [(other.address, other.status, other.response) for other in again.others] == [
        ("a@x.org", "accepted", None), ("c@x.org", "refused", "said so"),
    ]  # fmt: skip
    record(run, ended(again, REFUSED, now=NOW + 10))
    assert (store.row(1).status, store.row(1).gave_up) == ("failed", "refused")
    by_hand = run.claim_by_id(forced(1))
    assert [target.address for target in by_hand.targets] == ["b@x.org", "c@x.org"]
    record(run, ended(by_hand, ACCEPTED, ACCEPTED))
    assert (store.row(1).status, store.row(1).gave_up) == ("sent", None)
    assert [one.outcome for one in store.row(1).attempts] == ["deferred", "gave_up", "sent"]


def test_recipients_tell_what_the_server_said_last(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org"))
    attempt(run, ACCEPTED, PENDING)
    first, second = store.row(1).recipients
    assert (first.address, first.kind, first.code, first.response) == ("a@x.org", "to", 250, "said so")
    assert (second.status, second.code, second.response) == ("pending", 450, "said so")
    attempt(run, uncertain=True, now=NOW + 10)
    assert store.row(1).recipients[1].code is None
    assert store.row(1).recipients[0] == first, "an accepted recipient stays as it is"


def test_an_accepted_recipient_stays_accepted_whatever_is_said_later(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org"))
    first = claim(run)
    record(run, ended(first, ACCEPTED, PENDING))
    second = claim(run, NOW + 10)
    for_all = second._replace(targets=first.targets)
    record(run, ended(for_all, REFUSED, PENDING, now=NOW + 10))
    assert statuses(store) == ["accepted", "pending"]
    third = claim(run, NOW + 10_000)._replace(targets=first.targets)
    record(run, ended(third, uncertain=True, now=NOW + 10_000))
    assert statuses(store) == ["accepted", "pending?"]


def test_a_recipient_is_uncertain_until_it_is_accepted(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org"))
    attempt(run, REFUSED, uncertain=True)
    assert (statuses(store), store.row(1).uncertain) == (["refused", "pending?"], True)
    second = claim(run, NOW + 10)
    assert [(target.number, target.uncertain) for target in second.targets] == [(1, True)]
    record(run, ended(second, REFUSED, now=NOW + 10))
    assert (statuses(store), store.row(1).uncertain) == (["refused", "refused?"], True)
    assert store.row(1).gave_up == "refused"
    record(run, ended(run.claim_by_id(forced(1)), PENDING, ACCEPTED))
    assert (statuses(store), store.row(1).uncertain) == (["pending", "accepted"], False)


def test_an_uncertain_message_waits_for_a_person_when_the_policy_says_hold(store: Store, run: Run) -> None:
    submit(store)
    record(run, ended(claim(run), uncertain=True, policy=RetryPolicy(hold_uncertain=True)))
    assert (store.row(1).held, store.row(1).uncertain, store.row(1).gave_up) == (True, True, None)
    assert claim_next(run, FOR_EVER) is None
    by_hand = run.claim_by_id(forced(1))
    assert by_hand.message_id == f"<outbox-1-0@{DOMAIN}>"
    record(run, ended(by_hand, PENDING))
    assert store.row(1).held, "still"
    record(run, sent(run.claim_by_id(forced(1))))
    assert not store.row(1).held, "what is sent waits for nobody"


def test_a_message_given_up_and_taken_again_is_what_its_last_attempt_says(store: Store, run: Run) -> None:
    submit(store)
    refuse(run)
    assert store.take_unreported(NOW) == [1]
    record(run, ended(run.claim_by_id(forced(1)), REFUSED))
    assert (store.row(1).gave_up, store.take_unreported(NOW)) == ("refused", []), "for the same reason"
    record(run, ended(run.claim_by_id(forced(1)), PENDING))
    assert (store.row(1).gave_up, store.row(1).status) == (None, "failed")
    refuse(run, FOR_EVER)
    assert store.take_unreported(NOW) == [1], "it was given up anew"


def test_an_account_failure_is_deferred_and_never_given_up(store: Store, run: Run) -> None:
    submit(store)
    late = NOW + 10**7
    record(run, ended(claim(run, late), scope=Scope.ACCOUNT, now=late))
    row = store.row(1)
    assert (row.status, row.retries, row.gave_up, row.next_attempt_at) == ("failed", 1, None, late + 10)


# --- one step of many


def test_many_results_and_claims_go_in_one_step(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(5)], new_message(account="home"))
    first, second, third = (claim(run) for _ in range(3))
    home = ClaimNext("home", NOW, NOW)
    advanced = run.advance([sent(first), ended(second, REFUSED), ended(third)], [wish(NOW), home, home, wish(NOW)])
    assert lost(advanced) == [False] * 3
    assert ids(advanced) == [[4], [6], [], [5]]
    assert [row.status for row in map(store.row, range(1, 7))] == ["sent", "failed", "failed", *["sending"] * 3]
    assert run.advance([], []) == Advanced([], [])


def test_a_result_is_in_before_the_claims_of_its_step(store: Store, run: Run) -> None:
    submit(store)
    ((following,),) = run.advance([ended(claim(run))], [wish(FOR_EVER)]).claims
    assert (following.outbox_id, following.message_id, following.retries) == (1, f"<outbox-1-1@{DOMAIN}>", 1)


@pytest.mark.parametrize("wishes", [0, 1, 2])
def test_lost_claims_are_items_and_change_nothing(store: Store, run: Run, dying: Dying, wishes: int) -> None:
    submit(store, *[new_message() for _ in range(5)])
    dead, die = dying()
    stale, mine = write_whole(dead), claim(run)
    die()
    assert recover(run, NOW + 50) == [1]
    before = store.row(1)
    for late in (sent(stale), ended(stale, REFUSED), ended(stale, uncertain=True)):
        alone = dead.advance([late], [wish(NOW)] * wishes)
        assert lost(alone) == [True]
        give_back(dead, *[one for claimed in alone.claims for one in claimed])
        assert store.row(1) == before
    not_ours = run.advance([sent(stale), sent(mine), sent(stale)], [wish(NOW)] * wishes)
    assert lost(not_ours) == [True, False, True]
    assert ids(not_ours) == [[3], [4]][:wishes]
    assert (store.row(1), store.row(2).status) == (before, "sent")


def test_a_result_is_recorded_once(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    first, second = claim(run), claim(run)
    assert lost(run.advance([sent(first), sent(first), ended(second), sent(second)], [])) == [False, True, False, True]
    before = [store.row(1), store.row(2)]
    assert [row.status for row in before] == ["sent", "failed"]
    for late in (sent(first), ended(first), sent(second)):
        assert lost(run.advance([late], [])) == [True]
    assert [store.row(1), store.row(2)] == before


def test_the_run_that_has_a_message_again_records_only_its_second_attempt(store: Store, run: Run) -> None:
    submit(store)
    first = claim(run)
    record(run, ended(first))
    second = claim(run, FOR_EVER)
    assert lost(run.advance([sent(first)], [])) == [True]
    record(run, sent(second))
    assert store.row(1).status == "sent"


def test_results_give_backs_and_claims_go_in_one_step(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(7)])
    first, second, third = claim_many(run, 3)
    advanced = run.advance([sent(first)], [wish(NOW, most=2), wish(NOW, most=9), wish(NOW)], [second, third])
    assert (lost(advanced), ids(advanced)) == ([False], [[2, 3], [4, 5, 6, 7], []])
    numbers = [one.claim for claimed in advanced.claims for one in claimed]
    assert len({first.claim, second.claim, third.claim, *numbers}) == 9, "no claim has the number of another"


# --- giving back


def resolve(store: Store, run: Run) -> None:
    attempt(run, uncertain=True)
    store.resolve(1, NOW, sent=False)


PASTS: dict[str, Callable[[Store, Run], object]] = {
    "first time": lambda store, run: None,
    "deferred": lambda store, run: attempt(run, PENDING, ACCEPTED),
    "uncertain": lambda store, run: [attempt(run, PENDING, ACCEPTED), attempt(run, uncertain=True, now=NOW + 10)],
    "resolved": resolve,
    "held": lambda store, run: store.hold(1, NOW),
    "cancelled": lambda store, run: store.cancel(1, NOW),
    "given up": lambda store, run: refuse(run),
}


@pytest.mark.parametrize("past", PASTS)
def test_a_claim_given_back_leaves_the_row_as_before_and_is_claimed_as_if_for_the_first_time(
    store: Store, run: Run, past: str
) -> None:
    submit(store, new_message("a@x.org", "b@x.org"))
    PASTS[past](store, run)
    before = store.row(1), store.stats(NOW), store.accounts_due(FOR_EVER)
    takes: list[Callable[[], Claimed | None]] = [lambda: run.claim_by_id(forced(1)), lambda: claim_next(run, FOR_EVER)]
    for take in takes:
        claimed = take()
        if claimed is not None:
            give_back(run, claimed)
            assert (store.row(1), store.stats(NOW), store.accounts_due(FOR_EVER)) == before
            again = take()
            assert again is not None
            assert (again._replace(claim=0), again.claim != claimed.claim) == (claimed._replace(claim=0), True)
            assert store.row(1).status == "sending"
            give_back(run, claimed)
            assert store.row(1).status == "sending", "that claim was over"
            give_back(run, again)
    record(run, sent(run.claim_by_id(forced(1))))
    assert store.row(1).status == "sent"


def test_several_claims_are_given_back_at_once_and_do_not_count_for_the_limits(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(3)])
    give_back(run, claim(run), *claim_many(run, 2))
    give_back(run)
    claimed = claim_next(run, limits=(Limit(1, 60), Limit(1, 60, of_recipients=True)))
    assert (claimed and claimed.outbox_id, store.count_due("work", NOW)) == (1, 2)


def test_what_is_no_longer_this_runs_is_not_given_back(store: Store, run: Run, dying: Dying) -> None:
    submit(store, new_message(), new_message(), new_message())
    dead, die = dying()
    stale = write_whole(dead)
    done, mine = claim(run), claim(run)
    record(run, sent(done))
    die()
    recover(run)
    again = claim(run)
    assert again.outbox_id == stale.outbox_id
    before = [store.row(1), store.row(2), store.row(3)]
    give_back(dead, stale, done, mine, again)
    give_back(run, stale, done)
    assert [store.row(1), store.row(2), store.row(3)] == before
    give_back(run, stale, mine, again)
    assert [store.row(outbox_id).status for outbox_id in (1, 2, 3)] == ["failed", "sent", "pending"]
    give_back(run, mine)
    assert lost(run.advance([sent(mine)], [])) == [True]


def test_a_claim_given_back_ages_no_message(store: Store, run: Run) -> None:
    """It is as old as its first attempt makes it, and that was none."""
    submit(store, new_message(due_at=NOW + 60))
    record(run, ended(run.claim_by_id(forced(1)), PENDING))
    run.begin_drain(NOW + 100)
    give_back(run, claim(run, NOW + 100))
    run.begin_drain(NOW + 1100)
    assert claim(run, NOW + 1100).drained_seconds == 0
