"""The machine on which the processes live: its disk, its boots, and the points that their functions pass."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from prx_email_cli.delivery import conductor
from prx_email_cli.delivery.account import AccountRun
from prx_email_cli.outbox import flight_record, runs
from prx_email_cli.outbox.flight_record import FlightRecord
from prx_email_cli.outbox.in_flight import InFlight
from prx_email_cli.outbox.lock import Lock
from prx_email_cli.outbox.relational import withdrawing
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection
from prx_email_cli.outbox.sqlite.high_water import HighWater
from prx_email_cli.outbox.sqlite.run import SqliteRun
from prx_email_cli.outbox.sqlite.store import SqliteStore

from .truth import Truth
from .world import Killed, Process, TurnLock, World, current

DOMAIN = "simulated.example"
BUSY_SECONDS = 5.0


class Connection(SqliteConnection):
    """A connection to the outbox; its COMMIT is a point, and no sync waits for a disk."""

    machine: Machine

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        process = current()
        if process is not None:
            process.check()
            if statement == "BEGIN IMMEDIATE":
                return self._begin(process)
            if statement == "COMMIT":
                return self._commit(process)
        if statement.startswith("PRAGMA synchronous"):
            statement = "PRAGMA synchronous = OFF"
        return super().execute(statement, *values)

    def _begin(self, process: Process) -> sqlite3.Cursor:
        """Wait for the lock as long as SQLite would."""
        until = process.world.now + BUSY_SECONDS
        while True:
            process.point("before BEGIN")
            try:
                return super().execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or process.world.now >= until:
                    raise
            process.sleep(0.05)

    def _commit(self, process: Process) -> sqlite3.Cursor:
        process.point("before COMMIT")
        cursor = super().execute("COMMIT")
        self.machine.truth.committed(process)
        process.point("after COMMIT")
        return cursor


class Machine:
    """A machine with one outbox."""

    deaths = (
        "before BEGIN", "before COMMIT", "after COMMIT", "after it has sent", "after the mark is raised",
        "before the end is noted", "after the end is noted", "before an answer is noted", "after an answer is noted",
    )  # fmt: skip
    rounds, each_alone, undisturbed = 1, False, True

    def __init__(self, world: World, home: Path, template: Path) -> None:
        self.world, self.path = world, home / "outbox.db"
        shutil.copyfile(template, self.path)
        self.path.chmod(0o600)
        self._connection = sqlite3.connect(self.path, isolation_level=None)
        self.truth = Truth(world, self._connection.execute)
        self.boots = 1
        self._marks: list[bytes] = [b""]  # what the high-water mark has been

    @property
    def runs(self) -> Path:
        """The directory of the runs."""
        return self.path.with_name("outbox.db.runs")

    def close(self) -> None:
        """Let the outbox go."""
        self._connection.close()

    def boot(self) -> str:
        """The kernel's name for its run."""
        return f"boot {self.boots}"

    def begins(self, process: Process) -> None:
        """A drain is about to begin."""

    def open_store(self, process: Process) -> SqliteStore:
        """Open the outbox for a process; its death closes it."""
        store = SqliteStore(self.path, message_id_domain=DOMAIN, busy_timeout_seconds=0, withdraw_seconds=1)
        store._lock = TurnLock()  # type: ignore[assignment]
        process.on_death.append(lambda: sqlite3.Connection.close(store._connection))
        process.on_death.append(lambda: store._reader.close() if store._reader is not None else None)
        process.on_death.append(store._guard._high_water.close)
        return store

    @contextmanager
    def run(self, process: Process, store: SqliteStore) -> Iterator[SqliteRun]:
        """Start a run; the death of its process releases its lock."""
        with store.start_run(int(self.world.now)) as run:
            self.truth.began(run.run_id, process)
            self.world.say(process.name, "is run {}", run.run_id)

            def release() -> None:
                if run._lock._descriptor >= 0:
                    os.close(run._lock._descriptor)
                if run.in_flight._record is not None:
                    os.close(run.in_flight._record._descriptor)

            process.on_death.append(release)
            yield run

    def note_mark(self) -> None:
        """Keep what the high-water mark is now."""
        self._marks.append((self.runs / "high-water").read_bytes())

    def cut_power(self) -> None:
        """The machine is started anew; what was not synced is there, is older, or is torn."""
        for process in self.world.processes:
            process.kill("dies")
        self.boots += 1
        self.truth.power_cut(self.truth.owners)
        rng = self.world.rng
        for file in sorted(self.runs.iterdir()) if self.runs.is_dir() else []:
            if file.name == "high-water":
                file.write_bytes(rng.choice(self._marks))
            elif file.name.endswith(".flight"):
                tear(file, rng.randrange(5), rng.randrange)
            elif rng.random() < 0.3:
                file.unlink()

    def trouble(self, rng: Random, again: Callable[[], object]) -> None:
        """Let something else go wrong now and then.  again: starts a drain."""
        if rng.random() < 0.15:
            self.world.at(rng.random() * 3, lambda: self._sweep(again))

    def _sweep(self, again: Callable[[], object]) -> None:
        """Somebody cleans up where nobody should."""
        living = [run_id for run_id, owner in self.truth.owners.items()
                  if owner.alive and run_id not in self.truth.ended]  # fmt: skip
        if living:
            run_id = self.world.rng.choice(living)
            self.world.say("world", "somebody removes the lock of run {}", run_id)
            (self.runs / run_id).unlink(missing_ok=True)
            self.truth.sweep(run_id)
            again()

    def left(self) -> list[str]:
        """Files of runs that lie about."""
        return [file.name for file in self.runs.iterdir() if file.name not in ("high-water", "last-drain")]

    def install(self, patch: pytest.MonkeyPatch, points: Points) -> None:
        """Let the program use this outbox."""
        patch.setattr(Connection, "machine", self, raising=False)
        connect = sqlite3.connect

        def connected(*places: Any, **options: Any) -> sqlite3.Connection:
            kind = options.get("factory", sqlite3.Connection)
            assert issubclass(Connection, kind), "the program has connections of a kind that the simulation does not"
            connection: sqlite3.Connection = connect(*places, **{**options, "factory": Connection})
            return connection

        patch.setattr(sqlite3, "connect", connected)
        points.around(HighWater, "raise_to", "the mark is raised", lambda *_: self.note_mark())
        points.around(runs, "_removed_as_dead", "a lock file is removed")
        points.around(Lock, "release", "the lock is released", lambda _, lock: setattr(lock, "_descriptor", -1))
        points.only_alive(SqliteStore, "close")


