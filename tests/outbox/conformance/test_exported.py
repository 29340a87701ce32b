"""A stored message as its next attempt would send it."""

from __future__ import annotations

import pytest

from prx_email_cli.errors import NotFound
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Pruning

from ..messages import DOMAIN, NOW, new_message
from .asking import ACCEPTED, PENDING, attempt, claim, submit

CONTENT = b"Subject: s\r\n\r\n.dot\r\nb\r\n"


def test_it_is_the_content_behind_the_message_id_of_the_next_attempt(store: Store, run: Run) -> None:
    submit(store, new_message(content=CONTENT))
    assert b"".join(store.exported(1).pieces()) == f"Message-ID: <outbox-1-0@{DOMAIN}>\r\n".encode() + CONTENT
    attempt(run, PENDING)
    assert store.exported(1).message_id == f"<outbox-1-1@{DOMAIN}>"


def test_a_content_without_an_end_of_line_gets_one_as_on_the_wire(store: Store) -> None:
    submit(store, new_message(content=b"Subject: s\r\n\r\nb"))
    assert b"".join(store.exported(1).pieces()).endswith(b"\r\nb\r\n")


def test_after_an_uncertain_attempt_its_message_id_is_repeated(store: Store, run: Run) -> None:
    submit(store)
    attempt(run, uncertain=True)
    assert store.exported(1).message_id == f"<outbox-1-0@{DOMAIN}>"


def test_one_under_way_or_sent_is_as_it_is_or_was_sent(store: Store, run: Run) -> None:
    submit(store, new_message(), new_message())
    attempt(run, ACCEPTED)
    claim(run)
    assert [store.exported(outbox_id).message_id for outbox_id in (1, 2)] == [
        f"<outbox-{outbox_id}-0@{DOMAIN}>" for outbox_id in (1, 2)
    ]


def test_there_must_be_such_a_message_and_its_content(store: Store, run: Run) -> None:
    submit(store)
    with pytest.raises(NotFound):
        store.exported(2)
    attempt(run, ACCEPTED)
    store.prune(Pruning(NOW, NOW))
    with pytest.raises(NotFound, match="pruned"):
        store.exported(1)
