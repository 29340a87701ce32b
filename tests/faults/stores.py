"""The outboxes on which the matrix is played: in memory, in a file, in a database.

By environment: TORTURE_ROUNDS, of any size, or PRX_TEST_OUTBOX=postgresql play all of it on a database, too.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import psycopg

from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import PostgresStore
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.store import Store

from ..conftest import ON_POSTGRES
from ..support.memory_store import MemoryStore
from ..support.postgres import empty, the_server

WHOLE = ON_POSTGRES or "TORTURE_ROUNDS" in os.environ
DOMAIN = "matrix.prx-email.local"
_free: list[str] = []  # databases that were emptied
_lock = Lock()


@contextmanager
def _in_memory() -> Iterator[Store]:
    yield MemoryStore(DOMAIN)


@contextmanager
def _in_a_file() -> Iterator[Store]:
    with TemporaryDirectory(prefix="prx-matrix-") as directory:
        with closing(SqliteStore(Path(directory) / "outbox.db", message_id_domain=DOMAIN)) as store:
            yield store


@contextmanager
def _in_a_database() -> Iterator[Store]:
    with _lock:
        url = _free.pop() if _free else the_server().new_database()
    with TemporaryDirectory(prefix="prx-matrix-") as directory:
        with closing(PostgresStore(Where(url, "the matrix's"), Path(directory) / "records", DOMAIN)) as store:
            yield store
    with psycopg.connect(url, autocommit=True) as connection:
        empty(connection)
    with _lock:
        _free.append(url)


MEMORY, SQLITE, POSTGRESQL = "memory", "sqlite", "postgresql"
KINDS: dict[str, Callable[[], AbstractContextManager[Store]]] = {
    MEMORY: _in_memory, SQLITE: _in_a_file, POSTGRESQL: _in_a_database,
}  # fmt: skip
