"""A server for the tests of one process, and outboxes on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import Patience, PostgresStore

from ...support.postgres import MISSING, PostgresServer, programs, the_server
from ..messages import DOMAIN

Machine = Callable[[str], PostgresStore]


@pytest.fixture
def server() -> PostgresServer:
    if programs() is None:
        pytest.skip(MISSING)
    return the_server()


@pytest.fixture
def machine(server: PostgresServer, tmp_path: Path) -> Iterator[Machine]:
    """Open the same outbox as a machine of that name: `machine("one")`; each has flight records of its own."""
    where = Where(server.new_database(), "the test's")
    stores: list[PostgresStore] = []

    def open_as(name: str) -> PostgresStore:
        store = PostgresStore(where, tmp_path / name / "records", DOMAIN, Patience(withdraw_seconds=0))
        stores.append(store)
        return store

    yield open_as
    for store in stores:
        store.close()
