"""Reading goes on while another thread of the process writes."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prx_email_cli.outbox.sqlite import connection as opening
from prx_email_cli.outbox.sqlite import database as module
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, new_message, open_store

PATIENCE_SECONDS = 60


@contextmanager
def writing(store: SqliteStore) -> Iterator[None]:
    """Another thread is in the middle of a transaction, in which it has changed something."""
    begun, over = threading.Event(), threading.Event()

    def change() -> None:
        def make(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE outbox SET subject = 'changed'")
            begun.set()
            assert over.wait(PATIENCE_SECONDS)

        store.change(make)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        assert begun.wait(PATIENCE_SECONDS)
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(tmp_path / "outbox.db")
    yield store
    store.close()


def test_a_reader_does_not_wait_for_a_writer_and_sees_what_was_committed(store: SqliteStore) -> None:
    (outbox_id,) = store.enqueue([new_message()])
    with writing(store):
        assert store.row(outbox_id).subject == "s"
        assert store.count_due("work", NOW) == 1
    assert store.row(outbox_id).subject == "changed"


def test_a_reader_cannot_write(store: SqliteStore) -> None:
    with writing(store), store.reading() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("UPDATE outbox SET subject = 'x'")


def read_beside(store: SqliteStore, opened: threading.Event, replace: Callable[[], None]) -> str:
    """The subject that a thread reads while another one writes; *opened*: it has tried to open the file."""
    (outbox_id,) = store.enqueue([new_message()])
    read: list[str] = []
    with writing(store):
        replace()
        thread = threading.Thread(target=lambda: read.append(store.row(outbox_id).subject))
        thread.start()
        assert opened.wait(PATIENCE_SECONDS)
    thread.join()
    return read[0]


def test_a_reader_never_reads_another_database_that_came_to_the_path(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the writer instead, and reads what this process has open."""
    other, opened, open_beside = open_store(tmp_path / "other.db"), threading.Event(), opening.open_beside
    other.enqueue([new_message()])
    other.close()

    def told(path: Path, seconds: float) -> sqlite3.Connection:
        connection = open_beside(path, seconds)
        opened.set()
        return connection

    monkeypatch.setattr(module, "open_beside", told)
    assert read_beside(store, opened, lambda: os.replace(tmp_path / "other.db", store.path)) == "changed"
    assert store.replaced()


def test_without_a_second_connection_a_reader_waits(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = threading.Event()

    def refuse(*_: object) -> sqlite3.Connection:
        opened.set()
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(module, "open_beside", refuse)
    assert read_beside(store, opened, lambda: None) == "changed"
