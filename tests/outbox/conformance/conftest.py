"""Every test here is run once with each kind of outbox; another database is one more entry of KINDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.run import PostgresRun
from prx_email_cli.outbox.postgres.schema import LOCK
from prx_email_cli.outbox.postgres.store import Patience, PostgresStore
from prx_email_cli.outbox.store import Run, Store

from ...support.memory_store import MemoryRun, MemoryStore
from ...support.postgres import MISSING, programs, the_server
from ..messages import DOMAIN, NOW, kill, open_store


class Kind(NamedTuple):
    """How an outbox is made, and how one of its runs loses its lock without an end."""

    make: Callable[[Path], Store]
    kill: Callable[[Run], None]


def _kill_memory(run: Run) -> None:
    assert isinstance(run, MemoryRun)
    run.die()


def _open_postgres(directory: Path) -> Store:
    where = Where(the_server().new_database(), "the test's")
    return PostgresStore(where, directory / "records", DOMAIN, Patience(withdraw_seconds=0))


def _kill_postgres(run: Run) -> None:
    assert isinstance(run, PostgresRun)
    if run.in_flight._record is not None:
        run.in_flight._record.close()
    run._store.change(lambda connection: connection.execute("SELECT pg_advisory_unlock(?, ?)", (LOCK, run._number)))


KINDS = {
    "sqlite": Kind(lambda directory: open_store(directory / "outbox.db"), kill),
    "postgres": Kind(_open_postgres, _kill_postgres),
    "memory": Kind(lambda directory: MemoryStore(DOMAIN), _kill_memory),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """A kind of outbox."""
    if request.param == "postgres" and programs() is None:
        pytest.skip(MISSING)
    return KINDS[request.param]


@pytest.fixture
def store(kind: Kind, tmp_path: Path) -> Iterator[Store]:
    """An empty outbox."""
    store = kind.make(tmp_path)
    yield store
    store.close()


@pytest.fixture
def run(store: Store) -> Iterator[Run]:
    """A living run."""
    with store.start_run(NOW) as run:
        yield run


@pytest.fixture
def dying(store: Store, kind: Kind) -> Iterator[Callable[[], tuple[Run, Callable[[], None]]]]:
    """Start another run: `run, die = dying()`."""
    alive: list[Run] = []

    def start() -> tuple[Run, Callable[[], None]]:
        run = store.start_run(NOW)
        alive.append(run)

        def die() -> None:
            alive.remove(run)
            kind.kill(run)

        return run, die

    yield start
    for run in alive:
        run.__exit__(None, None, None)
