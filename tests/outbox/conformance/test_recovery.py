"""What becomes of a dead run's claims by what it had noted of each: nothing, the end of the content, or the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RetryPolicy, Scope
from prx_email_cli.outbox.messages import Claimed, Moment, Recovered
from prx_email_cli.outbox.store import Run, Store

from ..messages import NOW, POLICY, ended, in_doubt, new_message, sent
from .asking import (
    ACCEPTED,
    FOR_EVER,
    PENDING,
    REFUSED,
    Dying,
    attempt,
    claim,
    claim_many,
    forced,
    give_back,
    record,
    refuse,
    statuses,
    submit,
    write_whole,
)

NO_SUCH_USER = RecipientResult(REFUSED, 550, "5.1.1 no such user")
LATER = RecipientResult(PENDING, 450, "4.2.0 later")
TAKEN = RecipientResult(ACCEPTED, 250, "2.0.0 queued")
DOUBTFUL = RecipientResult(PENDING, uncertain=True)
OUTCOMES = {
    "accepted": Outcome({0: TAKEN, 1: TAKEN}, code=250, acceptance="2.0.0 queued"),
    "partly refused": Outcome({0: TAKEN, 1: NO_SUCH_USER}, "provider", "b@x.org: no", acceptance="2.0.0 queued"),
    "partly deferred": Outcome({0: LATER, 1: TAKEN}, "provider", "a@x.org: later", 450, "4.2.0", acceptance="2.0.0 ok"),
    "refused": Outcome({0: NO_SUCH_USER, 1: NO_SUCH_USER}, "provider", "5.6.0 bad", 554, "5.6.0"),
    "deferred": Outcome({0: LATER, 1: LATER}, "provider", "4.3.0 disk full", 452, "4.3.0"),
    "the account's fault": Outcome({}, "provider", "4.7.0 too many", 421, "4.7.0", Scope.ACCOUNT),
    "lost": Outcome({0: DOUBTFUL, 1: DOUBTFUL}, "network", "connection lost"),
}


def two_recipients(store: Store) -> None:
    submit(store, new_message("a@x.org", "b@x.org"))


def died(dying: Dying, note: Callable[[Run, Claimed], None], take: Callable[[Run], Claimed] = claim) -> Claimed:
    """Let another run die after it has noted something of what it took."""
    run, die = dying()
    claimed = take(run)
    note(run, claimed)
    die()
    return claimed


def as_recorded(store: Store, outbox_id: int) -> str:
    """All that the outbox shows of a message, without its id and its runs' ids."""
    row = store.row(outbox_id)
    shown = repr((vars(row), [vars(one) for one in row.attempts], row.recipients))
    for own in (f"<outbox-{outbox_id}-", f"'outbox_id': {outbox_id},", *(one.run_id for one in row.attempts)):
        shown = shown.replace(own, "")
    return shown


# --- answered


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("what", OUTCOMES)
def test_an_answer_is_recorded_as_the_run_itself_would_have_recorded_it(
    store: Store, run: Run, dying: Dying, what: str, hold: bool
) -> None:
    outcome, policy = OUTCOMES[what], RetryPolicy(hold_uncertain=hold)
    submit(store, *[new_message("a@x.org", "b@x.org") for _ in range(2)])
    died(dying, lambda dead, claimed: dead.answered(claimed, outcome, NOW + 3))
    record(run, finish(claim(run), outcome, policy, Moment(NOW + 3)))

    recovered = run.recover(policy, NOW + 500)

    assert [(one.claimed.outbox_id, one.finished_at) for one in recovered.finished] == [(1, NOW + 3)]
    assert (recovered.uncertain, recovered.given_back) == ([], [])
    assert as_recorded(store, 1) == as_recorded(store, 2)
    assert store.row(1).attempts[0].finished_at == NOW + 3


def test_an_answer_counts_whatever_was_noted_before_it(store: Store, run: Run, dying: Dying) -> None:
    two_recipients(store)

    def note(dead: Run, claimed: Claimed) -> None:
        dead.about_to_end(claimed, in_doubt(claimed))
        dead.answered(claimed, OUTCOMES["partly refused"], NOW)

    died(dying, note)
    assert [one.outcome for one in run.recover(POLICY, NOW).finished] == [OUTCOMES["partly refused"]]
    assert (statuses(store), store.row(1).gave_up) == (["accepted", "refused"], "refused")
    assert run.recover(POLICY, NOW) == Recovered([], [], [])


@pytest.mark.parametrize("by_hand", [False, True])
def test_an_answer_leaves_those_alone_whom_the_attempt_did_not_address(
    store: Store, run: Run, dying: Dying, by_hand: bool
) -> None:
    submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
    attempt(run, PENDING, REFUSED, ACCEPTED)
    take: Callable[[Run], Claimed] = lambda dead: dead.claim_by_id(forced(1)) if by_hand else claim(dead, NOW + 10)  # noqa: E731

    def note(dead: Run, claimed: Claimed) -> None:
        results = dict.fromkeys([target.number for target in claimed.targets], TAKEN)
        dead.answered(claimed, Outcome(results, acceptance="2.0.0 queued"), NOW + 10)

    died(dying, note, take)
    (finished,) = run.recover(POLICY, NOW + 20).finished
    assert statuses(store) == ["accepted", "accepted" if by_hand else "refused", "accepted"]
    assert (store.row(1).status, store.row(1).gave_up) == (("sent", None) if by_hand else ("failed", "refused"))
    assert store.row(1).last_error == finished.detail == (None if by_hand else "b@x.org: said so")


