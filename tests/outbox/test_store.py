"""Enqueue, claim and finalize: what the store promises to whoever uses it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.delivery.attempt import finish
from prx_email_cli.errors import ClaimLost, LimitUsedUp, NotAllowedForStatus, NotFound, RetryNotDue
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, RetryPolicy, Scope
from prx_email_cli.outbox.messages import ClaimOne, Content, Limit
from prx_email_cli.outbox.sqlite.store import SqliteStore

from .messages import NOW, POLICY, claim, ended, new_message, open_store, sent, wish

PIECE_BYTES = 256 * 1024  # how the store cuts, which no test but the one of bounded pieces relies on
ACCEPTED, PENDING, REFUSED = RecipientStatus.ACCEPTED, RecipientStatus.PENDING, RecipientStatus.REFUSED


def change(store: SqliteStore, statement: str, *values: Any) -> int:
    """Change the file behind the store's back; how many rows it was."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        return connection.execute(statement, values).rowcount


def content_of(store: SqliteStore, run_id: str = "run") -> bytes:
    claimed = claim(store, run_id)
    content = (claimed.head or b"") + b"".join(store.claims.rest_of_content(claimed.outbox_id))
    assert claimed.size_bytes == len(content)
    return content


def spooled(pieces: list[bytes]) -> Content:
    return Content.of(b"".join(pieces))._replace(pieces=pieces)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    store = open_store(tmp_path_factory.mktemp("shared") / "outbox.db")
    yield store
    store.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, PIECE_BYTES + 10), max_size=6))
@example([])
@example([PIECE_BYTES])
@example([PIECE_BYTES - 1, 1, 1])
@example([3 * PIECE_BYTES])
@example([PIECE_BYTES, PIECE_BYTES, 1])
def test_content_of_any_size_comes_back_as_it_was_however_it_came(shared: SqliteStore, sizes: list[int]) -> None:
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    shared.enqueue([new_message(content=spooled(pieces))])
    assert content_of(shared) == b"".join(pieces)


def test_the_head_is_bounded_and_the_rest_comes_in_pieces(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(content=b"x" * (5 * PIECE_BYTES + 1))])
    claimed = claim(outbox)
    pieces = [claimed.head or b"", *outbox.claims.rest_of_content(claimed.outbox_id)]
    assert sum(map(len, pieces)) == 5 * PIECE_BYTES + 1
    assert max(map(len, pieces)) <= PIECE_BYTES


def test_ids_are_given_in_order_and_never_reused(outbox: SqliteStore) -> None:
    assert outbox.enqueue([new_message() for _ in range(3)]) == [1, 2, 3]
    change(outbox, "DELETE FROM outbox WHERE id >= 2")
    assert outbox.enqueue([new_message()]) == [4]


def test_one_message_that_cannot_be_stored_takes_its_transaction_with_it(outbox: SqliteStore) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"x" * PIECE_BYTES * 2
        raise OSError("the file went away")

    with pytest.raises(OSError, match="went away"):
        outbox.enqueue([new_message(), new_message(content=Content(breaks_off(), 3 * PIECE_BYTES, ""))])
    assert outbox.stats(NOW).total == 0
    assert outbox.enqueue([new_message()]) == [1]


def test_a_message_is_pending_until_claimed_then_sending_then_sent(outbox: SqliteStore) -> None:
    (outbox_id,) = outbox.enqueue([new_message()])
    seen = [outbox.row(outbox_id).status]
    claimed = claim(outbox)
    seen.append(outbox.row(outbox_id).status)
    outbox.claims.finalize("run", sent(claimed))
    row = outbox.row(outbox_id)
    assert [*seen, row.status] == ["pending", "sending", "sent"]
    assert (row.provider_message_id, row.sent_at, row.next_attempt_at) == ("2.0.0 queued", NOW, None)
    assert [(attempt.outcome, attempt.message_id) for attempt in row.attempts] == [("sent", claimed.message_id)]


def test_the_longest_due_is_claimed_first_and_nothing_before_its_time(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(due_at=NOW + offset) for offset in (5, -1, 0, -1, 1)])
    claimed = [claim(outbox).outbox_id for _ in range(3)]
    assert claimed == [2, 4, 3]
    assert outbox.claims.claim_next("run", wish(NOW)) is None
    assert claim(outbox, now=NOW + 1).outbox_id == 5
    assert outbox.next_due_at() == NOW + 5


def test_a_claim_takes_only_its_accounts_messages(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(account="home", due_at=NOW - 9), new_message(account="work")])
    assert claim(outbox).outbox_id == 2
    assert outbox.accounts_due(NOW) == ["home"]


