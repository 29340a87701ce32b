"""What drains delete of what was kept long enough: a little each time, and nothing that has not ended."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from prx_email_cli.errors import NotFound
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus
from prx_email_cli.outbox.messages import Moment
from prx_email_cli.outbox.relational import tidying
from prx_email_cli.outbox.relational.pruning import PRUNABLE_WITHIN, values_of
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.views import Drop, Filter, Keeping, Pruning

from ..messages import NOW, POLICY, claim, new_message, sent

LATER = NOW + 1000


def send(outbox: SqliteStore, count: int) -> None:
    """So many messages that were sent at NOW."""
    outbox.enqueue([new_message() for _ in range(count)])
    with outbox.start_run(NOW) as run:
        for _ in range(count):
            run.advance([sent(claim(run))], [])


def with_content(outbox: SqliteStore) -> list[int]:
    with closing(sqlite3.connect(outbox.path)) as connection:
        return [outbox_id for (outbox_id,) in connection.execute("SELECT id / 65536 FROM content ORDER BY id")]


def tidy(outbox: SqliteStore, now: int, content: int | None = NOW, records: int | None = None) -> None:
    outbox.tidy(Keeping(now, content, records))


def test_each_call_goes_on_after_the_messages_that_the_last_one_looked_at(
    outbox: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "LOOKED_AT", 2)
    send(outbox, 5)
    left = []
    for step in range(4):
        tidy(outbox, LATER + step * tidying.LEAST_SECONDS)
        left.append(with_content(outbox))
    assert left == [[3, 4, 5], [5], [], []]


def test_it_looks_no_earlier_than_half_a_minute_later_and_rests_after_the_last_message(outbox: SqliteStore) -> None:
    send(outbox, 1)
    tidy(outbox, LATER)
    send(outbox, 1)
    tidy(outbox, LATER + tidying.LEAST_SECONDS - 1)
    assert with_content(outbox) == [2]
    tidy(outbox, LATER + tidying.LEAST_SECONDS)
    assert with_content(outbox) == []
    end = LATER + 2 * tidying.LEAST_SECONDS
    tidy(outbox, end)
    send(outbox, 1)
    tidy(outbox, end + tidying.REST_SECONDS - 1)
    assert with_content(outbox) == [3]
    tidy(outbox, end + tidying.REST_SECONDS)
    assert with_content(outbox) == []


def test_a_clock_that_went_back_does_not_stop_it(outbox: SqliteStore) -> None:
    tidy(outbox, LATER + 10**9)
    send(outbox, 1)
    tidy(outbox, LATER)
    assert with_content(outbox) == []


def test_what_has_not_ended_long_ago_is_held_or_uncertain_stays(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message() for _ in range(7)])
    with outbox.start_run(NOW) as run:
        run.advance([sent(claim(run))], [])
        uncertain = {0: RecipientResult(RecipientStatus.PENDING, uncertain=True)}
        run.advance([finish(claim(run), Outcome(uncertain, error="network"), POLICY, Moment(NOW))], [])
        outbox.cancel(2, NOW)
        outbox.hold(3, NOW)
        outbox.hold(4, NOW)
        outbox.cancel(4, NOW)
        outbox.cancel(5, NOW)
        claim(run)
        tidy(outbox, LATER, content=NOW - 1, records=NOW - 1)
        assert with_content(outbox) == [1, 2, 3, 4, 5, 6, 7]
        tidy(outbox, LATER + 60, content=NOW, records=NOW - 1)  # the end
        tidy(outbox, LATER + 60 + tidying.REST_SECONDS, content=NOW, records=NOW - 1)
        assert with_content(outbox) == [2, 3, 4, 6, 7]
        assert outbox.row(1).pruned_at == LATER + 60 + tidying.REST_SECONDS


def test_records_go_with_their_keys_and_contents_before(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()._replace(idempotency_key=f"k{n}", fingerprint="f") for n in range(3)])
    with outbox.start_run(NOW) as run:
        for at in (NOW, NOW, NOW + 100):
            run.advance([sent(claim(run))._replace(finished_at=at)], [])
    tidy(outbox, LATER, content=NOW + 100, records=NOW)
    assert (outbox.ids(Filter()), with_content(outbox)) == ([3], [])
    with pytest.raises(NotFound):
        outbox.row(1)
    tidy(outbox, LATER + 60, content=NOW + 100, records=NOW)
    with closing(sqlite3.connect(outbox.path)) as connection:
        assert connection.execute("SELECT key FROM idempotency").fetchall() == [("k2",)]


def test_it_stops_after_its_time_and_goes_on_there(outbox: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    send(outbox, 3)
    monkeypatch.setattr(tidying, "MOST_SECONDS", 0.0)
    tidy(outbox, LATER)
    assert with_content(outbox) == [1, 2, 3]
    monkeypatch.undo()
    tidy(outbox, LATER + 60)
    assert with_content(outbox) == []


def test_where_there_is_nothing_to_delete_it_waits_for_nobody_and_writes_nothing(outbox: SqliteStore) -> None:
    send(outbox, 3)
    with closing(sqlite3.connect(outbox.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        tidy(outbox, LATER, content=NOW - 1, records=NOW - 1)


def test_it_looks_at_a_range_of_ids_and_at_nothing_else(outbox: SqliteStore) -> None:
    values = values_of(Pruning(NOW, NOW, Drop.CONTENT, settled_only=True), None)
    for statement, more in ((PRUNABLE_WITHIN, {"after": 1, "up_to": 9}), (tidying._UP_TO, {"after": 1, "most": 9})):
        with closing(sqlite3.connect(outbox.path)) as connection:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", {**values, **more}).fetchall()
        steps = [step[3] for step in plan]
        assert any("SEARCH outbox USING INTEGER PRIMARY KEY (rowid>?" in step or "COVERING" in step for step in steps)
        assert not any(step.startswith("SCAN outbox") for step in steps), steps


@pytest.mark.parametrize("note", [b"", b"nonsense", b"[1]", b'{"a": 1}', b"[null, 1, 2, 3]", b"\xff"])
def test_a_note_that_is_none_lets_it_begin_anew(note: bytes) -> None:
    assert tidying.Progress.read(note) == tidying.Progress()
