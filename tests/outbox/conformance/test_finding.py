"""A message is found by what else names it; what only ``show`` tells of it; which runs are alive."""

from __future__ import annotations

from prx_email_cli.outbox.lifecycle import Scope
from prx_email_cli.outbox.messages import Caller, ClaimOne
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Particulars

from ..messages import DOMAIN, NOW, ended, new_message
from .asking import ACCEPTED, PENDING, Dying, attempt, claim, claim_next, submit

CALLER = Caller("ann", 1000, "host", "send --batch")


def numbered(outbox_id: int, retries: int, domain: str = DOMAIN) -> str:
    return f"<outbox-{outbox_id}-{retries}@{domain}>"


def test_each_message_id_of_a_message_finds_it_and_the_next_one_too(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message(account="home"))
    attempt(run, PENDING)
    attempt(run, PENDING, now=NOW + 100)
    assert [store.with_message_id(numbered(1, retries), None) for retries in range(4)] == [1, 1, 1, None]
    assert store.with_message_id(numbered(2, 0), None) == 2
    claim_next(run, account="home")
    assert store.with_message_id(numbered(2, 0), None) == 2


def test_a_message_id_of_another_outbox_or_account_finds_nothing(store: Store) -> None:
    submit(store)
    for message_id in (numbered(1, 0, "elsewhere"), numbered(9, 0), "<a@example.org>", numbered(1, 0)[1:-1], ""):
        assert store.with_message_id(message_id, None) is None, message_id
    assert store.with_message_id(numbered(1, 0), "home") is None
    assert store.with_message_id(numbered(1, 0), "work") == 1


def test_the_message_id_with_which_a_message_came_finds_the_latest_that_has_it(store: Store) -> None:
    own = "<a@example.org>"
    submit(store, *[new_message(account=account)._replace(own_message_id=own) for account in ("work", "home")])
    assert (store.with_message_id(own, None), store.with_message_id(own, "work")) == (2, 1)
    assert store.with_message_id(numbered(1, 0), None) is None


def test_a_key_finds_the_message_of_each_account_that_has_it(store: Store) -> None:
    messages = [new_message(account=account)._replace(idempotency_key=key, fingerprint="f")
                for account, key in (("work", "k"), ("home", "k"), ("work", "other"))]  # fmt: skip
    submit(store, *messages, new_message())
    assert (store.with_key("k", None), store.with_key("k", "home"), store.with_key("other", None)) == ([1, 2], [2], [3])
    assert (store.with_key("K", None), store.with_key("other", "home")) == ([], [])


def test_what_only_show_tells_is_as_submitted(store: Store) -> None:
    new = new_message(due_at=NOW + 5, expires_at=NOW + 60)
    submit(store, new._replace(idempotency_key="k", fingerprint="f", caller=CALLER), new_message())
    expected = Particulars("ops@example.com", NOW + 5, NOW + 5, NOW + 60, idempotency_key="k", caller=CALLER)
    assert store.row(1).particulars == expected
    assert store.row(2).particulars == Particulars("ops@example.com", NOW, NOW)


def test_what_only_show_tells_follows_what_happens(store: Store, run: Run) -> None:
    submit(store)
    claimed = claim(run)
    about = store.row(1).particulars
    assert about is not None
    assert about.run_id == run.run_id
    run.advance([ended(claimed, PENDING, scope=Scope.ACCOUNT)], [])
    about = store.row(1).particulars
    assert about is not None
    assert (about.run_id, about.by_account, about.first_due_at) == (None, True, NOW)
    assert about.due_at > NOW
    run.begin_drain(NOW + 10)
    run.begin_drain(NOW + 400)
    about = store.row(1).particulars
    assert about is not None
    assert about.drained_seconds == 390
    attempt(run, ACCEPTED, now=about.due_at + 400)
    about = store.row(1).particulars
    assert about is not None
    assert not about.by_account


def test_a_retry_by_hand_is_recorded_with_who_did_it(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    run.claim_by_id(ClaimOne(1, NOW))
    store.acting = "ann@host"
    run.claim_by_id(ClaimOne(2, NOW + 1, force=True))
    assert store.row(1).actions == []
    assert [(one.at, one.what, one.who, one.detail) for one in store.row(2).actions] == [
        (NOW + 1, "retried", "ann@host", "--force")
    ]


def test_the_runs_that_are_alive(store: Store, run: Run, dying: Dying) -> None:
    other, die = dying()
    assert {one.run_id for one in store.living_runs()} == {run.run_id, other.run_id}
    assert {one.started_at for one in store.living_runs()} == {NOW}
    submit(store)
    claim(other)
    die()
    assert [one.run_id for one in store.living_runs()] == [run.run_id]
