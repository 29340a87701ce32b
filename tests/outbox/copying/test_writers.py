"""Whoever changes an outbox while a copy of it begins is in the copy, or is refused: never acknowledged and missed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from prx_email_cli.errors import OutboxBusy, OutboxMoved
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.outbox.accounts import AccountState
from prx_email_cli.outbox.decisions import Decision, Spread
from prx_email_cli.outbox.editing import Edit
from prx_email_cli.outbox.relational.database import at_home
from prx_email_cli.outbox.relational.moved import Journey, Stage
from prx_email_cli.outbox.relational.parts import PARTS
from prx_email_cli.outbox.store import Store
from prx_email_cli.outbox.transfer import End
from prx_email_cli.outbox.views import Drop, Keeping, Pruning

from ..messages import NOW, new_message
from .conftest import KINDS, Outbox, fill, known

LATER = NOW + 10**6
EDIT = Edit(NOW, {"a@example.org": Mailbox("", "z@example.org")})
LEAVING = Journey(Stage.LEAVING, "there", NOW, "ann@host", "a" * 16, "b" * 32)

# What begins each change that ``Store`` knows, and what goes on with it: some look for the mark, and change later.
WRITERS: dict[str, Callable[[Store], Any]] = {
    "submit": lambda store: store.submit([new_message()]),
    "submit_together": lambda store: store.submit_together([new_message()]),
    **{
        decision.name: lambda store, decision=decision: store.decide(decision, [3, 4, 5, 6], NOW)  # type: ignore[misc]
        for decision in Decision
    },
    "edit": lambda store: store.edit([4], EDIT),
    "spread": lambda store: store.spread([6], Spread(NOW + 60, 60)),
    "hold_all": lambda store: store.hold_all(None, NOW),
    "release_all": lambda store: store.release_all(None, NOW),
    "prune": lambda store: store.prune(Pruning(LATER, LATER, Drop.RECORD)),
    "tidy": lambda store: store.tidy(Keeping(LATER, LATER, LATER)),
    "take_unreported": lambda store: store.take_unreported(NOW),
    "learn": lambda store: store.learn("work", [known(3)], NOW),
    "pause": lambda store: store.pause(AccountState("work", paused_at=NOW)),
    "resume": lambda store: store.resume("home", NOW),
    "wake": lambda store: store.wake("work"),
    "forget_account": lambda store: store.forget_account("home"),
    "note_config": lambda store: store.note_config("work", "f"),
    "take_untold": lambda store: store.take_untold(LATER),
}


@pytest.fixture(params=KINDS)
def outbox(request: pytest.FixtureRequest, make: Callable[[str], Outbox]) -> Outbox:
    """An outbox with everything in it, also a message and an account of which a person is to be told."""
    made = make(request.param)
    with made.opened() as store:
        fill(store)
        store.change(lambda one: one.execute("UPDATE outbox SET told_at = NULL WHERE gave_up IS NOT NULL"))  # type: ignore[attr-defined]
        store.change(lambda one: one.execute(  # type: ignore[attr-defined]
            "INSERT INTO account_state (account, failing_since, failed_at, refusals, error, rests_until)"
            f" VALUES ('work', {NOW}, {NOW}, 9, 'network', {NOW})"))  # fmt: skip
    return made


def everything(outbox: Outbox) -> list[Any]:
    with closing(outbox.end()) as end:
        end.new_moment()
        return [list(end.rows(part, None)) for part in PARTS]


def mark(outbox: Outbox) -> None:
    with closing(outbox.end()) as end:
        end.mark(None, LEAVING)


@pytest.mark.parametrize("name", WRITERS)
def test_who_began_before_the_mark_and_changes_after_it_is_refused(outbox: Outbox, name: str) -> None:
    before = everything(outbox)
    with outbox.opened() as store:
        if name in ("submit", "submit_together") or (name.islower() and name not in ("edit", "spread")):
            mark(outbox)
            with pytest.raises(OutboxMoved, match="is being copied to there"):
                WRITERS[name](store)
        else:  # it yields what became of the messages, transaction by transaction
            going_on = WRITERS[name](store)
            mark(outbox)
            with pytest.raises(OutboxMoved, match="is being copied to there"):
                list(going_on)
    assert everything(outbox) == before


@pytest.mark.parametrize("name", WRITERS)
def test_without_a_mark_each_changes_something(outbox: Outbox, name: str) -> None:
    """Else the other test would claim nothing."""
    before = everything(outbox)
    with outbox.opened() as store:
        done = WRITERS[name](store)
        if name in Decision.__members__ or name in ("edit", "spread"):
            assert any(one.error is None for some in done for one in some)
    assert everything(outbox) != before


def test_no_copy_begins_while_a_change_goes_on_that_has_looked_for_a_mark(outbox: Outbox) -> None:
    with outbox.opened() as store, closing(impatient(outbox)) as end:

        def change(connection: Any) -> None:
            with pytest.raises(OutboxBusy):
                end.mark(None, LEAVING)
            connection.execute(f"UPDATE outbox SET held_at = {NOW} WHERE id = 6")

        store.change(at_home(store._guard, change))  # type: ignore[attr-defined]
        end.mark(None, LEAVING)
        assert store.row(6).held


def impatient(outbox: Outbox) -> End:
    return Outbox(outbox.settings.replace(busy_timeout_seconds=0.1)).end()
