"""The quick way stores only in an outbox that is as usual, and leaves all else to the full way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.errors import OutboxBusy
from prx_email_cli.outbox.small import SmallMessage, SmallOutbox
from prx_email_cli.outbox.sqlite.quick import Unusual, store
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, claim, new_message, sent


def small() -> SmallMessage:
    message = SmallMessage(NOW, ("me", 1000, "here", "a program"))
    message.account, message.sender, message.recipients = "work", "me@example.org", ["a@example.org"]
    message.content = b"Subject: s\r\n\r\nx\r\n"
    return message


def known(path: Path, patience_seconds: float = 5.0) -> SmallOutbox:
    return SmallOutbox(str(path), os.path.realpath(path), patience_seconds, (os.geteuid(),))


def test_it_goes_on_where_the_others_are_and_above_what_was_ever_claimed(outbox: SqliteStore) -> None:
    assert store(known(outbox.path), small()) == 1
    with outbox.start_run(NOW) as run:
        run.advance([sent(claim(run))], [])
    with closing(sqlite3.connect(outbox.path)) as connection, connection:
        connection.execute("DELETE FROM outbox")
        connection.execute("DELETE FROM sqlite_sequence")
    assert store(known(outbox.path), small()) == 2
    assert outbox.enqueue([new_message()]) == [3]


def test_it_waits_for_a_lock_as_long_as_the_config_says(outbox: SqliteStore) -> None:
    with closing(sqlite3.connect(outbox.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutboxBusy) as raised:
            store(known(outbox.path, 0.0), small())
    assert raised.value.hint.endswith("the message was not stored")
    assert outbox.stats(NOW).total == 0


def _others_read(path: Path) -> None:
    path.chmod(0o640)


def _gone(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _no_database(path: Path) -> None:
    path.write_bytes(b"x" * 4096)


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _without_a_log(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _moved(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger SET moved_to = 'elsewhere'")


def _damaged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger SET identity = 'x'")


def _without_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE content")


def _log_of_others(path: Path) -> None:
    log = Path(f"{path}-journal")
    log.write_bytes(b"")
    log.chmod(0o666)


def _runs_of_others(path: Path) -> None:
    Path(f"{path}.runs").mkdir(mode=0o700)
    Path(f"{path}.runs").chmod(0o777)


def _marks_elsewhere(path: Path) -> None:
    Path(f"{path}.runs").mkdir(mode=0o700)
    Path(f"{path}.runs", "high-water").symlink_to(path)


@pytest.mark.parametrize(
    "change",
    [
        _others_read, _gone, _empty, _no_database, _newer, _without_a_log, _moved, _damaged, _without_a_table,
        _log_of_others, _runs_of_others, _marks_elsewhere,
    ],
)  # fmt: skip
def test_what_is_not_as_usual_is_left_to_the_full_way(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "outbox.db"
    SqliteStore(path, message_id_domain="here.example").close()
    usual = known(path)
    change(path)
    with pytest.raises(Unusual):
        store(usual, small())
    assert not path.exists() or b"a@example.org" not in path.read_bytes()