def tear(file: Path, how: int, randrange: Callable[[int], int]) -> None:
    """Lose some of what was written to a file."""
    content = bytearray(file.read_bytes())
    if how == 0:
        file.unlink()
    elif how == 1:
        file.write_bytes(b"")
    elif content and how == 2:
        file.write_bytes(content[: randrange(len(content))])
    elif content and how == 3:
        at = randrange(len(content)) & ~511
        content[at : at + 4096] = bytes(len(content[at : at + 4096]))
        file.write_bytes(content)


class Playable(Protocol):
    """What the scenario wants of the machines and their outbox."""

    world: World
    truth: Truth

    @property
    def deaths(self) -> Sequence[str]:
        """Points at which drains are killed."""

    @property
    def rounds(self) -> int:
        """So many drains it takes at the most until what a dead run held is recovered."""

    @property
    def each_alone(self) -> bool:
        """Whether each command of a person is a process of its own."""

    @property
    def undisturbed(self) -> bool:
        """Whether nobody who is dead holds anything."""

    def close(self) -> None:
        """Let the outbox go."""

    def boot(self) -> str:
        """The name that the kernel of the running process has for its run."""

    def begins(self, process: Process) -> None:
        """A drain is about to begin."""

    def open_store(self, process: Process) -> Any:
        """Open the outbox for a process; its death closes it."""

    def run(self, process: Process, store: Any) -> AbstractContextManager[Any]:
        """Start a run; the death of its process ends it."""

    def cut_power(self) -> None:
        """A machine is started anew."""

    def trouble(self, rng: Random, again: Callable[[], object]) -> None:
        """Let something else go wrong now and then.  again: starts a drain."""

    def left(self) -> list[str]:
        """Files of runs that lie about."""

    def install(self, patch: pytest.MonkeyPatch, points: Points) -> None:
        """Let the program use this outbox."""


