"""What is kept of accounts, in SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from prx_email_cli.outbox.accounts import AccountState

from ..messages import NOW, open_store


def test_a_look_that_finds_nothing_to_tell_needs_no_lock_on_the_outbox(tmp_path: Path) -> None:
    """A drain looks each minute, however long an account is paused."""
    store = open_store(tmp_path / "outbox.db", busy_timeout_seconds=0)
    store.pause(AccountState("work", paused_at=NOW))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        assert store.take_untold(NOW) == []
    store.close()