@pytest.mark.parametrize("column", ["held_at = 1", "gave_up = 'refused'"])
def test_a_drain_leaves_what_is_held_or_given_up(outbox: SqliteStore, column: str) -> None:
    (outbox_id,) = outbox.enqueue([new_message()])
    change(outbox, f"UPDATE outbox SET {column}")
    assert outbox.claims.claim_next("run", wish(NOW + 10**9)) is None
    assert (outbox.count_due("work", NOW), outbox.accounts_due(NOW), outbox.next_due_at()) == (0, [], None)
    assert outbox.claims.claim("run", ClaimOne(outbox_id, NOW, force=True)).outbox_id == outbox_id, "a person still can"


def test_a_drain_leaves_what_has_expired(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(expires_at=NOW)])
    assert outbox.claims.claim_next("run", wish(NOW)) is None
    assert outbox.count_due("work", NOW) == 0


def test_a_person_is_refused_in_the_order_of_the_contract(outbox: SqliteStore) -> None:
    (outbox_id,) = outbox.enqueue([new_message(due_at=NOW + 60)])
    used_up = (Limit(0, 60),)
    outbox.hold(outbox_id, NOW)
    for try_it in (outbox.check_claim, partial(outbox.claims.claim, "run")):
        with pytest.raises(NotFound, match="outbox record not found"):
            try_it(ClaimOne(99, NOW, force=True, limits=used_up))
        with pytest.raises(NotAllowedForStatus, match="held") as held:
            try_it(ClaimOne(outbox_id, NOW + 59, limits=used_up))
        assert held.value.exit_code == 65
        with pytest.raises(LimitUsedUp) as limited:
            try_it(ClaimOne(outbox_id, NOW + 59, force=True, limits=used_up))
        assert limited.value.exit_code == 75
    outbox.release(outbox_id)
    for try_it in (outbox.check_claim, partial(outbox.claims.claim, "run")):
        with pytest.raises(RetryNotDue, match="retry_not_due") as not_due:
            try_it(ClaimOne(outbox_id, NOW + 59, limits=used_up))
        assert (not_due.value.exit_code, not_due.value.code) == (75, "retry_not_due")
    claimed = outbox.claims.claim("run", ClaimOne(outbox_id, NOW, force=True))
    with pytest.raises(NotAllowedForStatus, match="sending"):
        outbox.claims.claim("other", ClaimOne(outbox_id, NOW + 99, force=True))
    outbox.claims.finalize("run", sent(claimed))
    with pytest.raises(NotAllowedForStatus, match="sent"):
        outbox.claims.claim("other", ClaimOne(outbox_id, NOW + 99, force=True))


def test_checking_a_claim_changes_nothing(outbox: SqliteStore) -> None:
    (outbox_id,) = outbox.enqueue([new_message()])
    before = outbox.row(outbox_id)
    assert outbox.check_claim(ClaimOne(outbox_id, NOW)) == "work"
    assert outbox.row(outbox_id) == before


