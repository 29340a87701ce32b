"""Whole runs, played, in which something is wrong: an interruption, a failing outbox, a config, what dead runs left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from prx_email_cli.delivery.run import DrainOptions
from prx_email_cli.errors import ConfigError, LockUnreadable, PrxEmailError, ResultNotRecorded, StorageError
from prx_email_cli.outbox.lifecycle import Verdict
from prx_email_cli.outbox.messages import Advanced, ClaimOne, Finished

from ..outbox.messages import new_message
from ..support.memory_store import MemoryStore
from .played import START, Server, World, accepted, deferred, drain, played


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def add(store: MemoryStore, account: str, many: int = 1, due_at: int = START) -> list[int]:
    return [one.outbox_id for one in store.submit([new_message(account=account, due_at=due_at) for _ in range(many)])]


def statuses(store: MemoryStore, ids: list[int]) -> list[str]:
    return [str(store.row(outbox_id).status) for outbox_id in ids]


def interrupt() -> None:
    raise KeyboardInterrupt


class TestAnInterruptedRun:
    def test_records_what_is_on_the_wire_and_gives_back_what_was_not_begun(self, store: MemoryStore) -> None:
        ids, told = add(store, "a", 9), list[Finished]()
        with played(store, {"a": Server(seconds_to_take=1)}, World()) as run:
            run._on_finished = told.append
            run.world.at(4.5, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run.drain(DrainOptions())
        assert statuses(store, ids) == ["sent"] * 4 + ["failed"] + ["pending"] * 4
        assert told[-1].claimed.outbox_id == ids[4]
        assert "interrupted" in str(told[-1].detail)
        assert [len(store.row(outbox_id).attempts) for outbox_id in ids] == [1] * 5 + [0] * 4

    def test_attempts_nothing_when_its_connection_is_still_being_opened(self, store: MemoryStore) -> None:
        ids = add(store, "a", 2)
        with played(store, {"a": Server(seconds_to_open=5)}, World()) as run:
            run.world.at(2, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run.drain(DrainOptions())
        assert (statuses(store, ids), run.taken) == (["pending"] * 2, [])
        assert store.row(ids[0]).attempts == []

    @pytest.mark.parametrize("seconds_to_open", [0.1, 0.0001])
    def test_uses_no_connection_and_no_answer_that_comes_later(
        self, store: MemoryStore, seconds_to_open: float
    ) -> None:
        ids = add(store, "a")
        server = Server(seconds_to_open=seconds_to_open, seconds_to_take=0.1)
        with played(store, {"a": server}, World()) as run:
            run.world.at(0.1009, interrupt)  # the answer comes before the clerk's next step
            with pytest.raises(KeyboardInterrupt):
                run.drain(DrainOptions())
        assert statuses(store, ids) == ["pending" if seconds_to_open == 0.1 else "failed"]


class TestAFailingOutbox:
    def test_is_told_once_with_every_result_that_it_did_not_record(
        self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = add(store, "a") + add(store, "b")
        with played(store, {"a": Server(), "b": Server()}, World()) as run:
            advance = run.run.advance

            def fails(finished: Sequence[Finished], *rest: Any) -> Advanced:
                if finished:
                    raise StorageError("the disk is full", hint="make room")
                return advance(finished, *rest)

            monkeypatch.setattr(run.run, "advance", fails)
            with pytest.raises(ResultNotRecorded) as raised:
                run.drain(DrainOptions())
        for outbox_id in ids:
            assert f"outbox message {outbox_id} was delivered (2.0.0 kept)" in raised.value.message
        assert "make room" in str(raised.value.hint)

    def test_after_an_interruption_does_not_hide_that(
        self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = add(store, "a") + add(store, "b")

        def fails(*_: object) -> Advanced:
            raise StorageError("the disk is full", hint="make room")

        with played(store, {"a": Server(), "b": Server()}, World()) as run:
            monkeypatch.setattr(run.run, "advance", fails)
            run.world.at(0.0005, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run.drain(DrainOptions())
        assert (statuses(store, ids), run.taken) == (["pending"] * 2, [])


class TestAnAccountThatTheConfigDoesNotKnow:
    def test_keeps_its_messages_and_no_other_from_sending(self, store: MemoryStore) -> None:
        gone, ids = add(store, "gone", 2), add(store, "a")
        _, report = drain(store, {"a": Server()})
        assert [type(fault) for fault in report.config_errors] == [ConfigError]
        assert (statuses(store, gone), statuses(store, ids)) == (["pending"] * 2, ["sent"])

    def test_is_told_of_each_chosen_message(self, store: MemoryStore) -> None:
        gone, ids = add(store, "gone", 2), add(store, "a")
        results: dict[int, Finished | PrxEmailError] = {}
        with played(store, {"a": Server()}, World()) as run:
            run.attempt([*gone, *ids], results.__setitem__)
        assert [type(results[one]) for one in (*gone, *ids)] == [ConfigError, ConfigError, Finished]
        assert statuses(store, gone) == ["pending"] * 2


class TestWhatADeadRunLeft:
    def test_is_told_when_it_had_been_answered(self, store: MemoryStore) -> None:
        (outbox_id,) = add(store, "a")
        with store.start_run(START) as dead:
            claimed = dead.claim_by_id(ClaimOne(outbox_id, START, force=False))
            dead.answered(claimed, accepted(claimed), START)
        told: list[Finished] = []
        with played(store, {"a": Server()}, World()) as run:
            run._on_finished = told.append
            report = run.drain(DrainOptions())
        assert [(one.claimed.outbox_id, one.verdict) for one in told] == [(outbox_id, Verdict.SENT)]
        assert (report.recovered, run.logins) == (1, [])

    def test_is_left_alone_and_told_when_nobody_knows_whether_it_is_dead(self, store: MemoryStore) -> None:
        (outbox_id,) = add(store, "a")
        fault = LockUnreadable("the lock of run 7 cannot be opened")
        results: dict[int, Finished | PrxEmailError] = {}
        other = store.start_run(START)
        other.claim_by_id(ClaimOne(outbox_id, START, force=False))
        with played(store, {"a": Server()}, World()) as run:
            run.run.unreadable.append(fault)
            run.attempt([outbox_id], results.__setitem__)
            assert run.drain(DrainOptions()).config_errors == [fault]
        assert results == {outbox_id: fault}
        assert statuses(store, [outbox_id]) == ["sending"]


def test_a_message_that_is_old_by_the_clock_alone_is_not_given_up_and_the_report_says_why(store: MemoryStore) -> None:
    (outbox_id,) = add(store, "a", due_at=START - 200 * 3600)
    _, report = drain(store, {"a": Server(deferred)})
    (note,) = (note for note in report.notes if f"outbox message {outbox_id} is over 120 hours old" in note)
    assert "attempted 1 times of at least 8" in note
    assert store.row(outbox_id).gave_up is None
