"""What a person decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prx_email_cli.errors import NotAllowedForStatus, NotFound, RetryNotDue
from prx_email_cli.outbox.decisions import Decision, Spread
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, Reason, RecipientResult, Scope, Status
from prx_email_cli.outbox.messages import Moment
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Action, Drop, Fact, Filter, Pruning

from ..messages import NOW, POLICY, ended, new_message, sent
from .asking import (
    ACCEPTED,
    FOR_EVER,
    PENDING,
    REFUSED,
    attempt,
    claim,
    claim_next,
    forced,
    give_back,
    record,
    refuse,
    statuses,
    submit,
)

ACTIONS: list[Callable[[Store, int], None]] = [
    lambda store, outbox_id: store.hold(outbox_id, NOW),
    lambda store, outbox_id: store.release(outbox_id, NOW),
    lambda store, outbox_id: store.cancel(outbox_id, NOW),
    lambda store, outbox_id: store.resolve(outbox_id, NOW, sent=True),
    lambda store, outbox_id: store.resolve(outbox_id, NOW, sent=False),
]
NAMES = ["hold", "release", "cancel", "resolve sent", "resolve unsent"]
each_action = pytest.mark.parametrize("act", ACTIONS, ids=NAMES)


@each_action
def test_there_must_be_such_a_message(store: Store, act: Callable[[Store, int], None]) -> None:
    submit(store)
    for outbox_id in (0, -1, 2, 2**70):
        with pytest.raises(NotFound):
            act(store, outbox_id)


@each_action
def test_nothing_is_decided_about_what_is_sent_or_in_hand(
    store: Store, run: Run, act: Callable[[Store, int], None]
) -> None:
    submit(store)
    claimed = claim(run)
    for _ in ("in hand", "sent"):
        before = store.row(1)
        with pytest.raises(NotAllowedForStatus):
            act(store, 1)
        assert store.row(1) == before
        run.advance([sent(claimed)], [])


EACH_DECISION = pytest.mark.parametrize("decision", Decision)


@EACH_DECISION
def test_a_decision_on_many_is_told_for_each_and_made_as_for_one(store: Store, run: Run, decision: Decision) -> None:
    submit(store, *[new_message() for _ in range(4)])
    attempt(run, ACCEPTED)
    attempt(run, uncertain=True)
    store.hold(3, NOW)
    if decision == Decision.DISMISS:
        submit(store)
        store.cancel(5, NOW)
    store.acting = "ann@host"
    able = {
        Decision.HOLD: [2, 3, 4], Decision.RELEASE: [3], Decision.CANCEL: [2, 3, 4], Decision.SENT: [2],
        Decision.NOT_SENT: [2], Decision.DISMISS: [5],
    }  # fmt: skip
    ids = [*range(1, 5), *[5] * (decision == Decision.DISMISS)]
    before = {outbox_id: store.row(outbox_id) for outbox_id in ids}
    told = [one for some in store.decide(decision, [*ids, 9], NOW) for one in some]
    assert sorted(one.outbox_id for one in told if one.error is None) == able[decision]
    refusals = {one.outbox_id: type(one.error) for one in told if one.error is not None}
    assert refusals == {outbox_id: NotFound if outbox_id == 9 else NotAllowedForStatus
                        for outbox_id in (*ids, 9) if outbox_id not in able[decision]}  # fmt: skip
    for outbox_id, row in before.items():
        now = store.row(outbox_id)
        assert (now != row) == (outbox_id in able[decision])
        assert [one.who for one in now.actions[len(row.actions) :]] == ["ann@host"] * (outbox_id in able[decision])


def test_a_held_message_waits_until_it_is_released(store: Store, run: Run) -> None:
    submit(store)
    store.hold(1, NOW)
    store.hold(1, NOW)
    assert (store.row(1).held, store.row(1).status, claim_next(run)) == (True, "pending", None)
    store.release(1, NOW)
    assert not store.row(1).held
    with pytest.raises(NotAllowedForStatus):
        store.release(1, NOW)
    assert claim(run).outbox_id == 1


def test_a_held_message_can_be_released_while_a_person_has_it_in_hand(store: Store, run: Run) -> None:
    submit(store)
    store.hold(1, NOW)
    claimed = run.claim_by_id(forced(1))
    store.release(1, NOW)
    give_back(run, claimed)
    assert (store.row(1).held, store.row(1).status) == (False, "pending")


def test_everything_that_drains_might_take_is_held_and_released(store: Store, run: Run) -> None:
    submit(store, *[new_message(account=account) for account in ("work", "home", "work", "work", "home")])
    assert claim(run).outbox_id == 1
    store.cancel(4, NOW)
    assert sorted(store.hold_all("work", NOW)) == [3]
    assert sorted(store.hold_all(None, NOW)) == [2, 5]
    assert (store.hold_all(None, NOW), store.accounts_due(FOR_EVER)) == ([], [])
    assert [store.row(outbox_id).held for outbox_id in range(1, 6)] == [False, True, True, False, True]
    assert store.release_all("none", NOW) == []
    assert sorted(store.release_all("home", NOW)) == [2, 5]
    assert sorted(store.release_all(None, NOW)) == [3]
    assert store.accounts_due(NOW) == ["home", "work"]


def test_what_was_held_and_given_up_is_released_too(store: Store) -> None:
    submit(store)
    store.hold(1, NOW)
    store.cancel(1, NOW)
    assert (store.row(1).held, store.row(1).gave_up) == (True, "cancelled")
    assert store.release_all(None, NOW) == [1]


def test_a_cancelled_message_is_given_up_and_a_person_can_take_it_again(store: Store, run: Run) -> None:
    submit(store)
    store.cancel(1, NOW)
    row = store.row(1)
    assert (row.status, row.gave_up, row.next_attempt_at, row.last_error) == ("pending", "cancelled", None, None)
    assert store.take_unreported(NOW) == []
    record(run, sent(run.claim_by_id(forced(1))))
    assert (store.row(1).status, store.row(1).gave_up) == ("sent", None)


def test_what_was_given_up_can_be_cancelled_and_is_not_reported_then(store: Store, run: Run) -> None:
    submit(store)
    refuse(run)
    store.cancel(1, NOW)
    assert (store.row(1).gave_up, store.take_unreported(NOW)) == ("cancelled", [])


@pytest.mark.parametrize("sent", [True, False])
def test_only_an_uncertain_outcome_is_resolved(store: Store, run: Run, sent: bool) -> None:
    submit(store)
    for now in (NOW, NOW + 10_000):
        with pytest.raises(NotAllowedForStatus):
            store.resolve(1, NOW, sent=sent)
        attempt(run, PENDING, now=now)


def test_resolved_as_sent_it_is_sent(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, uncertain=True)
    store.hold(1, NOW)
    store.resolve(1, NOW + 7, sent=True)
    row = store.row(1)
    assert (row.status, row.sent_at, row.held, row.uncertain) == ("sent", NOW + 7, False, False)
    assert (row.provider_message_id, row.last_error, row.error_code) == ("resolved as sent by hand", None, None)
    assert statuses(store) == ["accepted"]


def test_resolved_as_unsent_it_is_certain_and_due_as_before(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, uncertain=True)
    store.hold(1, NOW)
    store.resolve(1, NOW, sent=False)
    row = store.row(1)
    assert (row.status, row.held, row.uncertain, row.next_attempt_at) == ("failed", False, False, NOW + 10)
    assert statuses(store) == ["pending"]


def test_resolving_settles_the_uncertain_recipients_and_no_others(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
    attempt(run, ACCEPTED, REFUSED, uncertain=True)
    assert statuses(store) == ["accepted", "refused", "pending?"]
    store.resolve(1, NOW, sent=True)
    row = store.row(1)
    assert statuses(store) == ["accepted", "refused", "accepted"]
    assert (row.status, row.gave_up, row.last_error) == ("failed", "refused", "b@x.org: said so")
    assert store.take_unreported(NOW) == [], "a person has just seen it"


def test_what_is_left_after_a_resolve_goes_on_being_tried(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
    claimed = claim(run)
    record(run, ended(claimed, PENDING, REFUSED, uncertain=True))
    store.resolve(1, NOW, sent=True)
    row = store.row(1)
    assert statuses(store) == ["pending", "refused", "accepted"]
    assert (row.status, row.gave_up, row.uncertain, row.last_error) == ("failed", None, False, "a@x.org: said so")
    assert [target.address for target in claim(run, NOW + 10).targets] == ["a@x.org"]


def test_a_resolve_tells_what_was_said_to_the_first_of_the_others_that_was_told_anything(
    store: Store, run: Run
) -> None:
    submit(store, new_message("a@x.org", "b@x.org", "c@x.org"))
    results = {1: RecipientResult(REFUSED, 550, "said so"), 2: RecipientResult(PENDING, uncertain=True)}
    record(run, finish(claim(run), Outcome(results, error="network", detail="why"), POLICY, Moment(NOW)))
    store.resolve(1, NOW, sent=True)
    assert statuses(store) == ["pending", "refused", "accepted"]
    assert store.row(1).last_error == "b@x.org: said so"


def test_pruning_drops_the_content_of_what_was_over_then(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(6)])
    record(run, sent(claim(run)))
    refuse(run)
    attempt(run, PENDING)
    store.cancel(4, NOW)
    in_hand = run.claim_by_id(forced(5))
    assert store.prune(Pruning(NOW - 1, NOW + 99)).messages == 0
    assert store.prune(Pruning(NOW, NOW + 99)).messages == 2, "sent and cancelled"
    assert store.prune(Pruning(NOW + 10, NOW + 99)).messages == 1, "given up"
    assert store.prune(Pruning(FOR_EVER, NOW + 99)).messages == 0
    assert store.row(1).status == "sent"
    for outbox_id in (2, 4):
        with pytest.raises(NotAllowedForStatus):
            run.claim_by_id(forced(outbox_id))
    assert run.claim_by_id(forced(3)).head, "what is not over keeps its content"
    assert in_hand.head


def test_pruning_records_leaves_nothing_of_what_was_over(store: Store, run: Run) -> None:
    submit(store, *[new_message() for _ in range(3)])
    record(run, sent(claim(run)))
    refuse(run)
    assert store.prune(Pruning(FOR_EVER, FOR_EVER)).messages == 2
    assert store.prune(Pruning(FOR_EVER, FOR_EVER, Drop.RECORD)).messages == 2
    for outbox_id in (1, 2):
        with pytest.raises(NotFound):
            store.row(outbox_id)
        with pytest.raises(NotFound):
            store.hold(outbox_id, NOW)
    assert store.stats(NOW).total == 1
    assert store.take_unreported(NOW) == []


def test_given_up_and_in_hand_is_not_over(store: Store, run: Run) -> None:
    submit(store)
    refuse(run)
    claimed = run.claim_by_id(forced(1))
    assert store.row(1).next_attempt_at is not None
    assert store.prune(Pruning(FOR_EVER, FOR_EVER, Drop.RECORD)).messages == 0
    record(run, ended(claimed, REFUSED))
    assert store.prune(Pruning(FOR_EVER, FOR_EVER, Drop.RECORD)).messages == 1


def test_a_store_that_was_not_restored_refuses_nothing(store: Store, run: Run) -> None:
    submit(store)
    claim(run)
    store.refuse_restored()
    store.check_usable()
    assert not store.accept_restored()
    assert not store.replaced()
    assert store.unreadable_messages() == []


def test_what_a_person_did_to_a_message_is_recorded_in_order_with_who_and_when(store: Store, run: Run) -> None:
    submit(store)
    store.acting = "ann@host"
    store.hold(1, NOW)
    store.release(1, NOW + 1)
    store.hold_all(None, NOW + 2)
    store.release_all(None, NOW + 3)
    attempt(run, uncertain=True)
    store.resolve(1, NOW + 4, sent=False)
    store.cancel(1, NOW + 5)
    did = [
        ("held", None), ("released", None), ("held", None), ("released", None), ("resolved", "not sent"),
        ("cancelled", None),
    ]  # fmt: skip
    assert store.row(1).actions == [
        Action(1, "work", NOW + after, what, "ann@host", detail) for after, (what, detail) in enumerate(did)
    ]


def test_what_a_person_could_not_do_is_not_recorded(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, ACCEPTED)
    for act in ACTIONS:
        with pytest.raises(NotAllowedForStatus):
            act(store, 1)
    store.hold_all(None, NOW)
    assert store.row(1).actions == []


class TestSpread:
    """What a person wants sent by drains, one message after the other."""

    def spread(
        self, store: Store, ids: list[int], *, force: bool = False, now: int = NOW
    ) -> dict[int, type[Exception] | None]:
        told = [one for some in store.spread(ids, Spread(now, 300, force)) for one in some]
        return {one.outbox_id: None if one.error is None else type(one.error) for one in told}

    def test_makes_them_due_evenly_and_given_up_ones_are_for_drains_again(self, store: Store, run: Run) -> None:
        submit(store, new_message("a@example.org", "b@example.org"), new_message(), new_message())
        record(run, ended(claim(run), ACCEPTED, REFUSED))
        store.acting = "ann@host"
        assert store.row(1).gave_up is not None
        later = NOW + 50
        assert self.spread(store, [1, 2, 3], now=later) == {1: None, 2: None, 3: None}
        assert [store.row(outbox_id).next_attempt_at for outbox_id in (1, 2, 3)] == [later, later + 100, later + 200]
        assert (store.row(1).gave_up, statuses(store), store.take_unreported(NOW)) == (
            None,
            ["accepted", "pending"],
            [],
        )
        assert [(one.what, one.who, one.detail) for one in store.row(1).actions] == [
            ("spread", "ann@host", "over 300 s")
        ]
        assert [one.address for one in claim(run, later).targets] == ["b@example.org"]
        assert (claim_next(run, later + 99), claim(run, later + 100).outbox_id) == (None, 2)

    def test_refuses_what_a_retry_refuses(self, store: Store, run: Run) -> None:
        submit(store, *[new_message() for _ in range(2)], new_message(due_at=NOW + 1), new_message())
        attempt(run, ACCEPTED)
        claim(run)
        store.hold(4, NOW)
        refused = {1: NotAllowedForStatus, 2: NotAllowedForStatus, 9: NotFound}
        rows = [store.row(outbox_id) for outbox_id in (1, 2, 3, 4)]
        assert self.spread(store, [1, 2, 3, 4, 9]) == {**refused, 3: RetryNotDue, 4: NotAllowedForStatus}
        assert [store.row(outbox_id) for outbox_id in (1, 2, 3, 4)] == rows
        assert self.spread(store, [1, 2, 3, 4, 9], force=True) == {**refused, 3: None, 4: None}
        assert not store.row(4).held

    def test_refuses_what_would_expire_before_its_turn(self, store: Store) -> None:
        submit(store, new_message(expires_at=NOW + 1), new_message(expires_at=NOW + 150))
        assert self.spread(store, [1, 2]) == {1: None, 2: NotAllowedForStatus}

    def test_ends_the_rest_of_their_account_and_stays_spread_when_that_works_again(
        self, store: Store, run: Run
    ) -> None:
        submit(store, *[new_message() for _ in range(3)])
        refused = Outcome({}, error="auth", detail="no", code=535, scope=Scope.ACCOUNT)
        for _ in range(3):
            claimed = run.claim_by_id(forced(store.ids(Filter(statuses=(Status.PENDING,)))[-1]))
            record(run, finish(claimed, refused, POLICY, Moment(NOW)))
        assert store.account_states()["work"].rests_until is not None
        self.spread(store, [1, 2, 3], force=True)
        assert store.account_states()["work"].rests_until is None
        record(run, sent(claim(run)))
        assert [store.row(outbox_id).next_attempt_at for outbox_id in (2, 3)] == [NOW + 100, NOW + 200]


class TestADismissedFailure:
    def test_counts_no_more_until_a_retry_fails_again(self, store: Store, run: Run) -> None:
        submit(store)
        refuse(run)
        counted = (store.figures(NOW)["work"].gave_up, len(store.failures()), store.health(NOW).gave_up)
        assert counted == ({Reason.REFUSED: 1}, 1, 1)
        (told,) = store.decide(Decision.DISMISS, [1], NOW + 7)
        assert (told[0].error, store.row(1).dismissed_at, store.row(1).gave_up) == (None, NOW + 7, Reason.REFUSED)
        assert (store.figures(NOW)["work"].gave_up, store.failures(), store.health(NOW).gave_up) == ({}, [], 0)
        assert store.ids(Filter(gave_up=True)) == [1]
        assert store.ids(Filter(gave_up=True, without=(Fact.DISMISSED,))) == []

        claimed = run.claim_by_id(forced(1))
        give_back(run, claimed)
        assert store.row(1).dismissed_at == NOW + 7
        record(run, ended(run.claim_by_id(forced(1)), REFUSED))
        assert (store.row(1).dismissed_at, len(store.failures()), store.health(NOW).gave_up) == (None, 1, 1)
