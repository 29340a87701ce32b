"""The outbox's file: private, migrated once, read in pieces, and clear about what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.errors import OutboxBusy, OutboxDamaged, ReadableByOthers, StorageError
from prx_email_cli.outbox.sqlite import recording
from prx_email_cli.outbox.sqlite.runs import Runs
from prx_email_cli.outbox.sqlite.schema import MIGRATIONS
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, claim, new_message, open_store, sent, wish
from .conftest import Start

PIECE_BYTES = 256 * 1024
OPEN_WHEN_TOLD = """
tell("ready")
for line in sys.stdin:
    store = open_store(line.strip())
    ids = store.enqueue([NewMessage(account="work", sender="", recipients=[("a@x.org", "to")], subject="s",
                                    content=Content.of(b"x"), schedule=Schedule.at_once(1))])
    store.close()
    tell(*ids)
"""


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=lambda mask: f"umask {mask:03o}")
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "mail").mkdir()
    return tmp_path / "mail" / "outbox.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.usefixtures("_umask")
def test_database_and_log_and_directories_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mail" / "outbox.db"
    store = open_store(path)
    store.enqueue([new_message()])
    runs = Runs(path)
    with runs.start(NOW):
        files = {file.name: mode(file) for file in path.parent.iterdir() if file.is_file()}
        assert files == {"outbox.db": 0o600, "outbox.db-wal": 0o600, "outbox.db-shm": 0o600}
        assert (mode(path.parent), mode(runs.directory)) == (0o700, 0o700)
        assert [mode(file) for file in runs.directory.iterdir()] == [0o600]
    store.close()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o666, 0o620])
def test_an_outbox_that_others_may_open_is_refused(path: Path, bits: int) -> None:
    open_store(path).close()
    path.chmod(bits)
    with pytest.raises(ReadableByOthers) as refused:
        open_store(path)
    assert refused.value.exit_code == 77
    assert "chmod 600" in refused.value.hint


def remove_a_page(path: Path) -> None:
    open_store(path).close()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192)


def write_garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says\n" * 100)


def make_a_directory(path: Path) -> None:
    path.mkdir()


def make_a_fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def put_a_file_in_the_way(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


def put_another_programs_tables(path: Path) -> None:
    execute(path, "CREATE TABLE bookmarks (url TEXT)")


def let_a_newer_program_migrate_it(path: Path) -> None:
    open_store(path).close()
    execute(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


@pytest.mark.parametrize(
    ("spoil", "says", "hint"),
    [
        (remove_a_page, "malformed|corrupt|disk image", ""),
        (write_garbage, "not a database", ""),
        (make_a_directory, "cannot open the outbox|not a regular file", ""),
        (make_a_fifo, "not a regular file", ""),
        (put_a_file_in_the_way, "cannot open the outbox", ""),
        (put_another_programs_tables, "a database of another program", ""),
        (let_a_newer_program_migrate_it, f"newer than the {len(MIGRATIONS)}", "newer prx-email"),
    ],
)
def test_what_is_no_outbox_is_refused_with_its_path_and_a_fix_and_left_as_it_was(
    path: Path, spoil: Callable[[Path], None], says: str, hint: str
) -> None:
    spoil(path)
    if path.is_file():
        path.chmod(0o600)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StorageError, match=says) as refused, closing(open_store(path)) as store:
        store.enqueue([new_message()])
    assert refused.value.exit_code == 74
    assert str(path) in refused.value.message
    assert refused.value.hint
    assert hint in refused.value.hint
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_full_disk_is_told_and_nothing_is_half_written(path: Path) -> None:
    store = open_store(path)
    store.enqueue([new_message()])
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StorageError, match="full") as refused:
        store.enqueue([new_message(), new_message(content=b"x" * 1_000_000)])
    assert refused.value.exit_code == 74
    assert "space" in refused.value.hint
    assert store.stats(NOW).total == 1
    store.claims.finalize("run", sent(claim(store)))
    assert store.row(1).status == "sent"
    store.close()


def test_a_lock_that_lasts_is_told_changes_nothing_and_keeps_nobody_from_reading(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PATIENCE", 2)
    store = open_store(path, busy_timeout_seconds=0.05)
    store.enqueue([new_message(), new_message()])
    claimed = claim(store)
    attempts: list[Callable[[], object]] = [
        lambda: store.enqueue([new_message()]),
        lambda: store.claims.claim_next("run", wish()),
        lambda: store.claims.finalize("run", sent(claimed)),
    ]
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for attempt in attempts:
            with pytest.raises(OutboxBusy, match="locked by another process") as refused:
                attempt()
            assert refused.value.exit_code == 75
        assert [store.row(1).status, store.row(2).status, store.stats(NOW).total] == ["sending", "pending", 2]
    store.claims.finalize("run", sent(claimed))
    assert store.row(1).status == "sent"
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


def schema_of(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_processes_that_open_a_new_outbox_at_the_same_time_all_succeed(tmp_path: Path, start: Start) -> None:
    others = [start(OPEN_WHEN_TOLD) for _ in range(4)]
    assert [other.hear() for other in others] == [["ready"]] * 4
    for number in range(10):
        for other in others:
            other.say(str(tmp_path / f"{number}.db"))
        ids = [int(word) for other in others for word in other.hear()]
        assert sorted(ids) == [1, 2, 3, 4]
    assert [other.end() for other in others] == [0] * 4


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


def test_opening_an_outbox_twice_in_a_process_does_not_take_its_log_away(path: Path, start: Start) -> None:
    first = open_store(path)
    open_store(path).close()  # POSIX locks end when a process closes any descriptor of the file
    other = start(OPEN_WHEN_TOLD)
    other.hear()
    other.say(str(path))
    assert other.hear() == ["1"]
    assert path.with_name("outbox.db-wal").exists(), "the other process took itself for the last user"
    assert first.enqueue([new_message()]) == [2]
    first.close()


def test_a_relative_link_to_an_outbox_shares_its_runs(tmp_path: Path) -> None:
    store: SqliteStore = open_store(tmp_path / "outbox.db")
    (tmp_path / "link.db").symlink_to("outbox.db")
    assert Runs(tmp_path / "link.db").directory == Runs(store.path).directory
    store.close()


def test_the_head_is_bounded_and_the_rest_comes_in_pieces(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(content=b"x" * (5 * PIECE_BYTES + 1))])
    claimed = claim(outbox)
    pieces = [claimed.head or b"", *outbox.claims.rest_of_content(claimed.outbox_id)]
    assert sum(map(len, pieces)) == 5 * PIECE_BYTES + 1
    assert max(map(len, pieces)) <= PIECE_BYTES


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
