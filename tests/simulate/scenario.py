"""One seed: who sends what over which servers, who dies when, and whether everything is in order at the end."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from prx_email_cli.cli.following import _UntilReplaced
from prx_email_cli.config.settings import Settings, check_settings
from prx_email_cli.delivery.run import DrainOptions, Environment
from prx_email_cli.delivery.wires import LOOK_SECONDS
from prx_email_cli.errors import PrxEmailError, StorageError

from .machine import Machine, Playable, installed, make_template
from .people import People
from .server import Manners, Server
from .truth import Row
from .wires import PlayedRun
from .world import Death, Process, Violation, World

SQLITE, POSTGRESQL = "sqlite", "postgresql"
Fault = Callable[[pytest.MonkeyPatch], object]
_LAST_ROUNDS = 30


class Account(NamedTuple):
    """An account, and the server behind it."""

    connections: int
    per_minute: int | None
    per_connection: int | None
    manners: Manners


class Plan(NamedTuple):
    """What a seed is about."""

    accounts: dict[str, Account]
    settings: Settings
    expiring: bool
    persons: bool


class _Asked(NamedTuple):
    """What a drain was asked for.  follow_until: None for one that does not follow."""

    stop: threading.Event
    limit: int | None
    follow_until: float | None
    interrupt_at: float | None


class Failure(NamedTuple):
    """A seed that failed: what was wrong, and all that had happened."""

    seed: int
    why: str
    trace: str
    database: str

    def __str__(self) -> str:
        more = "" if self.database == SQLITE else f" DATABASE={self.database}"
        return f"{self.trace}\nseed {self.seed}: {self.why}\nplay it again: make simulate SEED={self.seed}{more}"


def play(seed: int, fault: Fault | None = None, database: str = SQLITE) -> Failure | None:
    """Play one seed; None when all was well.

    fault: changes the program on purpose.  database: SQLITE, or POSTGRESQL: then there are several machines.
    """
    world = World(seed)
    with _home() as home:
        machine = _machine(world, home, database)
        with installed(machine) as patch:
            if fault is not None:
                fault(patch)
            try:
                _Scenario(world, machine).play()
            except Exception as error:
                kind = "" if isinstance(error, Violation) else f"{type(error).__name__}: "
                return Failure(seed, f"{kind}{error}", world.shown(), database)
            finally:
                world.end()
                machine.close()
    return None


def trace_of(seed: int, database: str = SQLITE) -> str:
    """What happens in a seed that may be in order."""
    world = World(seed)
    with _home() as home:
        machine = _machine(world, home, database)
        with installed(machine):
            _Scenario(world, machine).play()
            world.end()
            machine.close()
    return world.shown()


def _machine(world: World, home: Path, database: str) -> Playable:
    if database == SQLITE:
        return Machine(world, home, _template())
    from .machines import Machines  # on use: PostgreSQL

    return Machines(world, home)


_MEMORY = Path("/dev/shm")


@contextmanager
def _home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="simulated-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield home
    finally:
        shutil.rmtree(home)


@cache
def _template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="template-")) / "outbox.db"
    return make_template(path)


class _Scenario:
    """A played seed."""

    def __init__(self, world: World, machine: Playable) -> None:
        self.world, self.machine, self.truth = world, machine, machine.truth
        self.plan = _plan(world.rng)
        self.servers = {
            name: Server(world, self.truth, name, account.manners) for name, account in self.plan.accounts.items()
        }
        self.people = People(world, machine, self.plan)

    def play(self) -> None:
        """Let things go wrong for a while, then let everything be delivered."""
        for name, account in self.plan.accounts.items():
            self.world.say("world", "account {}: {}", name, account)
        rng = self.world.rng
        for _ in range(rng.choice((1, 1, 2, 3))):
            self._wave(rng)
            while self.world.go_on():
                pass
            self.world.now += rng.choice((0, 1, 10, 60, 3600))
        self._peace()
        self.truth.check_limits(self.plan.accounts)

    def _wave(self, rng: Random) -> None:
        for _ in range(rng.randint(1, 8) if self.truth.sent else rng.randint(2, 12)):
            self.people.send(rng, 0.0 if rng.random() < 0.8 else rng.random() * 20)
        for _ in range(rng.choice((1, 1, 2, 3))):
            self._start(rng, 0.0 if rng.random() < 0.5 else rng.random() * 10, self._death(rng))
        if rng.random() < 0.2:
            self.world.at(rng.random() * rng.choice((1, 10, 100)), self._cut_power)
        self.machine.trouble(rng, lambda: self._start(self.world.rng, 0.1))
        for _ in range(rng.choice((1, 2, 5)) if self.plan.persons else 0):
            self.people.decide(rng, rng.random() * 20)

    def _live(self, process: Process, body: Callable[[], None], after: float) -> None:

        def live() -> None:
            try:
                body()
            except PrxEmailError as error:
                self.world.say(process.name, "fails: {}", error.message)
            except KeyboardInterrupt:
                self.world.say(process.name, "ends, interrupted")
            process.over = True

        process.start(live, after)

    def _start(self, rng: Random, after: float, death: Death | None = None) -> Process:
        """Start a drain."""
        process = Process(self.world, f"P{sum(one.name[0] == 'P' for one in self.world.processes) + 1}", death)
        stop, limit = threading.Event(), rng.choice((None, None, None, 1, 4)) if self.world.troubled else None
        interrupt_at = None
        follow_until = rng.random() * 100 if self.world.troubled and rng.random() < 0.15 else None
        if self.world.troubled and rng.random() < 0.1:
            self.world.at(after + rng.random() * 5, lambda: self._stop(process, stop))
            if rng.random() < 0.5:
                interrupt_at = self.world.now + after + rng.random() * 20

        self.machine.begins(process)
        asked = _Asked(stop, limit, follow_until, interrupt_at)

        def drain() -> None:
            self.world.say(
                process.name,
                "drain begins{}{}",
                "" if limit is None else f" --limit {limit}",
                "" if follow_until is None else " --follow",
            )
            if follow_until is not None:
                self.world.at(follow_until, lambda: self._stop(process, stop))
            self._deliver(process, self.machine.open_store(process), asked)

        self._live(process, drain, after)
        return process

    def _deliver(self, process: Process, store: Any, asked: _Asked) -> None:
        """Be a drain, or a follower, which begins anew with a new session once it has lost one."""
        while True:
            try:
                with self.machine.run(process, store) as claims:
                    self._run(process, store, claims, asked)
            except StorageError as error:
                self.world.say(process.name, "breaks off: {}", error.message)
                if asked.follow_until is None or not store.cut_off():
                    return
            again = asked.follow_until is not None and not asked.stop.is_set() and store.cut_off()
            store.close()
            while again and (found := self._reopened(process)) is None:
                again = not asked.stop.is_set()
            if not again:
                return
            store = found

    def _reopened(self, process: Process) -> Any:
        process.sleep(1)
        try:
            return self.machine.open_store(process)
        except StorageError:
            return None

    def _run(self, process: Process, store: Any, claims: Any, asked: _Asked) -> None:
        stop, limit, follow = asked.stop, asked.limit, asked.follow_until is not None
        around = Environment(
            lambda: int(self.world.now), lambda: self.world.now, _UntilReplaced(stop, store) if follow else stop
        )
        run = PlayedRun(store, self.plan.settings, claims, around)
        run.process, run.servers = process, self.servers
        if self.plan.persons:
            run.look_seconds = LOOK_SECONDS
        if asked.interrupt_at is not None:
            run.interrupt_at = asked.interrupt_at
        well, waiting, runs = False, self._waiting(), len(self.truth.owners)
        try:
            report = run.follow(DrainOptions(), lambda done: None) if follow else run.drain(DrainOptions(limit=limit))
            well = not store.cut_off()
        except KeyboardInterrupt:
            well = True
            raise
        finally:
            if process.alive:
                self.truth.run_over(claims.run_id, well=well)
        self.world.say(process.name, "drain ends: {} attempted, {} sent", report.attempted, report.sent)
        alone = runs == len(self.truth.owners)
        if alone and limit is None and not follow and not stop.is_set() and self.machine.undisturbed:
            self.truth.check_served(waiting)
        if limit is not None and not follow and report.attempted > limit:
            raise Violation(f"--limit {limit}, and {report.attempted} were attempted")

    def _waiting(self) -> list[Row]:
        """The due messages of accounts whose servers are honest: a drain that is alone attempts each of them.

        Empty unless it is.
        """
        honest = [name for name, one in self.plan.accounts.items() if one.manners.honest and one.per_minute is None]
        now = int(self.world.now)
        if self.plan.persons or sum(one.alive and not one.over for one in self.truth.owners.values()) > 1:
            return []
        return [row for row in self.truth.rows.values()
                if self.truth.sent[row.outbox_id].account in honest and row.status in ("pending", "failed")
                and (row.gave_up, row.expires_at) == (None, None) and row.next_attempt_at <= now]  # fmt: skip

    def _stop(self, process: Process, stop: threading.Event) -> None:
        self.world.say(process.name, "is asked to stop")
        stop.set()
        process.wake()

    def _cut_power(self) -> None:
        self.world.say("world", "POWER CUT")
        self.machine.cut_power()

    def _peace(self) -> None:
        """Let everybody be honest, and drain until nothing is left."""
        self.world.say("world", "from now on all goes well")
        self.world.troubled = False
        self.people.release_all()
        while self.world.go_on():
            pass
        for number in range(_LAST_ROUNDS):
            self._start(self.world.rng, 0)
            while self.world.go_on():
                pass
            if number + 1 >= self.machine.rounds:
                self._check_owners()
                if self._next_due() is None:
                    break
            self.world.now = max(self.world.now + 60, float(self._next_due() or 0))
        self.truth.everything_is_over()
        left = self.machine.left()
        if left:
            raise Violation(f"files of runs are left: {left}")

    def _death(self, rng: Random) -> Death | None:
        """Choose where a drain is killed, if it is."""
        if rng.random() < 0.35:
            return None
        if rng.random() < 0.3:
            return Death(rng.randint(1, rng.choice((30, 150, 500))))
        return Death(rng.randint(1, 5), rng.choice(self.machine.deaths))

    def _next_due(self) -> int | None:
        dues = [row.next_attempt_at for row in self.truth.rows.values()
                if row.status in ("pending", "failed") and row.gave_up is None]  # fmt: skip
        return min(dues, default=None)

    def _check_owners(self) -> None:
        """After a drain in order, no dead run holds anything."""
        left = [row.outbox_id for row in self.truth.rows.values() if row.status == "sending"]
        if left:
            raise Violation(f"nobody recovers {left}")


def _plan(rng: Random) -> Plan:
    accounts = {}
    for name in "abc"[: rng.randint(1, 3)]:
        manners = Manners(
            pipelining=rng.random() < 0.7,
            trouble=0.0 if rng.random() < 0.3 else rng.choice((0.02, 0.1, 0.25)),
            slowness=rng.choice((0.001, 0.1, 2.0)),
        )
        per_minute = rng.choice((1, 3)) if rng.random() < 0.15 else None
        per_connection = rng.choice((1, 2, 3)) if rng.random() < 0.2 else None
        accounts[name] = Account(rng.randint(1, 3), per_minute, per_connection, manners)
    return Plan(
        accounts, _settings(accounts, claim_ahead=rng.choice((1, 2, 4, 32))), rng.random() < 0.15, rng.random() < 0.2
    )


def _settings(accounts: dict[str, Account], claim_ahead: int) -> Settings:
    table: dict[str, Any] = {}
    for name, account in accounts.items():
        smtp: dict[str, Any] = {"host": "localhost", "connections": account.connections}
        if account.per_minute is not None:
            smtp["messages_per_minute"] = account.per_minute
        if account.per_connection is not None:
            smtp["messages_per_connection"] = account.per_connection
        table[name] = {"from": f"{name}@example.com", "smtp": smtp}
    return check_settings({"outbox": {"claim_ahead": claim_ahead}, "accounts": table}, Path("/nowhere/config.toml"))
