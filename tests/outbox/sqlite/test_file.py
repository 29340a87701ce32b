"""The outbox's file: locked, migrated once, and read in pieces; what commands say of a bad one is in tests/cli."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.errors import OutboxBusy, OutboxDamaged, StorageError
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite import claims, sql
from prx_email_cli.outbox.sqlite.schema import MIGRATIONS
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ...conftest import Program
from ..messages import NOW, claim, in_doubt, new_message, open_store, sent, wish

PIECE_BYTES = 256 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def schema_of(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_lock_that_lasts_is_told_changes_nothing_and_keeps_nobody_from_reading(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 2)
    store = open_store(path, busy_timeout_seconds=0.05)
    store.enqueue([new_message(), new_message()])
    run = store.start_run(NOW)
    claimed = claim(run)
    attempts: list[Callable[[], object]] = [
        lambda: store.enqueue([new_message()]),
        lambda: run.advance([], [wish()]),
        lambda: run.advance([], [], [claimed]),
        lambda: run.advance([sent(claimed)], [wish()]),
    ]
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for attempt in attempts:
            with pytest.raises(OutboxBusy, match="locked by another process") as refused:
                attempt()
            assert refused.value.exit_code == 75
        assert [store.row(1).status, store.row(2).status, store.stats(NOW).total] == ["sending", "pending", 2]
    run.about_to_end(claimed, in_doubt(claimed))  # its slot is its own, for none of that was recorded
    run.advance([sent(claimed)], [])
    assert store.row(1).status == "sent"
    run.__exit__(None, None, None)
    store.close()


def test_an_error_leaves_the_store_without_an_open_transaction(outbox: SqliteStore) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE ledger SET generation = generation + 1")
        raise KeyError("x")

    with pytest.raises(KeyError):
        outbox.change(fail)
    assert not outbox._connection.in_transaction
    assert outbox.change(lambda connection: connection.execute("SELECT generation FROM ledger").fetchone()) == (0,)


def test_a_migration_that_breaks_off_leaves_the_old_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(path).close()
    broken = (*MIGRATIONS, ("CREATE TABLE half (x)", "THIS IS NOT SQL"))
    with monkeypatch.context() as patch:
        patch.setattr("prx_email_cli.outbox.sqlite.schema.MIGRATIONS", broken)
        with pytest.raises(StorageError):
            open_store(path)
    store = open_store(path)
    assert store.enqueue([new_message()]) == [1]
    store.close()
    assert "half" not in dict(schema_of(path))


def test_every_older_schema_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(tmp_path / "new.db").close()
    for version in range(1, len(MIGRATIONS)):
        path = tmp_path / f"{version}.db"
        with monkeypatch.context() as patch:
            patch.setattr("prx_email_cli.outbox.sqlite.schema.MIGRATIONS", MIGRATIONS[:version])
            open_store(path).close()
        open_store(path).close()
        assert schema_of(path) == schema_of(tmp_path / "new.db")


def test_a_new_outbox_waits_for_whoever_is_just_creating_it(path: Path) -> None:
    path.touch(0o600)
    creator = sqlite3.connect(path, isolation_level=None)
    creator.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_store, path, busy_timeout_seconds=30)
        wait([opening], timeout=0.2)
        creator.execute("ROLLBACK")
        creator.close()
        opening.result().close()


def test_opening_an_outbox_twice_in_a_process_does_not_take_its_log_away(program: Program) -> None:
    first = program.file_store()
    program.file_store().close()  # POSIX locks end when a process closes any descriptor of the file
    assert program.run("send", "--to", "a@example.org", "--subject", "s", "--body", "b").out == "1\n"
    assert program.outbox.with_name("outbox.db-wal").exists(), "the other process took itself for the last user"
    assert first.enqueue([new_message()]) == [2]
    first.close()


def test_a_relative_link_to_an_outbox_shares_its_runs(tmp_path: Path) -> None:
    store: SqliteStore = open_store(tmp_path / "outbox.db")
    (tmp_path / "link.db").symlink_to("outbox.db")
    assert Runs(tmp_path / "link.db").directory == Runs(store.path).directory
    store.close()


@pytest.mark.parametrize("size", [1, sql.HEAD_BYTES, sql.HEAD_BYTES + 1, 5 * PIECE_BYTES + 1])
def test_a_small_content_is_read_with_its_claim_and_a_large_one_comes_in_pieces(outbox: SqliteStore, size: int) -> None:
    outbox.enqueue([new_message(content=b"x" * size)])
    with outbox.start_run(NOW) as run:
        claimed = claim(run)
        assert claimed.head is not None
        assert len(claimed.head) == (size if size <= sql.HEAD_BYTES else 0)
        pieces = list(run.content(claimed))
    assert len(claimed.head) + sum(map(len, pieces)) == size
    assert max(map(len, pieces), default=0) <= claims.READ_BYTES


@pytest.mark.parametrize(
    "change",
    [
        "outbox SET status = 'lost'", "outbox SET status = 'sent'", "outbox SET status = 'sending'",
        "outbox SET run_id = 'x'", "outbox SET retries = -1", "outbox SET uncertain = 2",
        "recipient SET status = 'maybe'",
    ],
)  # fmt: skip
def test_the_database_itself_keeps_the_rules(outbox: SqliteStore, change: str) -> None:
    outbox.enqueue([new_message()])
    with pytest.raises(OutboxDamaged, match="constraint failed"):
        outbox.change(lambda connection: connection.execute(f"UPDATE {change}"))
