"""The flight record of a run on SQLite: when it is trusted, what room it takes, and how long it stays."""

from __future__ import annotations

import os
import resource
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox import flight_record, in_flight
from prx_email_cli.outbox.flight_record import SLOT_BYTES, SLOTS
from prx_email_cli.outbox.in_flight import InFlight
from prx_email_cli.outbox.messages import Claimed, Recovered
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite.run import SqliteRun
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, POLICY, claim, in_doubt, kill, new_message, open_store, sent, wish


def record_of(outbox: SqliteStore, run: SqliteRun) -> Path:
    return Runs(outbox.path).directory / f"{run.run_id}.flight"


def answered(outbox: SqliteStore) -> SqliteRun:
    """A run that was killed after the answer to its one message."""
    run = outbox.start_run(NOW)
    claimed = claim(run)
    run.about_to_end(claimed, in_doubt(claimed))
    run.answered(claimed, sent(claimed).outcome, NOW)
    kill(run)
    return run


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let no file of this process grow above so many bytes: what a full disk does to what is not reserved yet."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# --- trust


def tear(record: Path) -> None:
    data = bytearray(record.read_bytes())
    data[SLOT_BYTES + 20] ^= 1
    record.write_bytes(data)


def copy(record: Path) -> None:
    shutil.copy(record, record.with_name("copy"))
    os.replace(record.with_name("copy"), record)


def swap(record: Path) -> None:
    """It is the record of another run, under this one's name."""
    record.write_bytes(record.read_bytes().replace(record.stem.encode(), b"9" * len(record.stem)))


DISTRUSTED: dict[str, Callable[[Path], object]] = {
    "torn": tear,
    "missing": Path.unlink,
    "empty": lambda record: os.truncate(record, 0),
    "cut off": lambda record: os.truncate(record, SLOT_BYTES + 100),
    "a copy": copy,
    "another run's": swap,
    "open to others": lambda record: record.chmod(0o666),
}


@pytest.mark.parametrize("what", DISTRUSTED)
def test_a_record_that_is_not_to_be_trusted_leaves_the_message_uncertain(outbox: SqliteStore, what: str) -> None:
    outbox.enqueue([new_message()])
    DISTRUSTED[what](record_of(outbox, answered(outbox)))
    with outbox.start_run(NOW) as run:
        assert run.recover(POLICY, NOW) == Recovered([1], [], [])


