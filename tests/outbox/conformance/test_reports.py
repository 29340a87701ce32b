"""What is shown of an outbox."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prx_email_cli.errors import NotFound
from prx_email_cli.outbox.lifecycle import Ending, Reason, RecipientKind, Status
from prx_email_cli.outbox.messages import Addressee
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Drop, Fact, Figures, Filter, Pruning, Stats

from ..messages import NOW, ended, new_message
from .asking import ACCEPTED, PENDING, Dying, attempt, claim, claim_next, die_with, record, recover, refuse, submit


@pytest.fixture
def mixed(store: Store, run: Run) -> Store:
    """Sent, given up, deferred, sending, uncertain and held, cancelled, expired, due, due later, held; and home's."""
    submit(store, *[new_message(due_at=NOW - 20 + number) for number in range(5)])
    submit(store, new_message(), new_message(expires_at=NOW), new_message(due_at=NOW - 1), new_message(due_at=NOW + 60))
    submit(store, new_message(), new_message(account="home"))
    store.hold(10, NOW)
    store.cancel(6, NOW)
    run.expire(NOW)
    attempt(run, ACCEPTED, now=NOW - 15)
    refuse(run, NOW - 15)
    attempt(run, PENDING, now=NOW - 15)
    claim(run, NOW - 15)
    attempt(run, uncertain=True, now=NOW - 15)
    store.hold(5, NOW)
    return store


