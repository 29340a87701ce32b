"""What looking costs in a large outbox, and the counts that are kept for it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prx_email_cli.errors import OutboxDamaged
from prx_email_cli.outbox.lifecycle import Status, code_class
from prx_email_cli.outbox.relational import reports
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.views import Fact, Failure, Filter

from ..messages import NOW, claim, new_message, open_store, sent

MANY, FEW = 20_000, 200
_SENT = """
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :rows)
INSERT INTO outbox (account, status, next_attempt_at, first_due_at, created_at, sent_at, sender, subject, size_bytes)
SELECT 'work', 'sent', :now, :now, :now, :now, '', 's', 1 FROM number
"""
_ATTEMPTS = """
INSERT INTO attempt (outbox_id, retries, account, run_id, message_id, started_at, finished_at, outcome, uncertain,
                     counts)
SELECT id, 0, account, '1-1-run', '', 1, 1, 'sent', 0, 1 FROM outbox WHERE status = 'sent'
"""


def steps(store: SqliteStore, look: Callable[[SqliteStore], object]) -> int:
    """Instructions of SQLite's virtual machine: the same on every machine, unlike time."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    store._connection.set_progress_handler(tick, 1)
    look(store)
    store._connection.set_progress_handler(None, 1)
    return count


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SqliteStore]]:
    """Two outboxes with the same unsent messages of several accounts, after many and after few sent ones of one."""
    stores = []
    for rows in (MANY, FEW):
        store = open_store(tmp_path_factory.mktemp("outbox") / "outbox.db")
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute(_SENT, {"rows": rows, "now": NOW})
            connection.execute(_ATTEMPTS)
        store.enqueue([new_message(account=name, due_at=NOW + 9 * (name == "home")) for name in ("work", "home")] * 3)
        stores.append(store)
    yield stores
    for store in stores:
        store.close()


