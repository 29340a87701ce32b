"""What ``prune`` takes from messages that ended, and from whom it takes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prx_email_cli.mail.received import KnownMessage
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult
from prx_email_cli.outbox.messages import Esmtp, Moment, NewMessage
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Drop, Filter, Prunable, Pruned, Pruning

from ..messages import NOW, POLICY, new_message, sent
from .asking import ACCEPTED, FOR_EVER, PENDING, REFUSED, attempt, claim, forced, record, refuse, submit

EVERYTHING = Pruning(FOR_EVER, FOR_EVER)
NAMES = EVERYTHING._replace(drop=Drop.NAMES)
RECORDS = EVERYTHING._replace(drop=Drop.RECORD)


def to(address: str, drop: Drop = Drop.CONTENT) -> Pruning:
    return Pruning(FOR_EVER, FOR_EVER, drop, to=address)


def keyed(key: str, says: str = "it") -> NewMessage:
    return new_message("jane@example.org")._replace(idempotency_key=key, fingerprint=f"fingerprint of {says}")


def known(number: int, sender: str, recipients: str = "ops@example.com", copies: str = "") -> KnownMessage:
    return KnownMessage(f"<{number}@x>", "", "", sender, "", recipients, copies, "subject", "yesterday", "text")


def test_the_room_of_what_was_deleted_is_given_back_by_compacting(store: Store, run: Run) -> None:
    submit(store, new_message(content=b"Subject: s\r\n\r\n" + b"long\r\n" * 300_000), new_message())
    before = store.bytes_used()
    record(run, sent(claim(run)))
    store.prune(RECORDS)
    assert store.compact()
    assert 0 < store.bytes_used() < before
    assert store.exported(2).message_id


class TestWhatIsTaken:
    def test_finding_it_changes_nothing(self, store: Store, run: Run) -> None:
        submit(store, new_message(), new_message())
        record(run, sent(claim(run)))
        for pruning in (EVERYTHING, NAMES, RECORDS):
            assert store.prunable(pruning) == Prunable([1], 0, [])
        assert store.row(1).pruned_at is None
        assert store.exported(1).message_id

    def test_the_moment_is_told_and_stays_the_first(self, store: Store, run: Run) -> None:
        submit(store)
        record(run, sent(claim(run)))
        store.prune(Pruning(NOW, NOW + 5))
        assert (store.row(1).pruned_at, store.row(1).anonymised_at) == (NOW + 5, None)
        store.prune(Pruning(NOW, NOW + 9, Drop.NAMES))
        assert (store.row(1).pruned_at, store.row(1).anonymised_at) == (NOW + 5, NOW + 9)

    def test_only_sent_ones_or_only_of_one_account(self, store: Store, run: Run) -> None:
        submit(store, new_message(), new_message(), new_message(account="home"))
        record(run, sent(claim(run)))
        store.cancel(2, NOW)
        store.cancel(3, NOW)
        assert store.prunable(EVERYTHING._replace(wanted=Filter(account="home"))).ids == [3]
        assert store.prunable(EVERYTHING._replace(wanted=Filter(gave_up=True))).ids == [2, 3]
        assert store.prunable(EVERYTHING._replace(ids=(1, 3, 9))).ids == [1, 3]
        assert store.prunable(EVERYTHING).ids == [1, 2, 3]
        assert store.prune(EVERYTHING._replace(sent_only=True)) == Pruned(1)
        assert store.prunable(EVERYTHING).ids == [2, 3]

    def test_nothing_of_what_is_uncertain_or_held_if_only_what_is_settled(self, store: Store, run: Run) -> None:
        submit(store, new_message(), new_message(), new_message())
        results = {0: RecipientResult(PENDING, uncertain=True)}
        record(run, finish(claim(run), Outcome(results, error="network", detail="why"), POLICY, Moment(NOW)))
        store.cancel(1, NOW)
        store.hold(2, NOW)
        store.cancel(2, NOW)
        store.cancel(3, NOW)
        assert store.prunable(EVERYTHING._replace(settled_only=True)).ids == [3]


class TestAPerson:
    def test_every_kind_of_recipient_in_any_letters_and_no_other_address(self, store: Store, run: Run) -> None:
        copied = new_message("a@example.org", "Jane@Example.org")
        submit(store, copied, new_message("jane@example.org"), new_message("jane@example.org.uk", "xjane@example.org"))
        for _ in range(3):
            record(run, sent(claim(run)))
        assert store.prunable(to("jane@example.ORG")) == Prunable([1, 2], 0, [])
        assert store.prune(to("jane@example.org", Drop.RECORD)) == Pruned(2)
        assert store.prunable(EVERYTHING).ids == [3]

    def test_what_has_not_ended_stays_and_is_told(self, store: Store, run: Run) -> None:
        submit(store, *[new_message("jane@example.org") for _ in range(5)], new_message())
        record(run, sent(claim(run)))
        attempt(run, PENDING)
        run.claim_by_id(forced(3))
        store.hold(4, NOW)
        store.cancel(5, NOW)
        assert store.prunable(to("jane@example.org")) == Prunable([1, 5], 0, [2, 3, 4])
        assert store.prune(to("jane@example.org", Drop.RECORD)) == Pruned(2)
        assert store.stats(NOW).total == 4

    def test_is_found_under_the_pseudonym_too(self, store: Store, run: Run) -> None:
        submit(store, new_message("jane@example.org"), new_message())
        for _ in range(2):
            record(run, sent(claim(run)))
        assert store.prune(NAMES) == Pruned(2)
        assert store.prunable(to("JANE@example.org", Drop.RECORD)).ids == [1]

    @pytest.mark.parametrize("drop", Drop)
    def test_known_messages_from_and_to_them_are_deleted(self, store: Store, drop: Drop) -> None:
        messages = [
            known(1, "Jane <jane@Example.org>"),
            known(2, "Bob <bob@example.org>", "Ops <ops@example.com>, jane@example.org"),
            known(3, "bob@example.org", copies='"Doe, Jane" <JANE@example.org>'),
            known(4, "Jane's friend <xjane@example.org>", "jane@example.org.uk"),
        ]
        store.learn("work", messages, NOW)
        assert store.prunable(to("jane@example.org", drop)) == Prunable([], 3, [])
        assert store.prune(to("jane@example.org", drop)) == Pruned(0, 3)
        assert [one.message.message_id for one in store.known_messages(None, 9)] == ["<4@x>"]


class TestWithoutNames:
    def test_no_name_is_left_and_one_name_has_one_pseudonym(self, store: Store, run: Run) -> None:
        submit(store, new_message("jane@example.org", "bob@example.net"), new_message("JANE@example.org"))
        results = {
            0: RecipientResult(REFUSED, 550, "550 5.1.1 <jane@example.org>: no such user"),
            1: RecipientResult(ACCEPTED, 250, "250 2.1.5 Ok"),
        }
        outcome = Outcome(
            results, error="provider", detail="jane@example.org: 550 5.1.1 <jane@example.org>: no such user", code=550,
            acceptance="2.0.0 queued for bob as 7", dialogue="RCPT TO:<jane@example.org>",
        )  # fmt: skip
        record(run, finish(claim(run), outcome, POLICY, Moment(NOW)))
        record(run, sent(claim(run)))
        assert store.prune(NAMES) == Pruned(2)
        first, second = store.row(1), store.row(2)
        for row in (first, second):
            for name in ("jane", "bob", "ops@example.com", "'s'"):
                assert name not in str(replace(row, account="")).casefold()
        jane, bob = (one.address for one in first.recipients)
        assert second.to == [jane]
        assert jane != bob
        assert jane.endswith("@anonymised.invalid")
        assert (first.recipients[0].code, first.recipients[0].response) == (550, "550 5.1.1 (anonymised)")
        assert first.recipients[1].response == "250 2.1.5 Ok"
        assert first.last_error == f"{jane}: 550 5.1.1 (anonymised)"
        assert first.provider_message_id == "(anonymised)"
        assert [(one.response, one.dialogue) for one in first.attempts] == [("(anonymised)", None)]
        assert first.message_id == "<outbox-1-0@prx-email.local>"
        assert first.subject == second.subject != "s"

    def test_a_message_id_that_it_came_with_goes_too(self, store: Store, run: Run) -> None:
        submit(store, new_message()._replace(own_message_id="<jane@example.org>", esmtp=Esmtp(envelope_id="jane")))
        record(run, sent(claim(run)))
        assert store.row(1).message_id == "<jane@example.org>"
        assert store.prune(NAMES) == Pruned(1)
        assert "jane" not in str(store.row(1))

    def test_what_has_not_ended_keeps_its_names(self, store: Store) -> None:
        submit(store, new_message("jane@example.org"))
        assert store.prune(NAMES) == Pruned(0)
        assert store.row(1).to == ["jane@example.org"]

    def test_it_is_done_once(self, store: Store, run: Run) -> None:
        submit(store)
        record(run, sent(claim(run)))
        assert store.prune(NAMES) == Pruned(1)
        before = store.row(1)
        assert store.prune(NAMES._replace(now=FOR_EVER + 1)) == Pruned(0)
        assert store.row(1) == before

    def test_an_idempotency_key_is_still_known(self, store: Store, run: Run) -> None:
        submit(store, keyed("invoice-7"))
        refuse(run)
        assert store.prune(NAMES) == Pruned(1)
        again, other = store.submit([keyed("invoice-7"), keyed("invoice-7", "something else")])
        assert (again.outbox_id, again.duplicate) == (1, True)
        assert other.error is not None
        assert store.with_key("invoice-7", None) == [1]
        assert submit(store, keyed("invoice-8")) == [2]
        assert store.prune(RECORDS) == Pruned(1)
        assert submit(store, keyed("invoice-7", "something else")) == [3]

    def test_known_messages_of_that_age_are_deleted(self, store: Store) -> None:
        store.learn("work", [known(1, "jane@example.org")], NOW)
        store.learn("work", [known(2, "jane@example.org")], NOW + 2)
        assert store.prune(Pruning(NOW + 1, NOW + 9, Drop.CONTENT)) == Pruned(0, 0)
        assert store.prune(Pruning(NOW + 1, NOW + 9, Drop.NAMES, sent_only=True)) == Pruned(0, 0)
        assert store.prune(Pruning(NOW + 1, NOW + 9, Drop.NAMES)) == Pruned(0, 1)
        assert store.known("work", "<2@x>") is not None
