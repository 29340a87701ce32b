"""A whole run without threads, sockets or a clock: events in the order of a scripted time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from prx_email_cli.config.settings import Settings, check_settings
from prx_email_cli.delivery.hands import Hands
from prx_email_cli.delivery.report import DrainReport
from prx_email_cli.delivery.run import DeliveringRun, DrainOptions, Environment
from prx_email_cli.delivery.worker import Ask, Delivered, NotOpened, Opened, Untouched
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Scope
from prx_email_cli.outbox.messages import Claimed
from prx_email_cli.outbox.store import Store

START = 1_000_000_000


def accepted(claimed: Claimed) -> Outcome:
    """Everybody has it."""
    results = {target.number: RecipientResult(RecipientStatus.ACCEPTED, 250) for target in claimed.targets}
    return Outcome(results, acceptance="2.0.0 kept")


def deferred(claimed: Claimed) -> Outcome:
    """Nobody has it yet."""
    results = {target.number: RecipientResult(RecipientStatus.PENDING, 451, "451 busy") for target in claimed.targets}
    return Outcome(results, error="provider", detail="451 busy")


LOGIN_REFUSED = Outcome({}, error="auth", detail="535 no", code=535, scope=Scope.ACCOUNT)


class Server(NamedTuple):
    """How an account's server behaves.  opens, takes: what comes of opening a connection, and of one message; seconds:
    how long each of them lasts.
    """

    takes: Callable[[Claimed], Outcome | None] = accepted
    opens: Callable[[], Opened | NotOpened | PrxEmailError] = Opened
    seconds_to_open: float = 0.1
    seconds_to_take: float = 0.1
    messages_per_connection: int = 1000


class World:
    """The time, and what happens in it."""

    def __init__(self) -> None:
        self.now = float(START)
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def at(self, seconds: float, happens: Callable[[], object]) -> None:
        """Let something happen so many seconds from now."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), happens))

    def go_on(self, patience: float | None) -> None:
        """Let the next event happen, if it comes within *patience* seconds; the time goes on until then."""
        until = float("inf") if patience is None else self.now + patience
        if self._events and self._events[0][0] <= until:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
            return
        assert patience is not None, "a run waits for what never happens"
        self.now = until


class _PlayedHands(Hands):
    """Hands whose connections are a script."""

    def __init__(self, run: PlayedRun, account: str) -> None:
        super().__init__(run, account)
        self._server = run.servers[account]
        self._played, self._left = run, 0
        self.seconds = 0.0

    def carry_out(self, ask: Ask) -> Any:
        """The answer, and in ``seconds`` when it comes."""
        self.seconds = 0.0
        return super().carry_out(ask)

    def _open(self) -> Opened | NotOpened | PrxEmailError:
        self.seconds, self._left = self._server.seconds_to_open, self._server.messages_per_connection
        self._played.logins.append(self._account)
        return self._server.opens()

    def _deliver(self, claimed: Claimed, *, again: bool) -> Delivered | Untouched:
        self.seconds = self._server.seconds_to_take
        outcome = self._server.takes(claimed)
        if outcome is None:
            return Untouched()
        self._left -= 1
        self._played.taken.append((self._played.world.now + self.seconds - START, claimed.outbox_id))
        return Delivered(outcome, usable=self._left > 0)


class PlayedRun(DeliveringRun):
    """A run whose threads are events.  taken: when each message was answered, in seconds; logins: in order."""

    world: World
    servers: dict[str, Server]
    taken: list[tuple[float, int]]
    logins: list[str]

    def _conduct(self, over: Callable[[], bool], patience: float | None = None) -> None:
        while True:
            for name in self._openings():
                self._play(name, self._worker(name), self._hands(name), None)
            if over():
                return
            self.world.go_on(patience)

    def _hands(self, name: str) -> _PlayedHands:
        return _PlayedHands(self, name)

    def _play(self, name: str, steps: Any, hands: _PlayedHands, answer: Any) -> None:
        ask = self._step(steps, answer)
        if ask is None:
            self._ended(name)
            return
        following = hands.carry_out(ask)
        self.world.at(hands.seconds, lambda: self._play(name, steps, hands, following))


def settings_for(names: list[str], connections: int = 1, **smtp: int) -> Settings:
    """The config of accounts whose servers are played."""
    table = {"host": "localhost", "connections": connections, **smtp}
    accounts = {name: {"from": f"{name}@example.com", "smtp": table} for name in names}
    return check_settings({"accounts": accounts}, Path("/nowhere/config.toml"))


@contextmanager
def played(
    store: Store, servers: dict[str, Server], world: World, connections: int = 1, **smtp: int
) -> Iterator[PlayedRun]:
    """A run over *store* that is about to be played."""
    with store.start_run(START) as claims:
        settings = settings_for(list(servers), connections, **smtp)
        run = PlayedRun(store, settings, claims, Environment(lambda: int(world.now), lambda: world.now))
        run.world, run.servers, run.taken, run.logins = world, servers, [], []
        yield run


def drain(
    store: Store, servers: dict[str, Server], connections: int = 1, **options: Any
) -> tuple[PlayedRun, DrainReport]:
    """Play one drain; the run and its report."""
    with played(store, servers, World(), connections) as run:
        return run, run.drain(DrainOptions(**options))
