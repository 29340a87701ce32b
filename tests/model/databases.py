"""The databases on which the model is played: a file, and a server's for two processes of one machine or of two."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import Patience, PostgresStore
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.store import Run

from ..outbox import messages
from ..outbox.postgres import dying
from ..support.postgres import empty, the_server

DOMAIN = "prx-email.local"
_ROWS = """
SELECT id, status, retries, next_attempt_at, run_id, message_id, uncertain, held_at IS NOT NULL, gave_up,
       told_at IS NOT NULL, pruned_at IS NOT NULL, drained_from, {recipients}
  FROM outbox ORDER BY id
"""
_STANDING = "status || CASE WHEN uncertain THEN '?' ELSE '' END"
_ROWS_OF_FILE = _ROWS.format(
    recipients=f"(SELECT group_concat({_STANDING}, ' ')"
    " FROM (SELECT * FROM recipient WHERE outbox_id = id ORDER BY number))"
)
_ROWS_OF_SERVER = _ROWS.format(
    recipients=f"(SELECT string_agg({_STANDING}, ' ' ORDER BY number) FROM recipient WHERE outbox_id = id)"
)
_MANY = "SELECT coalesce(sum(messages), 0) FROM stored"
_DRAINED = "SELECT drained_seconds FROM ledger"


class Files:
    """A file; each example starts with a copy.

    stores, runs: of each process, and where it keeps its flight records.  runs_are_files: each has a file of its own.
    """

    runs_are_files = True

    def __init__(self, directory: Path) -> None:
        path = directory / "outbox.db"
        shutil.copy(_template(), path)
        path.chmod(0o600)
        self.stores = [_open(path), _open(path)]
        self.runs = [Runs(path)] * 2
        self._watcher = sqlite3.connect(path)

    def kill(self, run: Run) -> None:
        """Let a run lose its lock without an end."""
        messages.kill(run)

    def rows(self) -> list[Any]:
        """Everything of the messages that the model has, too."""
        return self._watcher.execute(_ROWS_OF_FILE).fetchall()

    def many(self) -> int:
        """The count of messages that is kept beside them."""
        return int(self._watcher.execute(_MANY).fetchone()[0])

    def drained(self) -> int:
        """The seconds of drains that are recorded."""
        return int(self._watcher.execute(_DRAINED).fetchone()[0])

    def close(self) -> None:
        """Release everything."""
        self._watcher.close()
        for store in self.stores:
            store.close()


class OneMachine:
    """A server's database, which both processes use from one machine."""

    runs_are_files = False
    _homes = ("machine", "machine")

    def __init__(self, directory: Path) -> None:
        self._watcher = _emptied()
        where, records = Where(_database(), "the model's"), [directory / home / "records" for home in self._homes]
        self.stores = [PostgresStore(where, one, DOMAIN, Patience(withdraw_seconds=0)) for one in records]
        runs = {one: Runs(one) for one in records}
        self.runs = [runs[one] for one in records]

    def kill(self, run: Run) -> None:
        dying.kill(run)

    def rows(self) -> list[Any]:
        return self._watcher.execute(_ROWS_OF_SERVER.encode()).fetchall()

    def many(self) -> int:
        return int(self._watcher.execute(_MANY.encode()).fetchall()[0][0])

    def drained(self) -> int:
        return int(self._watcher.execute(_DRAINED.encode()).fetchall()[0][0])

    def close(self) -> None:
        for store in self.stores:
            store.close()


class TwoMachines(OneMachine):
    """A server's database, which each process uses from a machine of its own."""

    _homes = ("one", "other")


Database = Files | OneMachine


@cache
def _template() -> Path:
    """An empty outbox, made once."""
    directory = tempfile.mkdtemp(prefix="model-")
    atexit.register(shutil.rmtree, directory)
    path = Path(directory) / "outbox.db"
    SqliteStore(path, message_id_domain=DOMAIN).close()
    return path


def _open(path: Path) -> SqliteStore:
    store = SqliteStore(path, message_id_domain=DOMAIN, withdraw_seconds=0)
    store._connection.execute("PRAGMA synchronous = OFF")  # durability is proved elsewhere; here it would cost minutes
    return store


@cache
def _database() -> str:
    """A database, made once: each example empties it."""
    return the_server().new_database()


@cache
def _connected(pid: int) -> psycopg.Connection[Any]:
    connection = psycopg.connect(_database(), autocommit=True)
    atexit.register(connection.close)
    return connection


def _emptied() -> psycopg.Connection[Any]:
    """Empty the database, and return a connection to it."""
    connection = _connected(os.getpid())
    empty(connection)
    return connection
