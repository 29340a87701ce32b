"""Messages that can be answered: what was learned, and what this outbox has sent."""

from __future__ import annotations

from prx_email_cli.mail.received import KnownMessage
from prx_email_cli.outbox.store import Run, Store
from prx_email_cli.outbox.views import Known, Pruning

from ..messages import NOW, new_message, sent
from .asking import PENDING, attempt, claim, record, refuse, submit


def message(message_id: str, text: str = "text") -> KnownMessage:
    return KnownMessage(message_id, "<b@x>", "<c@x> <b@x>", "A <a@x>", "", "ops@x", "", "subject", "yesterday", text)


def test_a_message_is_learned_once_by_each_account(store: Store) -> None:
    assert store.learn("work", [message("<1@x>"), message("<2@x>"), message("<1@x>", "other")], NOW) == 2
    assert store.learn("work", [message("<2@x>"), message("<3@x>")], NOW + 1) == 1
    assert store.learn("home", [message("<1@x>", "at home")], NOW + 2) == 1
    assert store.learn("home", [], NOW) == 0
    assert store.known("work", "<1@x>") == Known("work", NOW, message("<1@x>")), "the first one stays"
    assert store.known("home", "<1@x>") == Known("home", NOW + 2, message("<1@x>", "at home"))
    assert store.known("home", "<2@x>") is None


def test_what_was_learned_last_comes_first_without_its_text(store: Store) -> None:
    store.learn("work", [message("<1@x>"), message("<2@x>")], NOW)
    store.learn("home", [message("<3@x>")], NOW)
    assert [(one.account, one.message.message_id) for one in store.known_messages(None, 9)] == [
        ("home", "<3@x>"), ("work", "<2@x>"), ("work", "<1@x>"),
    ]  # fmt: skip
    assert store.known_messages("work", 1) == [Known("work", NOW, message("<2@x>", ""))]
    assert store.known_messages("none", 9) == []


def test_a_sent_message_is_found_by_each_message_id_it_went_out_with(store: Store, run: Run) -> None:
    content = b"Subject: s\r\n\r\nb\r\n"
    submit(store, new_message(content=content), new_message(content=b"Subject: other\r\n\r\n"))
    first = attempt(run, PENDING).message_id
    second = claim(run, NOW + 10)
    assert second.outbox_id == 2
    third = claim(run, NOW + 10)
    for message_id in (first, third.message_id):
        found = store.head_sent_as("work", message_id)
        assert found is not None
        assert content.startswith(found)
        assert found
        assert store.head_sent_as("home", message_id) is None
    record(run, sent(third))
    assert store.head_sent_as("work", third.message_id) == content
    for nobodys in ("<outbox-1-7@prx-email.local>", "<outbox-9-0@prx-email.local>", "<1@x>", ""):
        assert store.head_sent_as("work", nobodys) is None


def test_nothing_is_found_of_what_was_pruned(store: Store, run: Run) -> None:
    submit(store)
    refused = refuse(run)
    store.prune(Pruning(NOW + 10**6, NOW))
    assert store.head_sent_as("work", refused.message_id) is None