@pytest.mark.parametrize("later", ["another-boot\n", ""])
def test_after_a_power_cut_every_claim_is_uncertain_also_one_of_which_nothing_was_noted(
    outbox: SqliteStore, later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.enqueue([new_message(), new_message()])
    answered(outbox)
    untouched = outbox.start_run(NOW)
    claim(untouched)
    kill(untouched)
    (tmp_path / "boot_id").write_text(later)
    monkeypatch.setattr(flight_record, "_BOOT_ID", tmp_path / "boot_id")
    with outbox.start_run(NOW) as run:
        recovered = run.recover(POLICY, NOW)
    assert (sorted(recovered.uncertain), recovered.finished, recovered.given_back) == ([1, 2], [], [])


def test_a_record_that_was_moved_with_its_outbox_is_trusted(outbox: SqliteStore, tmp_path: Path) -> None:
    outbox.enqueue([new_message()])
    dead = answered(outbox)
    outbox.change(lambda connection: None)
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in [*tmp_path.glob("outbox.db*")]:
        file.rename(moved / file.name)
    assert not record_of(outbox, dead).exists()
    store = open_store(moved / "outbox.db")
    with store.start_run(NOW) as run:
        assert [one.claimed.outbox_id for one in run.recover(POLICY, NOW).finished] == [1]
    store.close()


# --- room


def test_without_room_for_a_record_nothing_is_claimed_and_later_it_is(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    with outbox.start_run(NOW) as run:
        for room in (0, 10, SLOT_BYTES, 3 * SLOT_BYTES):
            with no_file_above(room), pytest.raises(StorageError, match="cannot keep a flight record") as refused:
                run.advance([], [wish()])
            assert refused.value.hint
            assert outbox.row(1).status == "pending"
        assert claim(run).outbox_id == 1


def test_results_are_recorded_although_there_is_no_room_for_more_claims(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message() for _ in range(40)])
    with outbox.start_run(NOW) as run:
        (first, second, *_), *_ = run.advance([], [wish(most=32)]).claims
        outbox._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with no_file_above(33 * SLOT_BYTES):
            assert run.advance([sent(first)], [wish(most=5)]) == ([None], [[]])
            ((again,),) = run.advance([], [wish(most=5)], [second]).claims
            ((last,),) = run.advance([], [wish(most=5)]).claims
            assert (again.outbox_id, last.outbox_id) == (2, 33), "in the slots that are free again"
            with pytest.raises(StorageError):
                run.advance([], [wish()])
        assert claim(run).outbox_id == 34


def test_there_are_never_more_claims_than_slots(outbox: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (in_flight, flight_record):
        monkeypatch.setattr(module, "SLOTS", 20)
    outbox.enqueue([new_message() for _ in range(25)])
    with outbox.start_run(NOW) as run:
        (claims,) = run.advance([], [wish(most=25)]).claims
        assert [one.outbox_id for one in claims] == list(range(1, 21))
        assert run.advance([], [wish(most=25)]).claims == [[]]
        for claimed in claims:
            run.about_to_end(claimed, in_doubt(claimed))
        assert record_of(outbox, run).stat().st_size == 21 * SLOT_BYTES
        run.advance(list(map(sent, claims[:3])), [])
        assert len(run.advance([], [wish(most=25)]).claims[0]) == 3


@given(st.lists(st.one_of(st.integers(1, 40), st.lists(st.integers(0, 99), max_size=30)), max_size=30))
def test_no_number_is_given_twice_and_no_slot_to_two_claims(asks: list[int | list[int]]) -> None:
    """A number asks for so many claims; a list says which of the claims end, or are those that came to nothing."""
    run = InFlight(_Directory(), "run", lambda: "identity")
    living: list[Claimed] = []
    seen: set[int] = set()
    for ask in asks:
        if isinstance(ask, int):
            numbers = run.numbers(ask)
            assert seen.isdisjoint(numbers)
            seen.update(numbers)
            claims = [_claim(number) for number in numbers[::2]]
            run.began(numbers, claims)
            living += claims
        else:
            over = [living[which] for which in set(ask) if which < len(living)]
            run.ended([*over, *over, *[one._replace(outbox_id=one.outbox_id + 1) for one in living]])
            living = [one for one in living if one not in over]
        slots = [one.claim % SLOTS for one in living]
        assert len(set(slots)) == len(slots)
        assert run._taken.keys() == {one.claim for one in living}
    run.close()


def _claim(number: int) -> Claimed:
    return Claimed(number + 7, "work", 0, NOW, NOW, None, False, "", "", "", False, 0, NOW, [], [], b"", claim=number)


class _Directory(Runs):
    """Makes a record that has no name."""

    def __init__(self) -> None:
        super().__init__(Path("outbox.db"))

    @contextmanager
    def making_flight_record(self, run_id: str) -> Iterator[int]:
        yield os.memfd_create(run_id)


# --- how long it stays


def test_a_record_is_private_and_goes_with_the_run_unless_the_end_of_a_claim_is_missing(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(), new_message()])
    with outbox.start_run(NOW) as idle:
        idle.advance([], [wish(NOW - 1)])
        record = record_of(outbox, idle)
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert not record.exists()
    with outbox.start_run(NOW) as run:
        record = record_of(outbox, run)
        run.advance([sent(claim(run))], [])
        back = claim(run)
        run.advance([], [], [back])
        lasting = claim(run)
        run.answered(lasting, sent(lasting).outcome, NOW)
    assert record.exists()
    with outbox.start_run(NOW) as last:
        assert [one.claimed.outbox_id for one in last.recover(POLICY, NOW).finished] == [2]
        assert not record.exists()
    assert outbox.row(2).status == "sent"


def test_records_of_runs_that_hold_nothing_are_cleared_and_others_stay(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(), new_message()])
    dead, living = outbox.start_run(NOW), outbox.start_run(NOW)
    for run in (dead, living):
        claim(run)
    kill(dead)
    stray = Runs(outbox.path).directory / "1-2-3.flight"
    stray.touch(0o600)
    Runs(outbox.path).clear_dead([dead.run_id])
    assert [record_of(outbox, run).exists() for run in (dead, living)] == [True, True]
    assert not stray.exists()
    Runs(outbox.path).clear_dead([])
    assert [record_of(outbox, run).exists() for run in (dead, living)] == [False, True]
    living.__exit__(None, None, None)
