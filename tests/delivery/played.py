"""A whole run without threads, sockets or a clock: events in the order of a scripted time."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from prx_email_cli.config.settings import Settings, check_settings
from prx_email_cli.delivery.office import Done
from prx_email_cli.delivery.report import DrainReport
from prx_email_cli.delivery.run import DeliveringRun, DrainOptions, Environment
from prx_email_cli.delivery.wires import LOOK_SECONDS
from prx_email_cli.delivery.worker import NotOpened, Opened
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox import lifecycle
from prx_email_cli.outbox.lifecycle import Outcome, RecipientStatus
from prx_email_cli.outbox.messages import Claimed, Target
from prx_email_cli.outbox.store import Store
from prx_email_cli.smtp.envelope import Envelope, Fate, RecipientResult, Result
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.replies import Category, Scope, Trouble
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.steps import Patience
from prx_email_cli.smtp.transaction import Transaction

from ..smtp.courier import message_to

START = 1_000_000_000


def accepted(claimed: Claimed) -> Outcome:
    """Everybody has it."""
    results = {target.number: lifecycle.RecipientResult(RecipientStatus.ACCEPTED, 250) for target in claimed.targets}
    return Outcome(results, acceptance="2.0.0 kept")


def deferred(claimed: Claimed) -> Outcome:
    """Nobody has it yet."""
    results = {
        target.number: lifecycle.RecipientResult(RecipientStatus.PENDING, 451, "451 busy") for target in claimed.targets
    }
    return Outcome(results, error="provider", detail="451 busy")


LOGIN_REFUSED = Outcome({}, error="auth", detail="535 no", code=535, scope=lifecycle.Scope.ACCOUNT)


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


_FATES = {RecipientStatus.ACCEPTED: Fate.ACCEPTED, RecipientStatus.PENDING: Fate.DEFERRED,
          RecipientStatus.REFUSED: Fate.REFUSED}  # fmt: skip


class _PlayedSession:
    """A session whose server is a script.  left: so many messages it still takes."""

    profile, patience, afterthought = ServerProfile(), Patience(60, 60), None

    def __init__(self, account: str, server: Server) -> None:
        self.account, self.server, self.left, self.alive = account, server, server.messages_per_connection, True

    def start(self, transaction: Transaction, following: Any) -> None:
        self.transaction, self.following = transaction, following

    def usable(self) -> bool:
        return self.left > 0

    def abandon(self) -> None:
        self.alive = False


class PlayedWires:
    """Connections that are scripts, and a clerk whose steps are events."""

    def __init__(self, run: PlayedRun) -> None:
        self._run, self._world = run, run.world
        self._step_is_near = False

    def __enter__(self) -> PlayedWires:
        return self

    def __exit__(self, *_: object) -> None:
        assert not self._run.ledger.waits

    def ticks(self) -> float:
        return self._world.now

    def open(self, account: str, opened: Callable[[Any], None]) -> None:
        server = self._run.servers[account]
        self._run.logins.append(account)
        answer = server.opens()
        came: Any = answer if isinstance(answer, PrxEmailError) else _PlayedSession(account, server)
        if isinstance(answer, NotOpened):
            came = SessionFailed(Category(answer.outcome.error or ""), answer.outcome.detail or "", hint="")
        self._world.at(server.seconds_to_open, lambda: opened(came))

    def carry_out(self, session: Any, done: Callable[[Any], None]) -> None:
        def over() -> None:
            taken = _claimed(session.transaction._envelope)
            outcome = session.server.takes(taken)
            if outcome is None and session.following is not None:
                session.following()  # the content was about to end, and its connection was lost before any of it left
            if outcome is not None:
                session.left -= 1
                self._run.taken.append((self._world.now - START, taken.outbox_id))
            done(Done(_result(outcome), session.usable()))

        self._world.at(session.server.seconds_to_take, over)

    def hang_up(self, session: Any, hung_up: Callable[[], None]) -> None:
        self._run.hung_up.append((self._world.now - START, session.account))
        self._world.at(0.1, hung_up)

    def listen(self, descriptor: int | None, stirred: Callable[[], None]) -> None:
        assert descriptor is None

    def turn(self, until: float) -> None:
        """Let the clerk write soon, and the next event happen."""
        if self._run.ledger.waits and not self._step_is_near:
            self._step_is_near = True
            self._world.at(0.001, self._step)
        self._run.note_stop()
        self._world.go_on(max(0, min(until - self._world.now, LOOK_SECONDS)))

    def _step(self) -> None:
        self._step_is_near = False
        self._run.ledger.step()


def _claimed(envelope: Envelope) -> Claimed:
    """The message that has this envelope, as far as a script wants to know it."""
    number = re.match(r"<outbox-(\d+)-", envelope.message_id)
    assert number
    targets = [Target(one.number, one.address, RecipientStatus.PENDING) for one in envelope.recipients]
    return message_to()._replace(outbox_id=int(number[1]), targets=targets)


def _result(outcome: Outcome | None) -> Result:
    if outcome is None:
        return Result({}, left_alone=True)
    trouble = None
    if outcome.error is not None:
        scope = Scope(outcome.scope)
        trouble = Trouble(Category(outcome.error), scope, permanent=False, text=outcome.detail or "")
    recipients = {number: RecipientResult(_FATES[one.status], one.code, one.response or "")
                  for number, one in outcome.recipients.items()}  # fmt: skip
    return Result(recipients, trouble, outcome.acceptance)


class PlayedRun(DeliveringRun):
    """A run whose threads are events.

    taken, hung_up: when each message was answered, and each account's connection closed, in seconds.  logins: in order.
    """

    world: World
    servers: dict[str, Server]
    taken: list[tuple[float, int]]
    hung_up: list[tuple[float, str]]
    logins: list[str]

    def _wires(self) -> Any:
        return PlayedWires(self)


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
        run.world, run.servers, run.taken, run.hung_up, run.logins = world, servers, [], [], []
        yield run


def drain(
    store: Store, servers: dict[str, Server], connections: int = 1, **options: Any
) -> tuple[PlayedRun, DrainReport]:
    """Play one drain; the run and its report."""
    with played(store, servers, World(), connections) as run:
        return run, run.drain(DrainOptions(**options))