def test_an_answer_that_a_run_noted_and_recorded_changes_nothing_later(store: Store, run: Run, dying: Dying) -> None:
    submit(store)
    dead, die = dying()
    claimed = claim(dead)
    dead.answered(claimed, OUTCOMES["lost"], NOW)
    record(dead, sent(claimed))
    before = store.row(1)
    die()
    assert run.recover(POLICY, NOW) == Recovered([], [], [])
    assert store.row(1) == before


# --- the end of the content


def test_without_an_answer_only_those_are_uncertain_to_whom_the_server_may_send_it(
    store: Store, run: Run, dying: Dying
) -> None:
    submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
    results = {0: DOUBTFUL, 1: NO_SUCH_USER, 2: LATER}
    claimed = died(dying, lambda dead, claimed: dead.about_to_end(claimed, results))
    assert run.recover(POLICY, NOW + 5) == Recovered([1], [], [])
    assert statuses(store) == ["pending?", "refused", "pending"]
    assert [one.response for one in store.row(1).recipients[1:]] == [NO_SUCH_USER.response, LATER.response]
    row = store.row(1)
    assert (row.status, row.retries, row.next_attempt_at, row.uncertain) == ("failed", 1, NOW + 5, True)
    again = claim(run, NOW + 5)
    assert (again.message_id, [target.number for target in again.targets]) == (claimed.message_id, [0, 2])


def test_a_recipient_refused_before_stays_refused_and_is_uncertain(store: Store, run: Run, dying: Dying) -> None:
    two_recipients(store)
    refuse(run)
    died(dying, lambda dead, claimed: dead.about_to_end(claimed, {0: DOUBTFUL, 1: NO_SUCH_USER}),
         lambda dead: dead.claim_by_id(forced(1)))  # fmt: skip
    assert run.recover(POLICY, NOW).uncertain == [1]
    assert (statuses(store), store.row(1).gave_up) == (["refused?", "refused"], "refused")


def test_the_end_cannot_be_noted_for_a_claim_that_is_over(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    done, back = claim(run), claim(run)
    record(run, sent(done))
    give_back(run, back)
    for over in (done, back):
        with pytest.raises(StorageError):
            run.about_to_end(over, in_doubt(over))
    again = claim(run)
    run.about_to_end(again, in_doubt(again))


# --- nothing


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_claim_of_which_nothing_was_noted_is_given_back(store: Store, run: Run, dying: Dying, by_hand: bool) -> None:
    two_recipients(store)
    attempt(run, PENDING, uncertain=True)
    before = store.row(1), store.stats(NOW), store.accounts_due(FOR_EVER)
    died(
        dying,
        lambda dead, claimed: None,
        lambda dead: dead.claim_by_id(forced(1)) if by_hand else claim(dead, FOR_EVER),
    )
    assert store.row(1).status == "sending"
    assert run.recover(POLICY, FOR_EVER) == Recovered([], [], [1])
    assert (store.row(1), store.stats(NOW), store.accounts_due(FOR_EVER)) == before


def test_of_many_claims_each_is_settled_by_what_was_noted_of_it(store: Store, run: Run, dying: Dying) -> None:
    submit(store, *[new_message() for _ in range(40)])
    dead, die = dying()
    claims = claim_many(dead, 40)
    assert len({one.claim for one in claims}) == 40
    for claimed in claims[:20]:
        dead.about_to_end(claimed, in_doubt(claimed))
    for claimed in claims[:10]:
        dead.answered(claimed, sent(claimed).outcome, NOW)
    record(dead, *map(ended, claims[5:10]))
    give_back(dead, *claims[15:25])
    die()
    recovered = run.recover(POLICY, NOW)
    assert sorted(one.claimed.outbox_id for one in recovered.finished) == [1, 2, 3, 4, 5]
    assert sorted(recovered.uncertain) == [11, 12, 13, 14, 15]
    assert sorted(recovered.given_back) == list(range(26, 41))
    assert [one.outbox_id for one in claim_many(run, 99)] == list(range(11, 41)), "what is due is free to be claimed"


def test_a_run_that_ends_leaves_what_it_noted_to_the_next(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message(), new_message())
    with store.start_run(NOW) as other:
        answered, _, _ = claim(other), write_whole(other), claim(other)
        other.answered(answered, sent(answered).outcome, NOW)
    recovered = run.recover(POLICY, NOW)
    assert [one.claimed.outbox_id for one in recovered.finished] == [1]
    assert (recovered.uncertain, recovered.given_back) == ([2], [3])
    assert [store.row(outbox_id).status for outbox_id in (1, 2, 3)] == ["sent", "failed", "pending"]