def test_each_definite_failure_gets_a_message_id_of_its_own(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    now, seen = NOW, []
    for _ in range(3):
        claimed = claim(outbox, now=now)
        seen.append(claimed.message_id)
        outbox.claims.finalize("run", ended(claimed, now=now))
        now += 10_000
    assert seen == [f"<outbox-1-{retries}@prx-email.local>" for retries in range(3)]


def test_an_attempt_after_an_uncertain_one_repeats_its_message_id(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    outbox.claims.finalize("run", ended(claim(outbox)))
    uncertain = claim(outbox, now=NOW + 10)
    outbox.claims.finalize("run", ended(uncertain, uncertain=True, now=NOW + 10))
    assert outbox.row(1).uncertain
    repeated = claim(outbox, now=NOW + 10_000)
    assert (uncertain.message_id, repeated.message_id) == ("<outbox-1-1@prx-email.local>",) * 2
    outbox.claims.finalize("run", ended(repeated, now=NOW + 10_000))
    assert claim(outbox, now=NOW + 99_999).message_id == uncertain.message_id, "its copy may still have been accepted"


def test_an_uncertain_message_waits_for_a_person_when_the_policy_says_hold(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    policy = RetryPolicy(hold_uncertain=True)
    outbox.claims.finalize("run", ended(claim(outbox), uncertain=True, policy=policy))
    assert outbox.row(1).held
    assert outbox.claims.claim_next("run", wish(NOW + 10**6)) is None
    assert outbox.claims.claim("run", ClaimOne(1, NOW + 10**6, force=True)).message_id == "<outbox-1-0@prx-email.local>"


def test_a_retry_goes_only_to_those_not_yet_accepted(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message("a@x.org", "b@x.org", "c@x.org")])
    outbox.claims.finalize("run", ended(claim(outbox), ACCEPTED, PENDING, REFUSED))
    row = outbox.row(1)
    assert (row.status, row.gave_up) == ("failed", None)
    assert [recipient.status for recipient in row.recipients] == ["accepted", "pending", "refused"]
    again = claim(outbox, now=NOW + 10)
    assert [target.address for target in again.targets] == ["b@x.org"]
    assert [other.status for other in again.others] == ["accepted", "refused"]
    outbox.claims.finalize("run", ended(again, REFUSED, now=NOW + 10))
    row = outbox.row(1)
    assert (row.status, row.gave_up) == ("failed", "refused")
    by_hand = outbox.claims.claim("run", ClaimOne(1, NOW + 10_000))
    assert [target.address for target in by_hand.targets] == ["b@x.org", "c@x.org"]
    outbox.claims.finalize("run", ended(by_hand, ACCEPTED, ACCEPTED))
    assert outbox.row(1).status == "sent"


def test_an_accepted_recipient_stays_so_whatever_a_later_attempt_says(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message("a@example.org", "b@example.org")])
    outbox.claims.finalize("run", ended(claim(outbox), ACCEPTED, PENDING))
    again = claim(outbox, now=NOW + 3600)
    said = {0: RecipientResult(REFUSED, 550, "never heard of"), 1: RecipientResult(PENDING, 451, "later")}
    outbox.claims.finalize("run", finish(again, Outcome(said, error="provider", detail="no"), POLICY, NOW + 3600))
    assert [recipient.status for recipient in outbox.row(1).recipients] == [ACCEPTED, PENDING]
    assert outbox.row(1).recipients[0].response == "said so"


def test_an_account_failure_is_deferred_and_never_given_up(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    claimed = claim(outbox, now=NOW + 10**7)
    outbox.claims.finalize("run", ended(claimed, scope=Scope.ACCOUNT, now=NOW + 10**7))
    row = outbox.row(1)
    assert (row.status, row.retries, row.gave_up, row.next_attempt_at) == ("failed", 1, None, NOW + 10**7 + 10)


def test_a_finalize_can_claim_the_next_message_in_the_same_transaction(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(), new_message()])
    following = outbox.claims.finalize("run", sent(claim(outbox)), wish())
    assert following is not None
    assert following.outbox_id == 2
    assert outbox.claims.finalize("run", sent(following), wish()) is None


def test_a_claim_that_was_lost_changes_nothing(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(), new_message()])
    claimed = claim(outbox, "mine")
    outbox.claims.recover(lambda run_id: True, RetryPolicy(), NOW)
    again = claim(outbox, "yours")
    assert again.outbox_id == claimed.outbox_id
    before = [outbox.row(1), outbox.row(2)]
    for late in (sent(claimed), ended(claimed, REFUSED), ended(claimed, uncertain=True)):
        with pytest.raises(ClaimLost, match="no longer this run's"):
            outbox.claims.finalize("mine", late, wish())
    assert [outbox.row(1), outbox.row(2)] == before
    outbox.claims.finalize("yours", sent(again))


def test_a_run_that_claimed_the_same_message_twice_finalizes_only_the_second_attempt(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    first = claim(outbox)
    outbox.claims.recover(lambda run_id: True, RetryPolicy(), NOW)
    second = claim(outbox)
    with pytest.raises(ClaimLost):
        outbox.claims.finalize("run", sent(first))
    outbox.claims.finalize("run", sent(second))
    assert outbox.row(1).status == "sent"


def test_a_finalized_message_is_not_finalized_again(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    claimed = claim(outbox)
    outbox.claims.finalize("run", sent(claimed))
    before = outbox.row(1)
    for late in (sent(claimed), ended(claimed)):
        with pytest.raises(ClaimLost):
            outbox.claims.finalize("run", late)
    assert outbox.row(1) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE outbox SET status = 'lost'",
        "UPDATE outbox SET status = 'sent'",
        "UPDATE outbox SET status = 'sending'",
        "UPDATE outbox SET run_id = 'x'",
        "UPDATE outbox SET retries = -1",
        "UPDATE outbox SET uncertain = 2",
        "UPDATE recipient SET status = 'maybe'",
    ],
)
def test_the_database_itself_keeps_the_rules(outbox: SqliteStore, statement: str) -> None:
    outbox.enqueue([new_message()])
    with pytest.raises(sqlite3.IntegrityError):
        change(outbox, statement)


def test_an_outbox_opened_again_has_everything(tmp_path: Path) -> None:
    store = open_store(tmp_path / "outbox.db")
    store.enqueue([new_message("a@x.org", "b@x.org", content=b"x" * (PIECE_BYTES + 1))])
    before = store.row(1)
    store.close()
    store = open_store(tmp_path / "outbox.db")
    assert store.row(1) == before
    assert len(content_of(store)) == PIECE_BYTES + 1
    store.close()
