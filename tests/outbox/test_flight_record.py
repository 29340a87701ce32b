"""The flight record: what it keeps through a kill, and what it refuses to be trusted for."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.outbox import flight_record
from prx_email_cli.outbox.flight_record import SLOT_BYTES, SLOTS, Flight, FlightRecord, Flights, Stage
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Scope

ACCEPTED, PENDING, REFUSED = RecipientStatus.ACCEPTED, RecipientStatus.PENDING, RecipientStatus.REFUSED
WELCOME = RecipientResult(PENDING, uncertain=True)  # of whom no reply is kept: the last one said nothing of the message
SENT = Outcome({0: RecipientResult(ACCEPTED, 250, "2.0.0 queued")}, acceptance="2.0.0 queued", code=250)
OUTBOX = "the-identity"


@contextmanager
def _record(path: Path, slots: int = 4) -> Iterator[FlightRecord]:
    record = FlightRecord(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "run", OUTBOX)
    record.reserve(slots)
    yield record
    record.close()


def _flight(path: Path, claim: int, outbox: str = OUTBOX, run_id: str = "run") -> Flight:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return Flights(descriptor, run_id, outbox).of(claim)
    finally:
        os.close(descriptor)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record"


def test_a_claim_of_which_nothing_was_noted_has_not_ended(path: Path) -> None:
    with _record(path) as record:
        record.about_to_end(1, {0: WELCOME})
    assert _flight(path, 2).stage is Stage.NOT_ENDED


def test_what_may_have_left_is_unanswered_for_those_whom_the_server_welcomed(path: Path) -> None:
    refused = RecipientResult(REFUSED, 550, "5.1.1 no such user")
    with _record(path) as record:
        record.about_to_end(3, {0: WELCOME, 1: refused})
    assert _flight(path, 3) == Flight(Stage.UNANSWERED, Outcome({0: WELCOME, 1: refused}))


def test_an_answer_is_kept_with_its_time(path: Path) -> None:
    with _record(path) as record:
        record.about_to_end(3, {0: WELCOME})
        record.answered(3, SENT, 1_000)
    assert _flight(path, 3) == Flight(Stage.ANSWERED, SENT, 1_000)


def test_a_slot_that_a_later_claim_uses_tells_nothing_of_an_earlier_one(path: Path) -> None:
    with _record(path) as record:
        record.about_to_end(2, {0: WELCOME})
        assert _flight(path, SLOTS + 2).stage is Stage.NOT_ENDED
        record.about_to_end(SLOTS + 2, {0: WELCOME})
    assert _flight(path, 2).stage is Stage.UNKNOWN


def test_a_slot_for_which_no_room_was_reserved_is_unknown(path: Path) -> None:
    with _record(path, slots=4):
        pass
    assert [_flight(path, claim).stage for claim in (3, 4)] == [Stage.NOT_ENDED, Stage.UNKNOWN]


def test_more_room_keeps_what_was_noted(path: Path) -> None:
    with _record(path, slots=1) as record:
        record.answered(0, SENT, 7)
        for slots in (2, 1, 64):
            record.reserve(slots)
        assert path.stat().st_size == 65 * SLOT_BYTES
    assert _flight(path, 0) == Flight(Stage.ANSWERED, SENT, 7)


def test_a_killed_process_leaves_what_it_had_written(path: Path) -> None:
    child = os.fork()
    if child == 0:
        with _record(path) as record:
            record.about_to_end(1, {0: WELCOME})
            record.answered(1, SENT, 7)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert _flight(path, 1) == Flight(Stage.ANSWERED, SENT, 7)


@pytest.mark.parametrize("at", [0, 4, 6, 7, 15, 20])
def test_a_torn_slot_is_unknown(path: Path, at: int) -> None:
    with _record(path) as record:
        record.about_to_end(1, {0: WELCOME})
    with open(path, "r+b") as file:
        file.seek(2 * SLOT_BYTES + at)
        byte = file.read(1)
        file.seek(2 * SLOT_BYTES + at)
        file.write(bytes([byte[0] ^ 1]))
    assert _flight(path, 1).stage is Stage.UNKNOWN
    assert _flight(path, 2).stage is Stage.NOT_ENDED, "others are not touched by that"


def test_a_record_that_is_cut_off_is_unknown(path: Path) -> None:
    with _record(path) as record:
        record.about_to_end(1, {0: WELCOME})
    os.truncate(path, 2 * SLOT_BYTES + 30)
    assert _flight(path, 1).stage is Stage.UNKNOWN


@pytest.mark.parametrize("empty", [True, False])
def test_a_file_that_is_no_record_is_unknown(path: Path, empty: bool) -> None:
    path.write_bytes(b"" if empty else b"x" * 5 * SLOT_BYTES)
    assert _flight(path, 1).stage is Stage.UNKNOWN


def test_a_copy_is_not_trusted(path: Path, tmp_path: Path) -> None:
    with _record(path) as record:
        record.answered(1, SENT, 7)
    shutil.copy(path, tmp_path / "copy")
    assert _flight(tmp_path / "copy", 1).stage is Stage.UNKNOWN


def test_the_record_of_another_outbox_or_run_is_not_trusted(path: Path) -> None:
    with _record(path) as record:
        record.answered(1, SENT, 7)
    assert _flight(path, 1, outbox="another").stage is Stage.UNKNOWN
    assert _flight(path, 1, run_id="another").stage is Stage.UNKNOWN
    assert Flights(None, "run", OUTBOX).of(1).stage is Stage.UNKNOWN


@pytest.mark.parametrize("later", ["another-boot", ""])
def test_after_a_power_cut_it_is_not_trusted(path: Path, later: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with _record(path) as record:
        record.answered(1, SENT, 7)
    monkeypatch.setattr(flight_record, "boot_id", lambda: later)
    assert _flight(path, 1).stage is Stage.UNKNOWN


def test_a_system_without_a_boot_id_is_not_trusted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight_record, "_BOOT_ID", path / "none")
    with _record(path) as record:
        record.answered(1, SENT, 7)
    assert _flight(path, 1).stage is Stage.UNKNOWN


REPLIES = st.one_of(st.none(), st.text(max_size=600))
UNSETTLED = st.tuples(st.sampled_from([PENDING, REFUSED]), st.one_of(st.none(), st.integers(400, 599)), REPLIES)
RESULTS = st.one_of(
    UNSETTLED.map(lambda one: RecipientResult(*one)),
    st.sampled_from([WELCOME, RecipientResult(ACCEPTED, 250, "2.0.0 queued")]),  # all that accept share the last reply
)
NUMBERS = st.one_of(st.permutations(range(6)), st.lists(st.integers(0, 5000), unique=True, max_size=12))


@given(
    NUMBERS.flatmap(lambda some: st.fixed_dictionaries(dict.fromkeys(some, RESULTS))), REPLIES, st.sampled_from(Scope)
)
def test_every_outcome_comes_back_but_for_the_ends_of_long_texts(
    results: dict[int, RecipientResult], detail: str | None, scope: Scope
) -> None:
    outcome = Outcome(results, "provider", detail, 451, "4.3.0", scope, detail)
    path = Path(os.environ.get("TMPDIR", "/tmp"), f"flight-{os.getpid()}")
    path.unlink(missing_ok=True)
    with _record(path) as record:
        record.answered(3, outcome, 5)
    flight = _flight(path, 3)
    path.unlink()
    assert flight.stage is Stage.ANSWERED
    assert flight.outcome is not None
    assert flight.outcome.recipients.keys() == results.keys()
    for number, result in flight.outcome.recipients.items():
        assert (result.status, result.uncertain) == (results[number].status, results[number].uncertain)
    assert (flight.outcome.error, flight.outcome.code, flight.outcome.scope) == ("provider", 451, scope)
    assert (flight.outcome.detail or "")[:100] in ((detail or "")[:100], "(not kept)")


@pytest.mark.parametrize("count", [1, 1000, 3500])
def test_the_recipients_of_a_long_list_are_all_known(path: Path, count: int) -> None:
    results = {number: WELCOME if number % 7 else RecipientResult(REFUSED, 550, "no") for number in range(count)}
    with _record(path) as record:
        record.about_to_end(1, results)
    flight = _flight(path, 1)
    assert flight.outcome is not None
    assert [one.uncertain for one in flight.outcome.recipients.values()] == [bool(n % 7) for n in range(count)]


def test_more_recipients_than_a_slot_has_room_for_are_unknown(path: Path) -> None:
    with _record(path) as record:
        record.about_to_end(1, dict.fromkeys(range(5000), WELCOME))
    assert _flight(path, 1).stage is Stage.UNKNOWN
