"""The log: attempts as they ended and what people did, by time; and what runs have in hand."""

from __future__ import annotations

from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
from prx_email_cli.outbox.history import Entry, Span
from prx_email_cli.outbox.store import Run, Store

from ..messages import NOW, POLICY, ended, new_message
from .asking import ACCEPTED, PENDING, Dying, attempt, claim, claim_next, submit, write_whole

LATER = NOW + 100_000


def told(store: Store, span: Span | None = None) -> list[tuple[int, int | None, str, str]]:
    entries = store.log(span or Span(), LATER).entries
    return [(one.at - NOW, one.outbox_id, one.account, one.what) for one in entries]


def some(store: Store, run: Run) -> None:
    """What happens to two messages of two accounts."""
    store.acting = "ann@host"
    submit(store, new_message(), new_message(account="home"))
    attempt(run, PENDING, now=NOW + 1)
    store.pause(AccountState("home", paused_at=NOW + 2, paused_by="bob@host", reason="moving"))
    store.resume("home", NOW + 3)
    home = claim_next(run, NOW + 4, "home")
    assert home is not None
    run.advance([ended(home, ACCEPTED, now=NOW + 9)], [])
    store.hold(1, NOW + 5)
    store.pause(AccountState(EVERY_ACCOUNT, paused_at=NOW + 10, paused_by="bob@host"))


ALL = [(1, 1, "work", "deferred"), (2, None, "home", "paused"), (3, None, "home", "resumed"), (5, 1, "work", "held"),
       (9, 2, "home", "sent"), (10, None, "", "paused")]  # fmt: skip


def test_it_has_attempts_and_what_people_did_in_order_of_time(store: Store, run: Run) -> None:
    some(store, run)
    assert told(store) == ALL


def test_it_is_narrowed_by_time_account_and_number(store: Store, run: Run) -> None:
    some(store, run)
    assert told(store, Span(since=NOW + 2, until=NOW + 5)) == ALL[1:4]
    assert told(store, Span(account="work")) == [ALL[0], ALL[3], ALL[5]]
    assert told(store, Span(account="home")) == [ALL[1], ALL[2], ALL[4], ALL[5]]
    assert told(store, Span(account="nobody")) == [ALL[5]]
    assert told(store, Span(most=2)) == ALL[-2:]
    assert told(store, Span(since=LATER)) == []


def test_an_entry_has_what_is_known_of_it(store: Store, run: Run) -> None:
    some(store, run)
    entries = store.log(Span(), LATER).entries
    failed, paused = entries[0], entries[1]
    assert (failed.kind, failed.response, failed.uncertain, failed.run_id) == ("attempt", "why", False, run.run_id)
    assert (failed.message_id, failed.began_at) == ("<outbox-1-0@prx-email.local>", NOW + 1)
    assert (paused.kind, paused.who, paused.detail) == ("action", "bob@host", "moving")
    keys = {(one.kind, one.outbox_id, one.number) for one in entries}
    assert len(keys) == len(entries)


def test_it_tells_when_what_has_not_ended_began(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    assert store.log(Span(), LATER).unended_from == LATER
    first = claim(run, NOW + 5)
    claim(run, NOW + 7)
    assert store.log(Span(), LATER).unended_from == NOW + 5
    run.advance([ended(first, PENDING, now=NOW + 20)], [])
    assert store.log(Span(), LATER).unended_from == NOW + 7


def test_a_follower_finds_what_ends_after_a_look_by_what_had_not_ended_then(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    slow = claim(run, NOW)
    attempt(run, ACCEPTED, now=NOW + 50)
    look = store.log(Span(), NOW + 60)
    run.advance([ended(slow, PENDING, now=NOW + 61)], [])
    span = Span(since=NOW + 60, begun_from=look.unended_from)
    assert told(store, span) == [(61, 1, "work", "deferred")]


def test_what_a_run_left_that_died_long_ago_is_found_once_it_is_settled(store: Store, run: Run, dying: Dying) -> None:
    submit(store)
    other, die = dying()
    write_whole(other, NOW)
    die()
    run.recover(POLICY, NOW + 50_000)
    assert told(store, Span(since=NOW + 40_000, begun_from=NOW + 40_000)) == [(50_000, 1, "work", "died")]


def test_what_runs_have_in_hand(store: Store, run: Run) -> None:
    submit(store, new_message("a@x.org", "b@x.org"), new_message("c@x.org"), new_message())
    assert store.in_hand(9) == []
    claim(run, NOW)
    claim(run, NOW + 3)
    found = [(one.outbox_id, one.run_id, one.claimed_at - NOW, one.subject, one.to) for one in store.in_hand(9)]
    assert found == [(1, run.run_id, 0, "s", "a@x.org"), (2, run.run_id, 3, "s", "c@x.org")]
    assert len(store.in_hand(1)) == 1


def test_an_empty_outbox_has_none(store: Store) -> None:
    assert store.log(Span(), NOW).entries == list[Entry]()
