"""An export is verified before any of it is handed out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.errors import OutboxDamaged
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import new_message, open_store

LARGE = b"Subject: s\r\n\r\n" + b"A line of many.\r\n" * 60_000  # several pieces, and several reads of each


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(tmp_path / "outbox.db")
    yield store
    store.close()


def change(store: SqliteStore, statement: str) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(statement)


def test_a_large_content_is_read_whole_as_often_as_one_likes(store: SqliteStore) -> None:
    store.enqueue([new_message(content=LARGE)])
    exported = store.exported(1)
    assert [b"".join(exported.content) for _ in range(2)] == [LARGE, LARGE]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE content SET data = substr(data, 1, length(data) - 2)",
        "UPDATE content SET data = replace(data, 'b', 'c')",
        "DELETE FROM content",
    ],
)
def test_a_content_that_is_not_what_was_stored_is_refused(store: SqliteStore, statement: str) -> None:
    store.enqueue([new_message()])
    change(store, statement.replace("replace(data, 'b', 'c')", "CAST(replace(data, 'b', 'c') AS BLOB)"))
    with pytest.raises(OutboxDamaged, match="not what was stored"):
        store.exported(1)


def test_a_message_older_than_digests_is_judged_by_its_size(store: SqliteStore) -> None:
    store.enqueue([new_message()])
    change(store, "UPDATE outbox SET content_digest = NULL, envelope_digest = NULL")
    assert b"".join(store.exported(1).content).endswith(b"b\r\n")
