"""Messages that came whole: they keep their Message-ID, and what they wish of a server goes with them."""

from __future__ import annotations

from prx_email_cli.outbox.messages import Esmtp
from prx_email_cli.outbox.store import Run, Store

from ..messages import ended, new_message
from .asking import PENDING, attempt, claim, forced, record, submit

OWN = "<own@client.example>"
CONTENT = f"Message-ID: {OWN}\r\nSubject: s\r\n\r\nb\r\n".encode()
WISHES = Esmtp(True, "NEVER", "HDRS", "abc")


def test_every_attempt_has_the_message_id_that_it_came_with(store: Store, run: Run) -> None:
    submit(store, new_message(content=CONTENT)._replace(own_message_id=OWN))
    for take in (claim, lambda run: run.claim_by_id(forced(1))):
        claimed = take(run)
        assert (claimed.message_id, claimed.has_message_id) == (OWN, True)
        record(run, ended(claimed, PENDING))
    assert store.row(1).message_id == OWN
    assert b"".join(store.exported(1).pieces()) == CONTENT


def test_after_an_uncertain_attempt_as_well(store: Store, run: Run) -> None:
    submit(store, new_message(content=CONTENT)._replace(own_message_id=OWN))
    attempt(run, uncertain=True)
    assert store.exported(1).message_id == OWN
    assert store.row(1).attempts[0].message_id == OWN


def test_what_it_wishes_of_a_server_is_claimed_with_it(store: Store, run: Run) -> None:
    submit(store, new_message()._replace(esmtp=WISHES), new_message())
    first, second = claim(run), claim(run)
    assert (first.esmtp, first.has_message_id) == (WISHES, False)
    assert (second.esmtp, second.has_message_id) == (None, False)
