"""New messages: in order, once, and all of their content."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.digest import content_digest, has_its_envelope
from prx_email_cli.outbox.lifecycle import RecipientKind
from prx_email_cli.outbox.messages import Addressee, Content, NewMessage, Schedule
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Drop, Filter, Pruning

from ..messages import NOW, new_message
from .asking import claim, refuse, submit


def keyed(key: str, fingerprint: str = "of what it says", account: str = "work") -> NewMessage:
    return new_message(account=account)._replace(idempotency_key=key, fingerprint=fingerprint)


def test_messages_are_stored_in_order_with_growing_ids(store: Store) -> None:
    assert submit(store, *[new_message() for _ in range(3)]) == [1, 2, 3]
    assert submit(store, new_message(account="home")) == [4]
    assert store.submit([]) == []
    assert store.stats(NOW).total == 4


def test_a_message_is_claimed_as_it_was_submitted(store: Store, run: Run) -> None:
    content = b"Subject: hello\r\n\r\nbody\r\n"
    submit(store, NewMessage(
        account="work", sender="", recipients=[
            Addressee("a@x.org"), Addressee("b@x.org", RecipientKind.CC), Addressee("c@x.org", RecipientKind.BCC)
        ],
        subject="hello", content=Content.of(content), schedule=Schedule(NOW - 9, NOW - 5, NOW + 60),
        needs_smtputf8=True,
    ))  # fmt: skip
    claimed = claim(run)
    assert (claimed.account, claimed.sender, claimed.subject) == ("work", "", "hello")
    assert [(target.number, target.address) for target in claimed.targets] == [
        (0, "a@x.org"), (1, "b@x.org"), (2, "c@x.org"),
    ]  # fmt: skip
    assert (claimed.first_due_at, claimed.next_attempt_at, claimed.expires_at) == (NOW - 5, NOW - 5, NOW + 60)
    assert (claimed.retries, claimed.uncertain, claimed.needs_smtputf8, claimed.others) == (0, False, True, [])
    assert (claimed.started_at, claimed.drained_seconds) == (NOW, 0)
    assert claimed.content_digest == content_digest(content)
    assert has_its_envelope(claimed)
    assert (store.row(1).to, store.row(1).created_at) == (["a@x.org"], NOW - 9)


def test_a_claim_has_its_own_content(store: Store, run: Run) -> None:
    submit(store, new_message(content=b"first"), new_message(content=b"second"))
    assert [claim(run).head, claim(run).head] == [b"first", b"second"]


def test_a_key_that_was_used_gives_the_earlier_message(store: Store) -> None:
    submit(store, keyed("k"), new_message())
    again, fresh, twice = store.submit([keyed("k"), keyed("other"), keyed("other")])
    assert (again.outbox_id, again.duplicate) == (1, True)
    assert (fresh.outbox_id, fresh.duplicate) == (3, False)
    assert (twice.outbox_id, twice.duplicate) == (3, True), "within one call too"
    assert store.stats(NOW).total == 3


def test_a_key_belongs_to_its_account_and_no_key_to_nobody(store: Store) -> None:
    assert submit(store, keyed("k"), keyed("k", account="home")) == [1, 2]
    assert submit(store, new_message(), new_message()) == [3, 4]
    assert submit(store, keyed("")) == [5]
    assert store.submit([keyed("")])[0].duplicate


def test_a_key_that_was_used_for_other_content_refuses_that_message_alone(store: Store) -> None:
    submit(store, keyed("k"))
    before, conflict, after = store.submit([new_message(), keyed("k", "of something else"), new_message()])
    assert isinstance(conflict.error, ValidationError)
    assert (before.outbox_id, after.outbox_id) == (2, 3)
    assert store.stats(NOW).total == 3


def test_a_key_outlives_the_content_and_ends_with_the_record(store: Store, run: Run) -> None:
    submit(store, keyed("k"), new_message(account="home"))
    refuse(run)
    store.prune(Pruning(NOW + 10**6, NOW))
    assert store.submit([keyed("k")])[0].duplicate
    store.prune(Pruning(NOW + 10**6, NOW, Drop.RECORD))
    assert submit(store, keyed("k", "of something else")) == [3]


def test_content_that_breaks_off_stores_nothing_at_all(store: Store) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        raise OSError("the file went away")

    with pytest.raises(OSError, match="went away"):
        store.submit([new_message(), keyed("k")._replace(content=Content(breaks_off(), 2_000_000, ""))])
    assert store.stats(NOW).total == 0
    (outbox_id,) = submit(store, keyed("k", "of something else"))  # ids may have gaps
    assert store.ids(Filter()) == [outbox_id]


@pytest.mark.parametrize(
    "sizes",
    [[], [1], [262_144], [262_143, 1, 1], [786_432], [262_144, 262_144, 1], [65_535, 1, 1], [0, 3_000_000, 0, 5]],
    ids=str,
)
def test_content_of_any_size_comes_back_as_it_was_however_it_came(store: Store, run: Run, sizes: list[int]) -> None:
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    submit(store, new_message(content=Content.of(b"".join(pieces))._replace(pieces=pieces)))
    claimed = claim(run)
    head, rest = claimed.head, list(run.content(claimed))
    assert head is not None
    assert head + b"".join(rest) == b"".join(pieces)
    assert claimed.size_bytes == sum(sizes)
    assert all(rest)
    assert run.advance([], []).claims == []


def test_together_all_are_stored_or_none_if_one_is_refused(store: Store) -> None:
    assert submit(store, keyed("k")) == [1]
    clash = keyed("k", "of other words")
    answers = store.submit_together([new_message(), clash, keyed("k")])
    assert [answer.error is None for answer in answers] == [True, False, True]
    assert store.stats(NOW).total == 1
    answers = store.submit_together([new_message(), keyed("k"), keyed("new")])
    assert [(answer.duplicate, answer.error) for answer in answers] == [(False, None), (True, None), (False, None)]
    assert len({answer.outbox_id for answer in answers} & {row.outbox_id for row in store.rows(Filter(limit=9))}) == 3


def test_a_rehearsal_answers_as_storing_would_and_stores_nothing(store: Store) -> None:
    assert submit(store, keyed("k")) == [1]
    messages = [new_message(), keyed("k"), keyed("k", "of other words"), keyed("new"), keyed("new", "of other words")]
    rehearsed = store.submit_together(messages, rehearsal=True)
    assert store.stats(NOW).total == 1
    stored = store.submit(messages)
    assert [(one.duplicate, one.error is None) for one in rehearsed] == [
        (one.duplicate, one.error is None) for one in stored]  # fmt: skip
