"""A run of the program on played connections, with a clerk whose steps are events."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from prx_email_cli.delivery.run import DeliveringRun
from prx_email_cli.delivery.wires import Carried, SessionWires
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.replies import Category
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.session import Session

from .network import Link, PlayedChannel, PlayedWire, Weather
from .server import Server
from .world import Process, World

LOOK_SECONDS = 20.0  # later than the program's: there each look costs time that is not there


class PlayedWires(SessionWires):
    """See ``conductor.Wires``."""

    def __init__(self, run: PlayedRun) -> None:
        super().__init__()
        self._run, self._process, self._world = run, run.process, run.process.world
        self._carried: list[Carried] = []
        self._links: dict[Session, Link] = {}
        self._writing = False
        self._opened = 0

    def __enter__(self) -> PlayedWires:
        return self

    def __exit__(self, *_: object) -> None:
        while self._process.alive and (self._run.ledger.waits or self._writing):
            self._have_written()
            self._process.sleep(0.01)

    def ticks(self) -> float:
        """The time, which never goes back."""
        return self._world.now

    def open(self, account: str, opened: Callable[[Any], None]) -> None:
        """See ``Wires``."""

        def work() -> None:
            self._process.sleep(self._world.rng.random() * 0.2)
            came = self._connect(self._run.servers[account])
            self._call(partial(opened, came))

        self._process.start(work)

    def aside(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """See ``Wires``."""

        def beside() -> None:
            try:
                came = work()
            except Exception as error:
                came = error
            self._call(partial(done, came))

        self._process.start(beside)

    def _connect(self, server: Server) -> Session | SessionFailed:
        world, self._opened = self._world, self._opened + 1
        who = f"{self._process.name}.{server.name}{self._opened}"
        if server.odd():
            self._process.sleep(world.rng.choice((0.1, 60.0)))
            world.say(who, "cannot be opened")
            return SessionFailed(Category.NETWORK, "no connection", hint="")
        link = Link(world, self._run.weather(server), self._process.wake, who)
        world.say(who, "is open")
        self._process.on_death.append(link.close)
        profile = ServerProfile()
        profile.extensions = {"pipelining": ""} if server.manners.pipelining else {}
        server.talk(link)
        settings = self._run.settings.account(server.name)
        channel = PlayedChannel(link, world, encrypted=world.odds(0.3))
        wire: Any = PlayedWire(channel, profile, settings.smtp.timeout_seconds)
        session = Session(wire, settings)
        self._links[session] = link
        return session

    def listen(self, descriptor: int | None, stirred: Callable[[], None]) -> None:
        """A follower looks by the clock."""

    def turn(self, until: float) -> None:
        """Do what has come; wait for it if nothing has."""
        now = self._world.now
        if self._run.ledger.waits:
            self._have_written()
        ready = any(map(self._ready, self._carried))
        if not self._calls and not ready:
            times = (until, now + self._run.look_seconds, *(one.waits.until for one in self._carried))
            self._process.doze(max(0.0, min(times) - now))
        self._world.turns(self._process.name)
        self._run.note_stop()
        if self._run.interrupted():
            raise KeyboardInterrupt
        self._call_back()
        able = [one for one in self._carried if self._ready(one)]
        self._world.rng.shuffle(able)
        for carried in able:
            if carried in self._carried:
                self._go_on(carried)

    def _wait(self, carried: Carried) -> None:
        if carried not in self._carried:
            self._carried.append(carried)

    def _forget(self, carried: Carried) -> None:
        if carried in self._carried:
            self._carried.remove(carried)

    def _ready(self, carried: Carried) -> bool:
        """Whether it can go on."""
        waits, link = carried.waits, self._links[carried.session]
        return (waits.read and link.readable) or (waits.write and link.writable) or waits.until <= self._world.now

    def _call(self, what: Callable[[], None]) -> None:
        self._calls.append(what)
        self._process.wake()

    def _have_written(self) -> None:
        """Let the clerk write soon."""
        if not self._writing:
            self._writing = True
            self._process.start(self._write, self._world.rng.random() * self._world.disk_delay)

    def _write(self) -> None:
        try:
            self._run.ledger.step()
        finally:
            self._writing = False
            if self._process.alive:
                self._process.wake()


class PlayedRun(DeliveringRun):
    """A run whose connections are played."""

    process: Process
    servers: dict[str, Server]
    look_seconds = LOOK_SECONDS
    interrupt_at = math.inf

    def _wires(self) -> Any:
        return PlayedWires(self)

    def break_off(self, error: BaseException) -> None:
        """See ``Office``; the dead stop nothing."""
        self.process.check()
        super().break_off(error)

    def interrupted(self) -> bool:
        """Whether somebody presses Ctrl-C now."""
        if self.process.world.now < self.interrupt_at:
            return False
        self.interrupt_at = math.inf
        self.process.world.say(self.process.name, "INTERRUPTED")
        return True

    def weather(self, server: Server) -> Weather:
        """How a new connection is."""
        return weather_of(self.process.world, server)


def weather_of(world: World, server: Server) -> Weather:
    """Choose how a connection to *server* is."""
    rng = world.rng
    latency, cuts = rng.choice((0.001, 0.05, 1.0)), rng.choice((0.0, 0.3, 1.0))
    room = rng.choice((7, 300, 64 * 1024, 64 * 1024, 64 * 1024))
    if not server.odd(3):
        return Weather(latency, cuts, room)
    up, down = rng.choice(((rng.randrange(1, 900), None), (None, rng.randrange(1, 300))))
    return Weather(latency, cuts, room, up, down, rng.random() < 0.3)
