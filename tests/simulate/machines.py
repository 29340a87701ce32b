"""Several machines whose outbox is in one PostgreSQL database.

What is not played, for no one thread could: the watch, which listens in a thread of its own (a follower looks by the
clock instead), and poolers.  A power cut leaves a session at the server, which notices it later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from prx_email_cli.outbox.postgres import claims, database
from prx_email_cli.outbox.postgres import run as running
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.run import PostgresRun
from prx_email_cli.outbox.postgres.store import Patience, PostgresStore
from prx_email_cli.outbox.postgres.watch import EachLook

from ..support.postgres import the_server
from .machine import DOMAIN, PlayedTime, Points, tear
from .sessions import NOTICED_SECONDS, Cut, PlayedServer, PlayedSession
from .truth import Truth
from .world import Process, TurnLock, World, current

OTHERS_WAIT_SECONDS = 120
_NEVER = 3600.0  # lock timeouts are played
_TABLES = (
    "outbox, recipient, attempt, idempotency, known, content, stored_slot, attempted_slot, account_state, action, run, "
    "oauth_token"
)
_EMPTY = f"""
TRUNCATE {_TABLES} RESTART IDENTITY;
SELECT setval('outbox_id', 1, FALSE), setval('run_number', 1, FALSE);
UPDATE ledger SET drained_seconds = 0, recorded_at = NULL, last_drain_at = NULL, last_drain_by = NULL,
                  undrained_told_at = NULL, told = NULL, tidied = NULL
