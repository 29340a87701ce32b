"""Texts from outside may hold NUL, which PostgreSQL's texts cannot hold, and half characters, which UTF-8 cannot.

What a server said never keeps an attempt from being recorded; what a person or a program asks for is stored or refused.
"""

from __future__ import annotations

import pytest

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.received import KnownMessage
from prx_email_cli.outbox.accounts import AccountState
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, Scope
from prx_email_cli.outbox.messages import Addressee, Claimed, Finished, Moment
from prx_email_cli.outbox.store import Run, Store

from ..messages import NOW, POLICY, claim, new_message
from .asking import ACCEPTED, PENDING, REFUSED, Dying, record, submit

TEXTS = {
    "NUL": ("a\0b", r"a\x00b"),
    "only NULs": ("\0\0", r"\x00\x00"),
    "half a character": ("a\udc80b", r"a\udc80b"),
    "both, and umlauts": ("ä\0\ud800€", r"ä\x00\ud800€"),
}
each_text = pytest.mark.parametrize(("said", "kept"), TEXTS.values(), ids=TEXTS)


def answered(claimed: Claimed, said: str, *, accepted: bool) -> Finished:
    """An attempt in all of whose texts the server, or the system, said that."""
    status = ACCEPTED if accepted else PENDING
    results = {target.number: RecipientResult(status, 250, said) for target in claimed.targets}
    outcome = Outcome(results, acceptance=said, dialogue=said)
    if not accepted:
        outcome = Outcome(results, "network", said, 450, said, Scope.ACCOUNT, dialogue=said)
    return finish(claimed, outcome, POLICY, Moment(NOW))


@each_text
def test_what_the_server_accepts_is_recorded_whatever_it_says(store: Store, run: Run, said: str, kept: str) -> None:
    submit(store)
    record(run, answered(claim(run), said, accepted=True))
    row = store.row(1)
    assert (row.status, row.provider_message_id) == ("sent", kept)
    assert [(one.response, one.dialogue) for one in row.attempts] == [(kept, kept)]
    assert [(one.status, one.response) for one in row.recipients] == [("accepted", kept)]


@each_text
def test_what_fails_is_recorded_whatever_was_said(store: Store, run: Run, said: str, kept: str) -> None:
    submit(store)
    record(run, answered(claim(run), said, accepted=False))
    row = store.row(1)
    assert (row.status, row.last_error) == ("failed", kept)
    assert [(one.response, one.dialogue) for one in row.attempts] == [(kept, kept)]
    assert store.account_states()["work"].detail == kept


@each_text
def test_many_attempts_are_recorded_whatever_one_of_them_heard(store: Store, run: Run, said: str, kept: str) -> None:
    submit(store, *[new_message() for _ in range(3)])
    claims = [claim(run) for _ in range(3)]
    record(run, *[answered(one, said if one is claims[1] else "ok", accepted=True) for one in claims])
    assert [store.row(number).provider_message_id for number in (1, 2, 3)] == ["ok", kept, "ok"]


@each_text
def test_what_a_dead_run_heard_is_recorded_whatever_it_was(
    store: Store, run: Run, dying: Dying, said: str, kept: str
) -> None:
    submit(store)
    dead, die = dying()
    claimed = claim(dead)
    dead.answered(claimed, answered(claimed, said, accepted=True).outcome, NOW)
    die()
    assert len(run.recover(POLICY, NOW).finished) == 1
    assert store.row(1).provider_message_id == kept


@each_text
def test_a_refused_recipient_keeps_what_the_server_said_of_it(store: Store, run: Run, said: str, kept: str) -> None:
    submit(store)
    claimed = claim(run)
    results = {0: RecipientResult(REFUSED, 550, said)}
    record(run, finish(claimed, Outcome(results, "provider", said, 550), POLICY, Moment(NOW)))
    assert (store.row(1).recipients[0].response, store.row(1).gave_up) == (kept, "refused")


def test_a_subject_with_a_nul_character_is_stored(store: Store, run: Run) -> None:
    submit(store, new_message()._replace(subject="a\0b"))
    assert store.row(1).subject in ("a\0b", r"a\x00b")
    record(run, answered(claim(run), "ok", accepted=True))


@pytest.mark.parametrize("text", ["a\0b", "a\udc80b"], ids=["NUL", "half a character"])
def test_a_name_that_cannot_be_stored_is_refused_alone(store: Store, text: str) -> None:
    odd = [
        new_message()._replace(sender=text),
        new_message()._replace(recipients=[Addressee(text)]),
        new_message(account=text),
        new_message()._replace(idempotency_key=text, fingerprint="f"),
    ]
    answers = store.submit([*odd, new_message()])
    assert answers[-1].error is None
    assert all(one.error is None or isinstance(one.error, ValidationError) for one in answers)
    assert store.stats(NOW).total == sum(one.error is None for one in answers)


def test_what_people_say_with_a_nul_character_is_stored(store: Store) -> None:
    store.acting = "o\0ps@host"
    store.pause(AccountState("work", paused_at=NOW, paused_by="o\0ps", reason="be\0cause"))
    assert store.account_states()["work"].reason in ("be\0cause", r"be\x00cause")
    submit(store)
    store.hold(1, NOW)
    store.note_drain(NOW, "cr\0on")
    assert store.row(1).held


def test_a_learned_message_with_nul_characters_is_stored(store: Store) -> None:
    odd = KnownMessage("<1@x>", *["a\0b"] * 9)
    assert store.learn("work", [odd, replace_id(odd)], NOW) == 2
    assert store.known("work", "<1@x>") is not None
    assert store.known("work", "a\0b") is None


def replace_id(message: KnownMessage) -> KnownMessage:
    return message._replace(message_id="<2@x>")
