"""What a person holds or cancels is taken back from a run that has claimed it, or is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prx_email_cli.errors import NotAllowedForStatus
from prx_email_cli.outbox.messages import Claimed
from prx_email_cli.outbox.sqlite.run import SqliteRun
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, claim, new_message, open_store

PATIENCE_SECONDS = 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(tmp_path / "outbox.db", withdraw_seconds=PATIENCE_SECONDS)
    yield store
    store.close()


def give_back_when_wanted(run: SqliteRun, claimed: Claimed) -> threading.Thread:
    """A run that looks what is wanted back, as a drain does, and gives it back."""

    def work() -> None:
        pause = threading.Event()
        while claimed.outbox_id not in run.wanted_back(NOW):
            pause.wait(0.005)
        run.advance([], [], [claimed])

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("what", ["hold", "cancel"])
def test_what_a_run_gives_back_is_held_or_cancelled(store: SqliteStore, what: str) -> None:
    store.enqueue([new_message()])
    with store.start_run(NOW) as run:
        thread = give_back_when_wanted(run, claim(run))
        getattr(store, what)(1, NOW)
        thread.join()
    row = store.row(1)
    assert (row.status, row.held, row.gave_up) == ("pending", what == "hold", "cancelled" if what == "cancel" else None)
    assert [one.what for one in row.actions] == ["held" if what == "hold" else "cancelled"]


def test_all_that_a_run_gives_back_is_held(store: SqliteStore) -> None:
    store.enqueue([new_message(), new_message()])
    with store.start_run(NOW) as run:
        thread = give_back_when_wanted(run, claim(run))
        assert sorted(store.hold_all(None, NOW)) == [1, 2]
        thread.join()
    assert store.row(1).held
    assert [one.what for outbox_id in (1, 2) for one in store.row(outbox_id).actions] == ["held", "held"]


@pytest.mark.parametrize("what", ["hold", "cancel"])
def test_what_a_run_keeps_is_left_to_it_and_the_decision_is_refused(tmp_path: Path, what: str) -> None:
    store = open_store(tmp_path / "outbox.db", withdraw_seconds=0.05)
    store.enqueue([new_message()])
    with store.start_run(NOW) as run:
        claim(run)
        with pytest.raises(NotAllowedForStatus):
            getattr(store, what)(1, NOW)
        assert run.wanted_back(NOW) == []
    assert store.row(1).actions == []
    store.close()