CAUSE = Failure("work", False, "provider", "450 busy", None, 1, NOW, 1)
LOOKS: dict[str, Callable[[SqliteStore], object]] = {
    "stats": lambda store: store.stats(NOW),
    "figures": lambda store: store.figures(NOW),
    "list": lambda store: store.rows(Filter()),
    "of a large account": lambda store: store.rows(Filter(account="work")),
    "of a small account": lambda store: store.rows(Filter(account="home")),
    "of no account": lambda store: store.rows(Filter(account="none")),
    "sent": lambda store: store.rows(Filter((Status.SENT,))),
    "sent of a small account": lambda store: store.rows(Filter((Status.SENT,), "home")),
    "not sent": lambda store: store.rows(Filter((Status.PENDING, Status.FAILED))),
    "not sent of a large account": lambda store: store.rows(Filter((Status.FAILED,), "work")),
    "due": lambda store: store.rows(Filter(due_at=NOW)),
    "due of a large account": lambda store: store.rows(Filter(account="work", due_at=NOW)),
    "given up": lambda store: store.rows(Filter(gave_up=True)),
    "held": lambda store: store.rows(Filter(account="work", held=True)),
    "uncertain": lambda store: store.rows(Filter(uncertain=True)),
    "repeated": lambda store: store.rows(Filter(repeated=True)),
    "repeated of a large account": lambda store: store.rows(Filter(account="work", repeated=True)),
    "of a recipient, not sent": lambda store: store.ids(Filter(recipient="a@*", without=(Fact.SENT,))),
    "of an error": lambda store: store.rows(Filter(error="busy")),
    "held, of a subject": lambda store: store.rows(Filter(held=True, subject="s", since=NOW - 1)),
    "of a cause": lambda store: store.rows(Filter(failures=(CAUSE,))),
    "the count of a recipient, not sent": lambda store: store.count(Filter((Status.PENDING,), recipient="a@*")),
    "the count of all": lambda store: store.count(Filter()),
    "the count of a large account": lambda store: store.count(Filter(account="work")),
    "the count of sent": lambda store: store.count(Filter((Status.SENT,))),
    "the count of sent of a large account": lambda store: store.count(Filter((Status.SENT, Status.FAILED), "work")),
    "the count of repeated": lambda store: store.count(Filter(repeated=True)),
    "accounts due": lambda store: store.accounts_due(NOW),
    "not reported": lambda store: store.take_unreported(NOW),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_costs_as_much_among_many_sent_messages_as_among_few(stores: list[SqliteStore], look: str) -> None:
    many, few = (steps(store, LOOKS[look]) for store in stores)
    assert many <= 1.2 * few + 50


def test_more_unsent_messages_than_can_be_counted_at_once_are_not_counted(
    outbox: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.enqueue([new_message(account=name) for name in ("work", "home")] * 3)
    monkeypatch.setattr("prx_email_cli.outbox.relational.selecting.MOST_COUNTED", 5)
    waiting = Filter((Status.PENDING,))
    assert [outbox.count(waiting), outbox.count(replace(waiting, account="home"))] == [None, 3]
    assert [outbox.count(Filter()), outbox.count(Filter((Status.SENT,)))] == [6, None]
    assert outbox.count(Filter((Status.SENT,), "work")) == 0


def test_only_the_newest_messages_are_searched_one_by_one_unless_all_are_wanted(
    outbox: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.enqueue([new_message(account=name) for name in ("work", "home")] * 3)
    monkeypatch.setattr("prx_email_cli.outbox.relational.selecting.MOST_SEARCHED", 3)
    searched = Filter(recipient="a@example.org")
    assert (outbox.ids(searched), outbox.count(searched)) == ([6, 5, 4], None)
    assert outbox.ids(replace(searched, account="home")) == [6, 4]
    whole = replace(searched, whole=True)
    assert (outbox.ids(whole), outbox.count(whole)) == ([6, 5, 4, 3, 2, 1], 6)
    unsent = replace(searched, without=(Fact.SENT,))
    assert (outbox.ids(unsent), outbox.count(unsent)) == ([6, 5, 4, 3, 2, 1], 6)


def test_a_run_that_ends_while_messages_are_listed_is_not_taken_for_a_dead_one(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    run = outbox.start_run(NOW)
    claimed = claim(run)

    def ended_meanwhile(_: str) -> bool:
        run.advance([], [], [claimed])
        return True

    with closing(sqlite3.connect(outbox.path, factory=SqliteConnection)) as connection:
        (row,) = reports.rows(connection, Filter(), ended_meanwhile)
    run.__exit__(None, None, None)
    assert (row.status, row.run_died) == ("sending", False)


def test_the_count_of_an_older_outbox_is_made_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "data" / "version-2.sql").read_text())
        counts = dict(connection.execute("SELECT account, count(*) FROM outbox GROUP BY account"))
        (latest,) = connection.execute("SELECT max(finished_at) FROM attempt").fetchone()
    path.chmod(0o600)
    assert counts
    with closing(open_store(path)) as store:
        stats = store.stats(NOW)
        assert {name: sum(of.values()) for name, of in stats.accounts.items()} == counts
        assert (stats.last_attempt_at, store.health(NOW).faults) == (latest, [])


def test_the_attempts_of_an_older_outbox_are_counted_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "data" / "version-2.sql").read_text())
        found = connection.execute("SELECT account, outcome, code FROM attempt").fetchall()
    path.chmod(0o600)
    with closing(open_store(path)) as store:
        figures = store.figures(NOW)
    counted = Counter((name, *key) for name, of in figures.items() for key in Counter(of.attempts).elements())
    assert counted == Counter((account, outcome, code_class(outcome, code)) for account, outcome, code in found)
    assert counted


def break_writing(store: SqliteStore, change: str) -> None:
    """Have every *change* fail as on a damaged page."""
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute(f"CREATE TRIGGER broken BEFORE {change} BEGIN SELECT RAISE (ABORT, 'malformed'); END")


def test_damage_of_the_count_hinders_no_delivery(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(), new_message()])
    break_writing(outbox, "UPDATE ON stored")
    with outbox.start_run(NOW) as run:
        for _ in range(2):
            assert run.advance([sent(claim(run))], []).lost == [None]
    assert outbox.stats(NOW).sent == 2
    with pytest.raises(OutboxDamaged):
        outbox.enqueue([new_message()])


def test_damage_of_the_time_of_the_latest_attempt_keeps_no_result_from_being_recorded(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    with outbox.start_run(NOW) as run:
        claimed = claim(run)
        break_writing(outbox, "UPDATE OF last_attempt_at ON ledger")
        assert run.advance([sent(claimed)], []).lost == [None]
    assert outbox.row(1).status == "sent"


def test_damage_of_the_count_of_attempts_keeps_no_result_from_being_recorded(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message()])
    with outbox.start_run(NOW) as run:
        claimed = claim(run)
        break_writing(outbox, "INSERT ON attempted")
        assert run.advance([sent(claimed)], []).lost == [None]
    assert outbox.row(1).status == "sent"


def test_a_wrong_count_is_a_fault_that_doctor_tells(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(), new_message(account="home")])
    assert outbox.health(NOW).faults == []
    with closing(sqlite3.connect(outbox.path)) as connection, connection:
        connection.execute("UPDATE stored SET messages = 7 WHERE account = 'home'")
    assert outbox.health(NOW).faults == ["the count of messages of account home is wrong"]
