"""A copy is the whole outbox, and of the two only one sends at any moment, wherever the copy is broken off."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from prx_email_cli.errors import OutboxBusy, OutboxMoved, RestoredBackup, ValidationError
from prx_email_cli.outbox.history import Span
from prx_email_cli.outbox.lifecycle import RecipientResult, RecipientStatus
from prx_email_cli.outbox.open import whole_of
from prx_email_cli.outbox.relational.parts import PARTS
from prx_email_cli.outbox.store import Store
from prx_email_cli.outbox.transfer import Transfer
from prx_email_cli.outbox.views import Filter

from ..messages import DOMAIN, NOW, claim, kill, new_message, wish
from .conftest import LARGE, Outbox, copying, undoing

Pair = tuple[Outbox, Outbox]
Make = Callable[[str], Outbox]
# Columns that are not copied, each with why.
LEFT_OUT = {
    "ledger": {
        "id", "identity", "drained_seconds", "recorded_at", "pseudonym_key", "last_attempt_at", "last_drain_at",
        "last_drain_by",  # these go as Facts
        "generation", "place", "moved_to",  # a database's own
        "tidied", "undrained_told_at", "told",  # notes: tidying begins anew, a person may be told once more
    },
    "attempted": {"account", "outcome", "code_class", "attempts"},  # as Facts
    "attempted_slot": {"account", "outcome", "code_class", "slot", "attempts", "latest_at"},
    "stored": {"account", "messages"},  # counted by triggers
    "stored_slot": {"account", "slot", "messages"},
    "oauth_token": {"name", "sealed"},  # under a key of the old config; a login is a command, a leaked one is not
    "run": {"run_id", "number", "started_at", "host", "died_at"},  # none is alive, and nothing is left of the dead
    "prx_email": {"version"},
    "sqlite_sequence": {"name", "seq"},  # as Facts
}  # fmt: skip


def sends(outbox: Outbox) -> bool:
    """Whether messages of this outbox would be sent and stored, by what a drain and a send ask; changes nothing."""
    with outbox.opened() as store:
        try:
            store.refuse_restored()
        except OutboxMoved:
            with pytest.raises(OutboxMoved):
                store.submit([new_message()])
            with store.start_run(NOW) as run, pytest.raises(OutboxMoved):
                run.advance([], [wish()])
            return False
        return True


def seen(outbox: Outbox) -> list[Any]:
    """All that the store tells of an outbox."""
    with outbox.opened() as store:
        rows = store.rows(Filter(limit=100))
        exported = [store.exported(one.outbox_id) for one in rows if one.outbox_id < 7]
        return [
            [store.row(one.outbox_id) for one in rows],
            [(*one[:4], b"".join(one.content)) for one in exported],
            sorted(map(repr, store.log(Span(), NOW).entries)), store.account_states(), store.known_messages(None, 10),
            store.known("work", "<1@example.org>"), store.stats(NOW), store.figures(NOW), store.failures(),
            store.last_drain_at(), store.last_drain_by(),
        ]  # fmt: skip


def next_id(store: Store) -> int:
    (answer,) = store.submit([new_message()])
    assert answer.error is None
    return answer.outbox_id


class TestWhole:
    def test_everything_is_there_and_the_original_says_where_it_went(self, pair: Pair) -> None:
        source, destination = pair
        before = seen(source)
        transfer, _ = copying(source, destination)
        assert seen(destination) == before
        assert (transfer.resumed, transfer.faults) == (False, [])
        assert transfer.rows["outbox"] == 8
        assert not sends(source)
        assert sends(destination)
        with source.opened() as store, pytest.raises(OutboxMoved, match=r"was copied to .* and its messages are sent"):
            store.refuse_restored()

    def test_ids_keys_and_message_ids_go_on(self, across: Pair) -> None:
        source, destination = across
        copying(source, destination)
        with destination.opened() as store:
            assert next_id(store) == 10  # 9 was deleted
            (again,) = store.submit([new_message()._replace(idempotency_key="k", fingerprint="f")])
            assert again.outbox_id == 1
            store.release(4, NOW)
            with store.start_run(NOW + 60) as run:
                (claimed,) = run.advance([], [wish(NOW + 60, most=9)]).claims
                assert {one.outbox_id: one.message_id for one in claimed} == {
                    number: f"<outbox-{number}-0@{DOMAIN}>" for number in (3, 4, 6, 10)
                }  # fmt: skip
                (large,) = [one for one in claimed if one.outbox_id == 6]
                assert b"".join(run.content(large)) == LARGE
                run.advance([], [], claimed)
            assert len(store.known_messages(None, 10)) == 2

    def test_the_copy_is_verified_and_intact(self, across: Pair) -> None:
        copying(*across)
        found = whole_of(across[1].settings).verify(None, lambda messages: None)
        assert (found.faults, sum(found.messages.values())) == ([], 8)

    def test_there_and_back_again(self, across: Pair, make: Make) -> None:
        source, destination = across
        before = seen(source)
        copying(source, destination)
        back = make("sqlite")
        copying(destination, back)
        assert seen(back) == before
        assert [sends(one) for one in (source, destination, back)] == [False, False, True]

    def test_said_twice_it_says_that_it_was_done(self, across: Pair) -> None:
        first, _ = copying(*across)
        again, _ = copying(*across)
        assert (again.was_done, again.rows) == (True, first.rows)
        assert sends(across[1])


def test_no_table_and_no_column_is_forgotten(make: Make) -> None:
    columns: dict[str, set[str]] = {}
    file, database = make("sqlite"), make("postgres")
    with file.opened(), closing(sqlite3.connect(file.settings.path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns.setdefault(table, set()).update(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
    with database.opened(), psycopg.connect(database.settings.url or "") as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        ).fetchall()
        for table, column in rows:
            columns.setdefault(table, set()).add(column)
    copied = {part.table: set(part.columns) for part in PARTS} | LEFT_OUT
    assert columns == copied, "say in relational/parts.py that it is copied, or here why not"


class TestBrokenOff:
    def test_wherever_that_is_at_most_one_sends_and_the_same_command_finishes_it(
        self, across: Pair, make: Make
    ) -> None:
        source, destination = across
        before = seen(source)
        steps = 0
        while True:
            steps += 1
            transfer, done = copying(source, destination, steps)
            if done[-1].doing == "done":
                break
            with source.opened() as one, destination.opened() as other:
                for store in (one, other):
                    with pytest.raises(OutboxMoved):
                        store.refuse_restored()
        assert transfer.resumed
        assert seen(destination) == before
        assert [sends(source), sends(destination)] == [False, True]
        assert steps > 10

    def test_it_can_be_undone_until_it_is_finished(self, across: Pair) -> None:
        source, destination = across
        before = seen(source)
        for until in ("begun", "copying", "comparing", "verified", "left"):
            copying(source, destination, until=until)
            assert [sends(source), sends(destination)] == [False, False]
            undoing(source, destination)
            assert [sends(source), sends(destination)] == [True, False]
        assert seen(source) == before
        copying(source, destination)
        assert seen(destination) == before
        assert [sends(source), sends(destination)] == [False, True]

    def test_what_was_finished_is_not_undone(self, across: Pair) -> None:
        copying(*across)
        with pytest.raises(ValidationError, match="was finished, and is used"):
            undoing(*across)
        with pytest.raises(ValidationError, match="may be used by now"):
            undoing(across[0], None)
        assert [sends(one) for one in across] == [False, True]
        undoing(across[0], None, lost=True)
        assert sends(across[0])

    def test_changes_of_the_original_in_between_are_not_missed(self, across: Pair) -> None:
        source, destination = across
        copying(source, destination, 12)
        with source.opened() as store:
            store.change(lambda one: one.execute("DELETE FROM account_state"))  # type: ignore[attr-defined]
        before = seen(source)
        copying(source, destination)
        assert seen(destination) == before


class TestRefused:
    def test_an_outbox_that_is_not_empty_is_not_overwritten(self, across: Pair) -> None:
        source, destination = across
        with destination.opened() as store:
            store.submit([new_message()])
        with pytest.raises(ValidationError, match="is not empty"):
            copying(source, destination)
        assert [sends(one) for one in across] == [True, True]

    def test_an_unfinished_copy_of_another_outbox_is_not_overwritten(self, across: Pair, make: Make) -> None:
        source, destination = across
        other = make("sqlite")
        with other.opened() as store:
            store.submit([new_message()])
        copying(other, destination, until="copying")
        with pytest.raises(OutboxMoved, match="is an unfinished copy of the outbox"):
            copying(source, destination)
        assert [sends(one) for one in (source, destination, other)] == [True, False, False]

    def test_while_one_copy_is_unfinished_no_other_is_begun(self, across: Pair, make: Make) -> None:
        source, destination = across
        copying(source, destination, until="copying")
        with pytest.raises(OutboxMoved, match="is being copied to"):
            copying(source, make("sqlite"))

    @pytest.mark.parametrize("number", [0, 1])
    def test_a_living_run_on_either_side_is_not_disturbed(self, across: Pair, number: int) -> None:
        with across[number].opened() as store:
            with store.start_run(NOW), pytest.raises(OutboxBusy, match="works on the outbox"):
                copying(*across)
            with store.start_run(NOW), pytest.raises(OutboxBusy, match="works on the outbox"):
                copying(*across)
        assert sends(across[0])
        copying(*across)
        assert [sends(one) for one in across] == [False, True]

    @pytest.mark.parametrize("number", [0, 1])
    def test_a_run_that_begins_while_it_is_broken_off_stops_it(self, across: Pair, number: int) -> None:
        copying(*across, until="copying")
        with across[number].opened() as store, store.start_run(NOW), pytest.raises(OutboxBusy):
            copying(*across)
        copying(*across)
        assert [sends(one) for one in across] == [False, True]

    def test_two_at_once_are_one(self, across: Pair) -> None:
        source, destination = across
        with closing(source.end()) as one, closing(destination.end()) as other:
            steps = Transfer(one, other, NOW, "").steps()
            next(steps)
            with pytest.raises(OutboxBusy, match="another copy"):
                copying(source, destination)
            with pytest.raises(OutboxBusy, match="another copy"):
                undoing(source, None)
            assert [step.doing for step in steps][-1] == "done"

    def test_an_outbox_is_not_copied_into_itself(self, across: Pair) -> None:
        with pytest.raises(ValidationError, match="itself, or a copy of it"):
            copying(across[0], across[0])
        assert sends(across[0])

    def test_there_is_nothing_to_undo_at_home(self, across: Pair) -> None:
        with pytest.raises(ValidationError, match="was not copied"):
            undoing(*across)


class TestDeadRuns:
    def test_what_a_dead_run_had_claimed_is_settled_first(self, make: Make) -> None:
        source, destination = make("sqlite"), make("postgres")
        with source.opened() as store:
            store.submit([new_message()])
            run = store.start_run(NOW)
            claimed = claim(run)
            run.about_to_end(claimed, {0: RecipientResult(RecipientStatus.PENDING, 250, uncertain=True)})
            kill(run)
        copying(source, destination)
        with destination.opened() as store:
            row = store.row(1)
            assert (row.status, row.uncertain, row.message_id) == ("failed", True, f"<outbox-1-0@{DOMAIN}>")
            with store.start_run(NOW) as run:
                assert claim(run).message_id == f"<outbox-1-0@{DOMAIN}>"


class TestOldBackups:
    def test_one_of_the_original_is_known_as_one_after_the_copy(self, make: Make, tmp_path: Path) -> None:
        source, destination = make("sqlite"), make("postgres")
        with source.opened() as store:
            store.submit([new_message()])
        backup = tmp_path / "backup.db"
        whole = whole_of(source.settings)
        whole.backup(backup, force=False)
        copying(source, destination)
        assert whole.restore(backup, NOW).guarded
        with source.opened() as store, pytest.raises(RestoredBackup):
            store.refuse_restored()

    def test_one_of_an_unfinished_copy_is_not_put_in_place(self, make: Make, tmp_path: Path) -> None:
        source, destination = make("postgres"), make("sqlite")
        with source.opened() as store:
            store.submit([new_message()])
        copying(source, destination, until="copying")
        whole = whole_of(destination.settings)
        backup = tmp_path / "backup.db"
        whole.backup(backup, force=False)
        with pytest.raises(OutboxMoved, match="unfinished copy"):
            whole.restore(backup, NOW)
