"""Changes of several threads share a transaction: each is atomic, each is durable when its caller goes on."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prx_email_cli.outbox.sqlite.group_commit import GroupCommit


class Database:
    """A table of numbers, written through one GroupCommit and read through a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("CREATE TABLE number (value INTEGER PRIMARY KEY)")
        self.commits = GroupCommit(self.connection)
        self.reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.begun = 0
        self.connection.set_trace_callback(self._count)

    def _count(self, statement: str) -> None:
        self.begun += statement.startswith("BEGIN")

    def stored(self) -> list[int]:
        """What another connection sees."""
        return [value for (value,) in self.reader.execute("SELECT value FROM number ORDER BY value")]

    def together(self, makes: list[Callable[[sqlite3.Connection], int]]) -> list[object]:
        """Results or errors of *makes*, all of which wait before the first one is made."""
        results: list[object] = [None] * len(makes)

        def run(number: int) -> None:
            try:
                results[number] = self.commits.run(makes[number])
            except Exception as error:
                results[number] = error

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(makes))]
        with self.commits.lock:
            for waiting, thread in enumerate(threads, 1):
                thread.start()
                while len(self.commits._waiting) < waiting:
                    thread.join(0.001)
        for thread in threads:
            thread.join()
        return results


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "numbers.db")
    yield database
    database.connection.close()
    database.reader.close()


def insert(value: int) -> Callable[[sqlite3.Connection], int]:
    def make(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO number VALUES (?)", (value,))
        return value * 10

    return make


def insert_and_fail(value: int, error: Exception) -> Callable[[sqlite3.Connection], int]:
    def make(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO number VALUES (?)", (value,))
        raise error

    return make


def test_a_change_is_durable_when_its_result_is_back(database: Database) -> None:
    assert database.commits.run(insert(1)) == 10
    assert database.stored() == [1]


def test_changes_that_wait_together_share_one_transaction_and_get_their_own_results(database: Database) -> None:
    results = database.together([insert(value) for value in range(8)])
    assert results == [value * 10 for value in range(8)]
    assert database.stored() == list(range(8))
    assert database.begun == 1


def test_an_error_undoes_only_its_own_change(database: Database) -> None:
    error = ValueError("not this one")
    results = database.together([insert(1), insert_and_fail(2, error), insert(3)])
    assert results == [10, error, 30]
    assert database.stored() == [1, 3]


def test_an_error_of_sqlite_undoes_only_its_own_change(database: Database) -> None:
    database.commits.run(insert(2))
    first, second, third = database.together([insert(1), insert(2), insert(3)])
    assert (first, third) == (10, 30)
    assert isinstance(second, sqlite3.IntegrityError)
    assert database.stored() == [1, 2, 3]


def test_a_lone_error_leaves_nothing_and_no_open_transaction(database: Database) -> None:
    with pytest.raises(KeyError):
        database.commits.run(insert_and_fail(1, KeyError("x")))
    assert database.stored() == []
    assert not database.connection.in_transaction
    assert database.commits.run(insert(1)) == 10


def test_an_error_that_ends_the_transaction_is_told_to_everyone_in_it(database: Database) -> None:
    def ends_the_transaction(connection: sqlite3.Connection) -> int:
        connection.execute("ROLLBACK")  # as SQLite does by itself when the disk is full
        raise sqlite3.OperationalError("database or disk is full")

    results = database.together([insert(1), ends_the_transaction, insert(3)])
    assert all(isinstance(result, sqlite3.OperationalError) for result in results)
    assert database.stored() == []
    assert database.commits.run(insert(4)) == 40


def test_a_locked_database_is_told_to_everyone_and_nothing_is_half_written(database: Database) -> None:
    database.connection.execute("PRAGMA busy_timeout = 10")
    database.reader.execute("BEGIN IMMEDIATE")
    results = database.together([insert(1), insert(2)])
    database.reader.execute("ROLLBACK")
    assert [type(result) for result in results] == [sqlite3.OperationalError] * 2
    assert database.stored() == []
    assert database.together([insert(1), insert(2)]) == [10, 20]


def test_many_threads_get_right_results_and_every_change_is_seen_by_others_at_once(database: Database) -> None:
    seen: list[bool] = []

    def work(worker: int) -> None:
        with sqlite3.connect(database.path, isolation_level=None) as own:
            for number in range(40):
                value = worker * 1000 + number
                make = insert_and_fail(value, LookupError()) if number % 7 == 3 else insert(value)
                try:
                    result: int | None = database.commits.run(make)
                except LookupError:
                    result = None
                there = own.execute("SELECT count(*) FROM number WHERE value = ?", (value,)).fetchone()[0]
                seen.append((result, there) == ((None, 0) if number % 7 == 3 else (value * 10, 1)))
        own.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(seen) == 320
    assert all(seen)
    expected = [worker * 1000 + number for worker in range(8) for number in range(40) if number % 7 != 3]
    assert database.stored() == expected