FOUND = [
    (Filter(), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
    (Filter(limit=3), [11, 10, 9]),
    (Filter(account="home"), [11]),
    (Filter(account="none"), []),
    (Filter(statuses=(Status.SENT,)), [1]),
    (Filter(statuses=(Status.PENDING,)), [11, 10, 9, 8]),
    (Filter(statuses=(Status.FAILED, Status.SENDING)), [5, 4, 3, 2]),
    (Filter(due_at=NOW), [11, 8, 3]),
    (Filter(due_at=NOW - 6), []),
    (Filter(gave_up=True), [7, 6, 2]),
    (Filter(held=True), [10, 5]),
    (Filter(uncertain=True), [5]),
    (Filter(held=True, uncertain=True, statuses=(Status.FAILED,), account="work"), [5]),
    (Filter(gave_up=True, statuses=(Status.FAILED,)), [2]),
    (Filter(recipient="A@EXAMPLE"), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
    (Filter(recipient="example.*"), []),
    (Filter(recipient="?@example.*", account="home"), [11]),
    (Filter(sender="ops@*", statuses=(Status.SENT,)), [1]),
    (Filter(subject="S"), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
    (Filter(subject="other"), []),
    (Filter(error="W?Y", gave_up=True), [2]),
    (Filter(error="expired"), [7]),
    (Filter(since=NOW, until=NOW, held=True), [10, 5]),
    (Filter(since=NOW + 1), []),
    (Filter(until=NOW - 1, whole=True), []),
    (Filter(without=(Fact.SENT,)), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]),
    (Filter(without=(Fact.SENT, Fact.SENDING, Fact.HELD, Fact.GAVE_UP)), [11, 9, 8, 3]),
    (Filter(gave_up=True, without=(Fact.CANCELLED,)), [7, 2]),
]


def test_rows_are_those_that_match_newest_first(mixed: Store) -> None:
    for wanted, found in FOUND:
        assert [row.outbox_id for row in mixed.rows(wanted)] == found, wanted


def test_the_count_is_that_of_all_that_match_whatever_the_limit(mixed: Store) -> None:
    for wanted, found in FOUND:
        assert mixed.ids(wanted) == found, wanted
        assert mixed.count(replace(wanted, limit=1)) == len(found) + 8 * (wanted == Filter(limit=3)), wanted
    for one in mixed.failures():
        rows = mixed.rows(Filter(failures=(one,)))
        assert (rows[0].outbox_id, len(rows), {row.last_error for row in rows}) == (
            one.outbox_id, one.many, {one.last_error}
        )  # fmt: skip
    assert mixed.ids(Filter(failures=(*mixed.failures(),))) == [7, 5, 3, 2]
    both = Filter(statuses=(Status.SENT, Status.FAILED), limit=1)
    assert [mixed.count(replace(both, account=name)) for name in (None, "work", "home", "none")] == [4, 4, 0, 0]


def repeated(store: Store) -> list[int]:
    """The ids of the messages that may have arrived twice, as the filter and as the rows tell."""
    found = [row.outbox_id for row in store.rows(Filter(repeated=True))]
    assert found == [row.outbox_id for row in store.rows(Filter()) if row.repeated]
    assert found == [row.outbox_id for row in store.rows(Filter()) if store.row(row.outbox_id).repeated]
    assert store.count(Filter(repeated=True, limit=1)) == len(found)
    return found


class TestRepeated:
    def test_is_a_message_that_was_sent_after_an_uncertain_attempt_for_ever(self, store: Store, run: Run) -> None:
        submit(store, new_message(), new_message(due_at=NOW + 99))
        attempt(run, uncertain=True)
        assert repeated(store) == []
        attempt(run, ACCEPTED, now=NOW + 50)
        assert (store.row(1).status, store.row(1).uncertain, repeated(store)) == ("sent", False, [1])
        assert store.rows(Filter(repeated=True, account="home")) == []
        assert store.rows(Filter(repeated=True, statuses=(Status.FAILED,))) == []
        assert [row.outbox_id for row in store.rows(Filter(repeated=True, account="work"))] == [1]

    def test_is_one_whose_second_attempt_is_uncertain_too(self, store: Store, run: Run) -> None:
        submit(store)
        attempt(run, uncertain=True)
        attempt(run, uncertain=True, now=NOW + 50)
        assert repeated(store) == [1]

    def test_is_none_whose_second_attempt_came_to_nothing(self, store: Store, run: Run) -> None:
        submit(store)
        attempt(run, uncertain=True)
        attempt(run, PENDING, now=NOW + 50)
        assert repeated(store) == []
        attempt(run, ACCEPTED, now=NOW + 500)
        assert repeated(store) == [1]

    def test_is_none_of_which_a_person_knows_that_it_did_not_arrive(self, store: Store, run: Run) -> None:
        submit(store)
        attempt(run, uncertain=True)
        store.resolve(1, NOW, sent=False)
        attempt(run, ACCEPTED, now=NOW + 50)
        assert (store.row(1).status, repeated(store)) == ("sent", [])

    def test_is_one_that_was_sent_again_after_its_run_died(self, store: Store, run: Run, dying: Dying) -> None:
        submit(store)
        die_with(dying)
        recover(run, NOW + 9)
        attempt(run, ACCEPTED, now=NOW + 50)
        assert repeated(store) == [1]


def test_what_a_dead_run_left_is_told_from_what_a_living_one_sends(store: Store, run: Run, dying: Dying) -> None:
    submit(store, *[new_message(due_at=NOW - 9 + number) for number in range(3)])
    claim(run)
    die_with(dying)
    assert [(row.status, row.run_died) for row in store.rows(Filter())] == [
        ("pending", False), ("sending", True), ("sending", False),
    ]  # fmt: skip
    assert [store.row(number).run_died for number in (1, 2, 3)] == [False, True, False]
    recover(run, NOW + 9)
    assert [(row.status, row.run_died) for row in store.rows(Filter())][1] == ("failed", False)


def test_counts_are_told_by_account_and_status(mixed: Store) -> None:
    assert mixed.stats(NOW) == Stats(
        pending=4, sending=1, sent=1, failed=3, cancelled=1, expired=1, total=11, due=3, oldest_due_age_seconds=18,
        gave_up=3, held=2, uncertain=1, last_attempt_at=NOW - 15, accounts={
            "home": {"pending": 1, "sending": 0, "sent": 0, "failed": 0, "cancelled": 0, "expired": 0},
            "work": {"pending": 3, "sending": 1, "sent": 1, "failed": 3, "cancelled": 1, "expired": 1},
        },
    )  # fmt: skip
    assert mixed.stats(NOW - 100).oldest_due_age_seconds is None


def test_age_is_that_of_what_is_undelivered_whether_due_again_or_being_sent(store: Store, run: Run) -> None:
    def ages(now: int) -> set[int | None]:
        figures = store.figures(now)["work"]
        return {store.stats(now).oldest_due_age_seconds, store.health(now).unsent_for_seconds,
                figures.oldest_age_seconds}  # fmt: skip

    submit(store, new_message(due_at=NOW), new_message(due_at=NOW + 1000))
    assert ages(NOW - 1) == {None}
    assert ages(NOW) == {0}
    attempt(run, PENDING, now=NOW + 2)
    assert (store.stats(NOW + 3).due, ages(NOW + 3)) == (0, {3})
    assert claim_next(run, NOW + 600)
    assert (store.stats(NOW + 700).due, ages(NOW + 700)) == (0, {700})


@pytest.mark.parametrize("end", ["sent", "held", "cancelled"])
def test_what_is_sent_or_no_drains_to_deliver_has_no_age(store: Store, run: Run, end: str) -> None:
    submit(store, new_message(due_at=NOW - 50))
    if end == "sent":
        attempt(run, ACCEPTED)
    else:
        (store.hold if end == "held" else store.cancel)(1, NOW)
    stats, figures = store.stats(NOW), store.figures(NOW)["work"]
    assert (stats.oldest_due_age_seconds, figures.oldest_age_seconds, figures.waiting) == (None, None, 0)
    assert store.health(NOW).unsent_for_seconds is None


def test_figures_are_told_by_account(mixed: Store) -> None:
    attempts = {(Ending.SENT, 2): 1, (Ending.GAVE_UP, 0): 1, (Ending.DEFERRED, 0): 2}
    found = mixed.figures(NOW)
    assert list(found) == ["home", "work"]
    assert found["home"] == Figures(waiting=1, oldest_age_seconds=0)
    assert found["work"] == Figures(
        waiting=3, scheduled=1, held=2, uncertain=1, held_uncertain=1, oldest_age_seconds=18,
        gave_up={Reason.REFUSED: 1, Reason.CANCELLED: 1, Reason.EXPIRED: 1}, attempts=attempts,
    )  # fmt: skip


def test_attempts_are_counted_by_the_first_digit_of_the_code(store: Store, run: Run) -> None:
    submit(store)
    for number, code in enumerate((None, 421, 451, 550)):
        now = NOW + 10_000 * number
        finished = ended(claim(run, now), now=now)
        record(run, finished._replace(outcome=finished.outcome._replace(code=code)))
    assert store.figures(NOW)["work"].attempts == {
        (Ending.DEFERRED, 0): 1, (Ending.DEFERRED, 4): 2, (Ending.DEFERRED, 5): 1
    }  # fmt: skip


def test_attempts_stay_counted_when_their_records_are_deleted(store: Store, run: Run, dying: Dying) -> None:
    submit(store, new_message(), new_message())
    attempt(run, ACCEPTED)
    die_with(dying)
    recover(run, NOW + 9)
    assert store.figures(NOW)["work"].attempts == {(Ending.SENT, 2): 1, (Ending.DIED, 0): 1}
    store.cancel(2, NOW)
    assert store.prune(Pruning(NOW + 20, NOW + 20, Drop.RECORD)).messages == 2
    assert store.figures(NOW) == {"work": Figures(attempts={(Ending.SENT, 2): 1, (Ending.DIED, 0): 1})}


def test_what_was_deleted_is_not_counted_and_when_something_was_attempted_last_is_still_known(
    store: Store, run: Run
) -> None:
    submit(store, *[new_message() for _ in range(3)], new_message(account="home"))
    attempt(run, ACCEPTED, now=NOW + 7)
    attempt(run, ACCEPTED, now=NOW + 5)
    assert store.prune(Pruning(NOW + 5, NOW + 9, Drop.RECORD)).messages == 1
    counts = {"pending": 1, "sending": 0, "sent": 1, "failed": 0, "cancelled": 0, "expired": 0}
    assert store.stats(NOW).accounts == {"home": {**counts, "sent": 0}, "work": counts}
    assert store.prune(Pruning(NOW + 7, NOW + 9, Drop.RECORD)).messages == 1
    store.cancel(3, NOW)
    store.cancel(4, NOW)
    assert store.prune(Pruning(NOW + 9, NOW + 9, Drop.RECORD)).messages == 2
    stats = store.stats(NOW)
    assert (stats.total, stats.accounts, stats.last_attempt_at) == (0, {}, NOW + 7)


def test_a_run_that_died_attempted_something_when_it_is_recovered(store: Store, run: Run, dying: Dying) -> None:
    submit(store)
    die_with(dying)
    recover(run, NOW + 9)
    assert store.stats(NOW).last_attempt_at == NOW + 9


def test_an_empty_outbox_counts_nothing(store: Store) -> None:
    stats = store.stats(NOW)
    assert (stats.total, stats.due, stats.oldest_due_age_seconds, stats.last_attempt_at) == (0, 0, None, None)
    assert (stats.accounts, store.rows(Filter()), store.accounts_due(NOW), store.figures(NOW)) == ({}, [], [], {})
    health = store.health(NOW)
    assert (health.faults, health.newest_at, health.unsent_for_seconds) == ([], None, None)
    assert (health.sending_runs, health.waiting_for_a_person, health.gave_up) == ([], 0, 0)


def test_health_tells_what_wants_a_person(mixed: Store, run: Run) -> None:
    health = mixed.health(NOW)
    assert health.faults == []
    assert (health.newest_at, health.unsent_for_seconds) == (NOW, 18)
    assert (health.sending_runs, health.waiting_for_a_person, health.gave_up) == ([run.run_id], 1, 3)


def test_a_row_of_a_list_is_that_of_one_message_without_its_recipients_attempts_and_actions(mixed: Store) -> None:
    for row in mixed.rows(Filter()):
        alone = mixed.row(row.outbox_id)
        assert (row.recipients, row.attempts, row.actions, row.particulars) == ([], [], [], None)
        alone_too = {name: getattr(alone, name) for name in ("recipients", "attempts", "actions", "particulars")}
        assert {**vars(row), **alone_too} == vars(alone)
    over = [row.outbox_id for row in mixed.rows(Filter()) if row.next_attempt_at is None]
    assert over == [7, 6, 2, 1], "of what is not over it is told when it is due"


def test_recipients_and_attempts_are_shown_in_their_order(store: Store, run: Run) -> None:
    submit(
        store,
        new_message()._replace(
            recipients=[Addressee("b@x.org", RecipientKind.CC), Addressee("a@x.org"), Addressee("c@x.org")]
        ),
    )
    attempt(run, PENDING, ACCEPTED, PENDING)
    attempt(run, PENDING, PENDING, now=NOW + 100)
    assert claim_next(run, NOW + 10_000)
    row = store.row(1)
    assert [(one.address, one.kind, one.status) for one in row.recipients] == [
        ("b@x.org", "cc", "pending"), ("a@x.org", "to", "accepted"), ("c@x.org", "to", "pending"),
    ]  # fmt: skip
    assert row.to == ["a@x.org", "c@x.org"]
    assert [(one.started_at, one.outcome) for one in row.attempts] == [
        (NOW, "deferred"), (NOW + 100, "deferred"), (NOW + 10_000, None),
    ]  # fmt: skip
    with pytest.raises(NotFound):
        store.row(2)
