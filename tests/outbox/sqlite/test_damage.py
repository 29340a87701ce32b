"""What is tried, message by message, once damage was met: no more than would be without it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.outbox.messages import Recovered
from prx_email_cli.outbox.sqlite.damage import DespiteDamage
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, POLICY, claim, in_doubt, new_message, wish


def test_only_what_is_due_of_the_account_is_tried_each_once(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(account="home"), new_message(), new_message(due_at=NOW + 1), new_message()])
    outbox.enqueue([new_message()])
    outbox.hold(5, NOW)
    tried: list[int] = []
    despite = DespiteDamage(outbox.change, outbox.reading)
    assert despite.claim_next(wish(), lambda outbox_id, unread: tried.append(outbox_id)) is None
    assert tried == [2, 4]
    assert despite.count_due("work", NOW, 9) == 2


def test_what_is_due_is_tried_by_class_and_then_by_its_time(outbox: SqliteStore) -> None:
    classes = [Priority.BULK, Priority.NORMAL, Priority.HIGH]
    outbox.enqueue([new_message(due_at=NOW - offset, priority=one) for offset in (0, 1) for one in classes])
    tried: list[int] = []
    despite = DespiteDamage(outbox.change, outbox.reading)
    assert despite.claim_next(wish(), lambda outbox_id, unread: tried.append(outbox_id)) is None
    assert tried == [6, 3, 5, 2, 4, 1]
    assert [despite.count_due("work", NOW, most) for most in (3, 9)] == [3, 6]


def test_only_what_the_dead_run_had_in_hand_is_recovered(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(), new_message(), new_message()])
    tried: list[int] = []

    def recover(connection: object, *, only: int, parts: object) -> Recovered:
        tried.append(only)
        return Recovered([only], [], [])

    with outbox.start_run(NOW) as dead, outbox.start_run(NOW) as living:
        for run in (dead, living, dead):
            claim(run)
        settled = DespiteDamage(outbox.change, outbox.reading).recover(dead.run_id, recover)
    assert [one.uncertain for one in settled] == [[1], [3]]
    assert tried == [1, 3]


def test_a_message_that_cannot_be_read_keeps_no_other_of_its_dead_run_from_being_recovered(outbox: SqliteStore) -> None:
    outbox.submit([new_message(), new_message(), new_message()])
    with outbox.start_run(NOW) as dead:
        for claimed in [claim(dead), claim(dead), claim(dead)]:
            dead.about_to_end(claimed, in_doubt(claimed))
    with closing(sqlite3.connect(outbox.path)) as connection, connection:
        connection.execute("UPDATE outbox SET claimed_as = CAST(x'ff' AS TEXT) WHERE id = 2")
    with outbox.start_run(NOW) as run:
        assert run.recover(POLICY, NOW) == Recovered([1, 3], [], [])
    for row in (outbox.row(1), outbox.row(3)):
        assert (row.status, [one.outcome for one in row.attempts]) == ("failed", ["died"])
        assert [one.uncertain for one in row.recipients] == [True]
    (passed_by,) = outbox.unreadable_messages()
    assert "message 2 " in passed_by.message