class Points:
    """Wraps functions of the program so that they pass points."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch

    def around(self, owner: Any, name: str, what: str, after: Callable[..., object] | None = None) -> None:
        """Pass a point before and after *name*; *after* is called with its arguments in between."""
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            process = current()
            if process is None:
                return original(*arguments, **keywords)
            process.point(f"before {what}")
            result = original(*arguments, **keywords)
            if after is not None:
                after(process, *arguments)
            process.point(f"after {what}")
            return result

        self.patch.setattr(owner, name, wrapped)

    def only_alive(self, owner: Any, name: str) -> None:
        """Keep the dead from calling *name*."""
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            process = current()
            if process is not None:
                process.check()
            return original(*arguments, **keywords)

        self.patch.setattr(owner, name, wrapped)


@contextmanager
def installed(machine: Playable) -> Iterator[pytest.MonkeyPatch]:
    """Let the program run on *machine*."""
    world, noting = machine.world, dict[Any, Any]()

    def answering(process: Process, flights: InFlight, claimed: Any, outcome: Any, at: int) -> None:
        world.say(process.name, "   notes the answer to {}", claimed.outbox_id)

    def ending(process: Process, flights: InFlight, claimed: Any, results: Any) -> None:
        world.say(process.name, "   has noted that {} may end", claimed.outbox_id)

    def answered(process: Process, record: FlightRecord, claim: int, outcome: Any, at: int) -> None:
        machine.truth.answered(noting[process, claim], outcome)

    with pytest.MonkeyPatch.context() as patch:
        points = Points(patch)
        machine.install(patch, points)
        patch.setattr(flight_record, "boot_id", machine.boot)
        patch.setattr(os, "urandom", world.rng.randbytes)
        patch.setattr(os, "getpid", lambda: 1)
        patch.setattr(withdrawing, "time", PlayedTime(world))
        _number(patch, conductor._Task)
        _number(patch, AccountRun)
        points.around(FlightRecord, "answered", "an answer is noted", answered)
        points.around(InFlight, "about_to_end", "the end is noted", ending)
        points.around(InFlight, "answered", "the answer", answering)
        _remember(patch, noting)
        points.around(runs, "_remove", "files are removed")
        points.around(InFlight, "numbers", "claims are numbered")
        points.around(InFlight, "close", "the record is closed")
        yield patch


def _remember(patch: pytest.MonkeyPatch, noting: dict[Any, Any]) -> None:
    """Keep the claimed message for the record, which knows its number alone."""
    original = InFlight.answered

    def wrapped(self: InFlight, claimed: Any, outcome: Any, at: int) -> None:
        noting[current(), claimed.claim] = claimed
        original(self, claimed, outcome, at)

    patch.setattr(InFlight, "answered", wrapped)


def _number(patch: pytest.MonkeyPatch, kind: type) -> None:
    """Let sets of these objects have the same order each time."""
    numbers = count()
    patch.setattr(kind, "__hash__", lambda self: self.__dict__.setdefault("_hash", next(numbers)))


class PlayedTime:
    """The module ``time``, for what waits."""

    CLOCK_MONOTONIC = 1

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.now

    def clock_gettime(self, clock: int) -> float:
        return self._world.now

    def sleep(self, seconds: float) -> None:
        process = current()
        if process is None:
            raise Killed
        process.sleep(seconds)


def make_template(path: Path) -> Path:
    """Make an empty outbox that is copied for each seed."""
    store = SqliteStore(path, message_id_domain=DOMAIN)
    store.close()
    return path
