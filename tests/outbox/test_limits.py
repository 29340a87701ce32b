"""What counts against a provider's limits: what it took or may have taken, and what is under way."""

from __future__ import annotations

import pytest

from prx_email_cli.errors import LimitUsedUp
from prx_email_cli.outbox.lifecycle import RecipientStatus
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Limit
from prx_email_cli.outbox.sqlite.store import SqliteStore

from .messages import NOW, claim, ended, new_message, sent

ACCEPTED, PENDING = RecipientStatus.ACCEPTED, RecipientStatus.PENDING
MINUTE, HOUR = 60, 3600


def next_within(store: SqliteStore, limit: Limit, now: int = NOW, account: str = "work") -> Claimed | None:
    """Claim as a drain does, for an account with one limit."""
    return store.claims.claim_next("run", ClaimNext(account, now, now, (limit,)))


def test_a_message_under_way_counts_and_no_longer_once_nothing_was_taken(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(), new_message()])
    one = Limit(1, MINUTE)
    under_way = next_within(outbox, one)
    assert under_way is not None
    assert next_within(outbox, one) is None
    with pytest.raises(LimitUsedUp):
        outbox.claims.claim("run", ClaimOne(2, NOW, limits=(one,)))
    outbox.claims.finalize("run", ended(under_way))
    assert next_within(outbox, one) is not None


@pytest.mark.parametrize("limit", [Limit(1, MINUTE), Limit(1, MINUTE, of_recipients=True)])
class TestOneInAMinute:
    def test_is_used_up_by_what_was_sent_until_the_minute_is_over(self, outbox: SqliteStore, limit: Limit) -> None:
        outbox.enqueue([new_message(), new_message()])
        outbox.claims.finalize("run", sent(claim(outbox)))
        assert next_within(outbox, limit, NOW + MINUTE - 1) is None
        assert next_within(outbox, limit, NOW + MINUTE) is not None

    def test_is_used_up_by_what_is_under_way_until_the_minute_is_over(self, outbox: SqliteStore, limit: Limit) -> None:
        outbox.enqueue([new_message(), new_message()])
        claim(outbox)
        assert next_within(outbox, limit, NOW + MINUTE - 1) is None
        assert next_within(outbox, limit, NOW + MINUTE) is not None

    def test_is_left_by_an_attempt_of_which_the_provider_took_nothing(self, outbox: SqliteStore, limit: Limit) -> None:
        outbox.enqueue([new_message(), new_message()])
        outbox.claims.finalize("run", ended(claim(outbox)))
        assert next_within(outbox, limit) is not None

    def test_is_used_up_by_an_attempt_that_ended_without_an_answer(self, outbox: SqliteStore, limit: Limit) -> None:
        outbox.enqueue([new_message(), new_message()])
        outbox.claims.finalize("run", ended(claim(outbox), uncertain=True))
        assert next_within(outbox, limit) is None

    def test_is_each_accounts_own(self, outbox: SqliteStore, limit: Limit) -> None:
        outbox.enqueue([new_message(), new_message(), new_message(account="home"), new_message(account="other")])
        outbox.claims.finalize("run", sent(claim(outbox)))
        assert next_within(outbox, limit, account="home") is not None
        assert next_within(outbox, limit, account="other") is not None


class TestALimitOfRecipients:
    def test_counts_those_whom_a_message_under_way_still_addresses(self, outbox: SqliteStore) -> None:
        outbox.enqueue([new_message("a@x.org", "b@x.org", "c@x.org")])
        outbox.claims.finalize("run", ended(claim(outbox), ACCEPTED, ACCEPTED, PENDING))
        later = NOW + HOUR
        claim(outbox, now=later)  # for the third recipient alone
        outbox.enqueue([new_message("d@x.org", "e@x.org", due_at=later)])
        assert next_within(outbox, Limit(2, MINUTE, of_recipients=True), later) is None
        assert next_within(outbox, Limit(3, MINUTE, of_recipients=True), later) is not None

    @pytest.mark.parametrize("by_hand", [False, True])
    def test_counts_those_of_the_next_message_that_are_left(self, outbox: SqliteStore, by_hand: bool) -> None:
        outbox.enqueue([new_message("a@x.org", "b@x.org", "c@x.org")])
        outbox.claims.finalize("run", ended(claim(outbox), ACCEPTED, ACCEPTED, PENDING))
        later, limit = NOW + HOUR, Limit(2, MINUTE, of_recipients=True)
        outbox.enqueue([new_message(due_at=NOW), new_message("d@x.org", "e@x.org", due_at=later - 1)])
        outbox.claims.finalize("run", sent(claim(outbox, now=later)))
        if by_hand:
            taken: Claimed | None = outbox.claims.claim("run", ClaimOne(1, later, limits=(limit,)))
        else:
            taken = next_within(outbox, limit, later)
        assert taken is not None
        assert [target.address for target in taken.targets] == ["c@x.org"]

    def test_asks_about_the_message_that_is_next_and_no_other(self, outbox: SqliteStore) -> None:
        three = ("a@x.org", "b@x.org", "c@x.org")
        outbox.enqueue([new_message()])
        outbox.claims.finalize("run", sent(claim(outbox)))
        outbox.enqueue([
            new_message(*three, due_at=NOW - 4, account="home"), new_message(*three, due_at=NOW - 3, expires_at=NOW),
            new_message(*three, due_at=NOW - 2), new_message(due_at=NOW - 1, expires_at=NOW + 1),
            new_message(*three, due_at=NOW + 1),
        ])  # fmt: skip
        outbox.hold(4, NOW)
        taken = next_within(outbox, Limit(2, MINUTE, of_recipients=True))
        assert taken is not None
        assert taken.outbox_id == 5

    def test_asks_about_a_message_that_expires_later(self, outbox: SqliteStore) -> None:
        outbox.enqueue([new_message()])
        outbox.claims.finalize("run", sent(claim(outbox)))
        outbox.enqueue([new_message("a@x.org", "b@x.org", "c@x.org", expires_at=NOW + 1)])
        assert next_within(outbox, Limit(2, MINUTE, of_recipients=True)) is None

    def test_lets_a_larger_message_go_when_nothing_else_has_been_counted(self, outbox: SqliteStore) -> None:
        outbox.enqueue([new_message("a@x.org", "b@x.org", "c@x.org"), new_message()])
        limit = Limit(2, MINUTE, of_recipients=True)
        first = next_within(outbox, limit)
        assert first is not None
        assert next_within(outbox, limit) is None
