"""A person's correction of messages that are not delivered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from prx_email_cli.errors import NotAllowedForStatus, NotFound, PrxEmailError, ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.readdressing import parse_replacement
from prx_email_cli.outbox.digest import has_its_envelope
from prx_email_cli.outbox.editing import Edit
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, RecipientKind, RecipientResult, Scope
from prx_email_cli.outbox.messages import Addressee, Content, Esmtp, Moment, NewMessage
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Filter

from ..messages import NOW, POLICY, ended, new_message, sent
from .asking import (
    ACCEPTED,
    PENDING,
    REFUSED,
    attempt,
    claim,
    claim_next,
    forced,
    give_back,
    record,
    statuses,
    submit,
)

HEAD = (
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: Ops <ops@example.com>\r\n"
    b"To: Old <old@example.org>, b@example.org\r\nSubject: s\r\nMIME-Version: 1.0\r\n\r\n"
)
BODY = b"to old@example.org\r\n"


def message(*, raw: bool = False, **values: Any) -> NewMessage:
    return new_message("old@example.org", "b@example.org", content=HEAD + BODY, **values)._replace(
        esmtp=Esmtp() if raw else None
    )


def change(*pairs: str, **values: Any) -> Edit:
    return Edit(NOW + 1, dict(map(parse_replacement, pairs)), **values)


REPLACED = change("old@example.org=new@example.net")


def edit(store: Store, ids: list[int], edit: Edit = REPLACED) -> Mapping[int, PrxEmailError | None]:
    return {one.outbox_id: one.error for some in store.edit(ids, edit) for one in some}


def content(store: Store, outbox_id: int = 1) -> bytes:
    return b"".join(store.exported(outbox_id).content)


def test_another_address_goes_into_envelope_and_headers(store: Store, run: Run) -> None:
    submit(store, message())
    store.acting = "ann@host"
    assert edit(store, [1]) == {1: None}
    row = store.row(1)
    assert [one.address for one in row.recipients] == ["new@example.net", "b@example.org"]
    assert (row.to, row.status, row.retries) == (["new@example.net", "b@example.org"], "pending", 0)
    assert content(store) == HEAD.replace(b"old@example.org", b"new@example.net") + BODY
    assert row.size_bytes == len(content(store))
    assert [(one.what, one.who, one.at, one.detail) for one in row.actions] == [
        ("edited", "ann@host", NOW + 1, "old@example.org is new@example.net"),
    ]
    claimed = claim(run)
    assert has_its_envelope(claimed)
    assert (claimed.head, [one.address for one in claimed.targets]) == (
        content(store), ["new@example.net", "b@example.org"],
    )  # fmt: skip


def test_of_mail_that_came_whole_the_envelope_alone_changes(store: Store, run: Run) -> None:
    submit(store, message(raw=True))
    sender = Mailbox("X", "x@example.com")
    assert edit(store, [1], REPLACED._replace(sender=sender, due_at=NOW)) == {1: None}
    assert content(store) == HEAD + BODY
    claimed = claim(run)
    assert (has_its_envelope(claimed), claimed.sender, claimed.targets[0].address) == (
        True, "x@example.com", "new@example.net",
    )  # fmt: skip


def test_a_hidden_recipient_is_replaced_in_the_envelope_alone(store: Store) -> None:
    hidden = Addressee("hidden@example.org", RecipientKind.BCC)
    submit(store, message()._replace(recipients=[Addressee("old@example.org"), hidden]))
    assert edit(store, [1], change("hidden@example.org=secret@example.org")) == {1: None}
    assert content(store) == HEAD + BODY
    assert [(one.address, one.kind) for one in store.row(1).recipients][1] == ("secret@example.org", "bcc")


class TestAGivenUpMessage:
    def test_stays_given_up_and_a_retry_goes_to_the_new_address_under_another_message_id(
        self, store: Store, run: Run
    ) -> None:
        submit(store, message())
        first = claim(run)
        record(run, ended(first, REFUSED, ACCEPTED))
        assert edit(store, [1]) == {1: None}
        row = store.row(1)
        assert (row.gave_up, statuses(store), row.recipients[0].response) == ("refused", ["pending", "accepted"], None)
        assert claim_next(run, NOW + 10**6) is None
        again = run.claim_by_id(forced(1))
        assert [one.address for one in again.targets] == ["new@example.net"]
        assert again.message_id != first.message_id
        record(run, sent(again))
        assert store.row(1).status == "sent"

    def test_keeps_what_was_received(self, store: Store, run: Run) -> None:
        submit(store, message())
        record(run, ended(claim(run), ACCEPTED, REFUSED))
        before = store.row(1)
        assert isinstance(edit(store, [1])[1], ValidationError)
        assert store.row(1) == before


class TestIsRefused:
    @pytest.mark.parametrize(
        "wrong",
        [
            change("nobody@example.org=a@example.org"),
            change("old@example.org=b@example.org"),
            change("old@example.org=B@EXAMPLE.ORG", "b@example.org=B@example.org"),
            change(expires_at=NOW),
            change(due_at=NOW + 99, expires_at=NOW + 99),
        ],
    )
    def test_what_does_not_fit_the_message(self, store: Store, wrong: Edit) -> None:
        submit(store, message())
        before = store.row(1), content(store)
        assert isinstance(edit(store, [1], wrong)[1], ValidationError)
        assert (store.row(1), content(store)) == before

    def test_a_message_that_may_have_been_accepted_until_it_is_resolved(self, store: Store, run: Run) -> None:
        submit(store, message())
        attempt(run, uncertain=True)
        error = edit(store, [1])[1]
        assert isinstance(error, NotAllowedForStatus)
        assert "resolve 1" in error.hint
        store.resolve(1, NOW, sent=False)
        assert edit(store, [1]) == {1: None}

    def test_one_that_is_sent_in_hand_gone_or_unknown(self, store: Store, run: Run) -> None:
        submit(store, message(), message(), message())
        attempt(run, ACCEPTED, ACCEPTED)
        claimed = claim(run)
        told = edit(store, [1, 2, 9])
        assert {outbox_id: type(error) for outbox_id, error in told.items()} == {
            1: NotAllowedForStatus, 2: NotAllowedForStatus, 9: NotFound,
        }  # fmt: skip
        give_back(run, claimed)
        assert edit(store, [2, 3]) == {2: None, 3: None}

    def test_and_goes_on_with_the_others(self, store: Store) -> None:
        submit(store, message(), new_message("a@example.org"), message())
        assert {outbox_id: error is None for outbox_id, error in edit(store, [1, 2, 3]).items()} == {
            1: True, 2: False, 3: True,
        }  # fmt: skip


class TestAnotherAccount:
    SENDERS = {"work": Mailbox("Ops", "ops@example.com"), "home": Mailbox("Me", "me@example.net")}  # noqa: RUF012

    def test_takes_the_message_with_its_sender_and_its_count(self, store: Store, run: Run) -> None:
        submit(store, message(), message())
        assert edit(store, [1], change(account="home", senders=self.SENDERS)) == {1: None}
        assert [store.row(outbox_id).account for outbox_id in (1, 2)] == ["home", "work"]
        assert b"From: Me <me@example.net>\r\n" in content(store)
        assert [store.count(Filter(account=name)) for name in ("home", "work")] == [1, 1]
        assert store.health(NOW).faults == []
        claimed = run.claim_by_id(forced(1))
        assert (claimed.account, claimed.sender, has_its_envelope(claimed)) == ("home", "me@example.net", True)

    def test_keeps_a_sender_of_its_own(self, store: Store) -> None:
        submit(store, message()._replace(sender="own@example.com"))
        assert edit(store, [1], change(account="home", senders=self.SENDERS)) == {1: None}
        assert content(store) == HEAD + BODY

    def test_is_not_due_again_when_the_old_one_works(self, store: Store, run: Run) -> None:
        submit(store, message(), message())
        refused = Outcome({}, error="auth", detail="no", code=535, scope=Scope.ACCOUNT)
        record(run, finish(claim(run), refused, POLICY, Moment(NOW)))
        due = store.row(1).next_attempt_at
        assert edit(store, [1], change(account="home")) == {1: None}
        record(run, sent(claim(run)))
        assert store.row(1).next_attempt_at == due


class TestTimes:
    def test_another_time_begins_its_life_anew(self, store: Store, run: Run) -> None:
        submit(store, message())
        record(run, ended(claim(run), PENDING, PENDING))
        assert edit(store, [1], change(due_at=NOW + 86_400)) == {1: None}
        assert store.row(1).next_attempt_at == NOW + 86_400
        assert b"Date: Wed, 15 Nov 2023 22:13:20 +0000\r\n" in content(store)
        assert claim_next(run, NOW + 86_399) is None
        assert claim(run, NOW + 86_400).first_due_at == NOW + 86_400

    def test_another_expiry_and_at_once(self, store: Store, run: Run) -> None:
        submit(store, message(due_at=NOW + 999, expires_at=NOW + 1000))
        assert edit(store, [1], change(expires_at=NOW + 2000)) == {1: None}
        assert (store.row(1).next_attempt_at, claim_next(run)) == (NOW + 999, None)
        assert edit(store, [1], change("old@example.org=new@example.net", at_once=True)) == {1: None}
        assert claim(run, NOW + 1).expires_at == NOW + 2000


def test_the_idempotency_key_stays_that_of_the_original_request(store: Store) -> None:
    first = message()._replace(idempotency_key="k", fingerprint="f")
    submit(store, first)
    assert edit(store, [1], REPLACED._replace(account="home")) == {1: None}
    (again,) = store.submit([first])
    assert (again.outbox_id, again.duplicate) == (1, True)


def test_addresses_beyond_ascii_need_smtputf8_as_long_as_they_are_there(store: Store, run: Run) -> None:
    submit(store, message())
    for pair, needed in (("old@example.org=jürgen@example.org", True), ("jürgen@example.org=j@example.org", False)):
        assert edit(store, [1], change(pair)) == {1: None}
        claimed = claim(run)
        assert (claimed.needs_smtputf8, has_its_envelope(claimed)) == (needed, True)
        give_back(run, claimed)


def test_a_large_message_keeps_its_whole_content(store: Store, run: Run) -> None:
    large = HEAD + BODY * 40_000
    submit(store, message()._replace(content=Content.of(large)))
    assert edit(store, [1]) == {1: None}
    after = HEAD.replace(b"old@example.org", b"new@example.net") + BODY * 40_000
    assert content(store) == after
    assert store.row(1).size_bytes == len(after)
    assert claim(run).content_digest == Content.of(after).digest


def test_results_of_recipients_that_stay_are_kept(store: Store, run: Run) -> None:
    submit(store, message())
    claimed = claim(run)
    busy = {0: RecipientResult(PENDING, 450, "busy"), 1: RecipientResult(PENDING, 451, "later")}
    record(run, finish(claimed, Outcome(busy, error="provider", detail="busy"), POLICY, Moment(NOW)))
    assert edit(store, [1]) == {1: None}
    assert [(one.code, one.response) for one in store.row(1).recipients] == [(None, None), (451, "later")]
    assert store.row(1).last_error == "busy"