"""
_CUTS = ("before a statement", "after a statement", "before COMMIT", "after COMMIT", "after COMMIT")


class Host:
    """One of the machines: its disk, its boots, and who lives there."""

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.records = name, home / name / "outbox"
        self.boots = 1
        self.processes: list[Process] = []

    @property
    def runs(self) -> Path:
        """The directory of its runs."""
        return self.records.with_name("outbox.runs")


class Machines:
    """See ``Playable`` for what each member promises."""

    deaths = (
        "before a statement", "after a statement", "before COMMIT", "after COMMIT", "after it has sent",
        "before the end is noted", "after the end is noted", "before an answer is noted", "after an answer is noted",
    )  # fmt: skip
    each_alone = True

    def __init__(self, world: World, home: Path) -> None:
        self.world, url = world, _database()
        self._where = Where(url, "the simulated database")
        self.server = PlayedServer(world, url, self._committed)
        self.server.observer.execute(_EMPTY.encode())
        self.truth = Truth(world, self._ask)
        self.truth.others_wait_seconds = OTHERS_WAIT_SECONDS
        self.hosts = [Host(f"m{number}", home) for number in range(1, 1 + world.rng.choice((1, 2, 2, 3)))]
        self.rounds = 2 * len(self.hosts) + 1
        self._round = 0

    def _committed(self, process: Process) -> None:
        """Look at one moment: a COMMIT that a dead process has sent may be made just now."""
        with self.server.observer.transaction():
            self.server.observer.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self.truth.committed(process)

    def _ask(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return self.server.observer.execute(statement.replace("?", "%s").encode(), values).fetchall()

    def close(self) -> None:
        """End all sessions."""
        self.server.close()

    def host_of(self, process: Process | None) -> Host:
        """The machine on which a process lives."""
        return next(host for host in self.hosts if process in host.processes)

    def boot(self) -> str:
        """The kernel's name for its run."""
        host = self.host_of(current())
        return f"{host.name}, boot {host.boots}"

    @property
    def undisturbed(self) -> bool:
        """Whether the server has no session of somebody who is dead, and none was lost lately."""
        alive = all(owner is not None and owner.alive for owner in self.server.sessions.values())
        return alive and self.server.down_until < self.world.now - NOTICED_SECONDS

    def begins(self, process: Process) -> None:
        """Let a process live on one of the machines, and perhaps lose sessions."""
        rng = self.world.rng
        if self.world.troubled:
            host = rng.choice(self.hosts)
            if rng.random() < 0.4:
                for _ in range(rng.choice((1, 1, 2))):
                    lingers = rng.choice((None, 0.0, 1.0, rng.random() * NOTICED_SECONDS))
                    nth = rng.randint(1, rng.choice((3, 20, 100)))
                    self.server.cut(process, Cut(nth, rng.choice(_CUTS), lingers))
        else:
            self.server.down_until = 0.0
            self._round += 1
            host = self.hosts[self._round % len(self.hosts)]
        self.world.say(process.name, "lives on {}", host.name)
        host.processes.append(process)
        process.on_death.append(lambda: self._left_alone(process))

    def _left_alone(self, process: Process) -> None:
        """The kernel closes what a dead process had open."""
        for session in self.server.of(process):
            session.pgconn.finish()
            self.server.end(session)

    def open_store(self, process: Process) -> PostgresStore:
        """Open the outbox for a process."""
        host = self.host_of(process)
        host.records.parent.mkdir(parents=True, exist_ok=True)
        patience = Patience(lock_seconds=_NEVER, withdraw_seconds=1, others_wait_seconds=OTHERS_WAIT_SECONDS)
        return PostgresStore(self._where, host.records, DOMAIN, patience)

    @contextmanager
    def run(self, process: Process, store: PostgresStore) -> Iterator[PostgresRun]:
        """Start a run."""
        with store.start_run(int(self.world.now)) as run:
            self.truth.began(run.run_id, process)
            self.world.say(process.name, "is run {}", run.run_id)
            session = store._connection.connection
            assert isinstance(session, PlayedSession)
            self.server.on_end.setdefault(session, []).append(lambda: self._lost(run.run_id))

            def release() -> None:
                if run.in_flight._record is not None:
                    os.close(run.in_flight._record._descriptor)

            process.on_death.append(release)
            yield run

    def _lost(self, run_id: str) -> None:
        self.truth.lost.setdefault(run_id, self.world.now)

    def cut_power(self) -> None:
        """One of the machines is started anew; the server notices that its sessions are over, or does later."""
        rng = self.world.rng
        host = rng.choice(self.hosts)
        self.world.say("world", "it was {}", host.name)
        for process in host.processes:
            for session in self.server.of(process) if process.alive else ():
                if rng.random() < 0.5:
                    self.server.abandon(session, rng.random() * NOTICED_SECONDS)
                    self.server.sessions[session] = None
            process.kill("dies")
        host.boots += 1
        self.truth.power_cut([run for run, owner in self.truth.owners.items() if owner in host.processes])
        for file in sorted(host.runs.iterdir()) if host.runs.is_dir() else []:
            if file.name.endswith(".flight"):
                tear(file, rng.randrange(5), rng.randrange)
            elif rng.random() < 0.3:
                file.unlink()

    def trouble(self, rng: Random, again: Callable[[], object]) -> None:
        """Let the server break down now and then."""
        if rng.random() < 0.2:
            seconds = rng.choice((0.0, 1.0, 30.0, 90.0))

            def breaks_down() -> None:
                self.world.say("world", "THE SERVER BREAKS DOWN for {} s", seconds)
                self.server.restart(seconds)

            self.world.at(rng.random() * rng.choice((1, 10, 100)), breaks_down)

    def left(self) -> list[str]:
        """Files of runs that lie about, and runs that the database still knows."""
        files = [f"{host.name}: {file.name}" for host in self.hosts if host.runs.is_dir()
                 for file in host.runs.iterdir() if file.name != "machine"]  # fmt: skip
        return files + [run_id for (run_id,) in self._ask("SELECT run_id FROM run")]

    def install(self, patch: pytest.MonkeyPatch, points: Points) -> None:
        """Let the program use this database."""
        patch.setattr(PlayedSession, "server", self.server, raising=False)
        patch.setattr(psycopg, "connect", self.server.connect)
        for module in (claims, database):
            patch.setattr(module, "time", PlayedTime(self.world))
        patch.setattr(running, "host_name", lambda: self.host_of(current()).name)
        patch.setattr(PostgresStore, "watch", lambda store, whole=False: EachLook())
        opened = PostgresStore.__init__

        def with_turns(store: PostgresStore, *arguments: Any, **options: Any) -> None:
            opened(store, *arguments, **options)
            store._lock, store._reading_lock = TurnLock(), TurnLock()  # type: ignore[assignment]

        patch.setattr(PostgresStore, "__init__", with_turns)
        points.only_alive(PostgresStore, "close")


@cache
def _database() -> str:
    """A database of this process, whose clocks are those of the simulation."""
    server = the_server()
    url = server.new_database()
    name = url.partition("@/")[2].partition("?")[0]
    server.sql(f"ALTER DATABASE {name} SET deadlock_timeout = '1h'")
    server.sql(
        *(f"ALTER TABLE {table} SET (autovacuum_enabled = false)" for table in _TABLES.split(", ")), database=url
    )
    return url
