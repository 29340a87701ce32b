"""A world in one thread: the time, what happens in it, and the processes that live there.

Each thread of a process is a greenlet.  It runs until it waits, or until it passes a *point*: a place where the world
outside it can change, or the process can die.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

START = 1_000_000_000
MOST_EVENTS = 60_000
MOST_TURNS = 2_000  # at one instant
DISK_DELAYS = (0.0, 0.005, 0.5, 5.0)  # so many seconds at the most until the clerk begins to write
SWITCHES = (0.0, 0.03, 0.03, 0.3)  # so likely is another thread's turn at a point


class Violation(AssertionError):
    """What must never happen has happened."""


class Killed(BaseException):
    """The process is dead: whatever it does raises this."""


class World:
    """The time, the events to come, and the trace of those that were."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.switches = self.rng.choice(SWITCHES)
        self.disk_delay = self.rng.choice(DISK_DELAYS)
        self.now = float(START)
        self.troubled = True  # afterwards everybody is honest
        self.over = False
        self.root = getcurrent()
        self.trace: list[tuple[float, str, str, tuple[Any, ...]]] = []
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._happened = self._turns = 0
        self._turned = 0.0
        self.processes: list[Process] = []

    def at(self, seconds: float, happens: Callable[[], object]) -> None:
        """Let something happen so many seconds from now."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), happens))

    def say(self, who: str, text: str, *values: Any) -> None:
        """Add a line to the trace; *text* is formatted only when somebody reads it."""
        self.trace.append((self.now, who, text, values))

    def go_on(self) -> bool:
        """Let the next event happen; False if there is none."""
        if not self._events:
            return False
        self._happened += 1
        if self._happened > MOST_EVENTS:
            raise Violation(f"it does not end: {MOST_EVENTS} events")
        self.now, _, happens = heapq.heappop(self._events)
        happens()
        return True

    def turns(self, who: str) -> None:
        """Note that a process turns round; it must not do so for ever without anything to do."""
        self._turns = self._turns + 1 if self.now == self._turned else 0
        self._turned = self.now
        if self._turns > MOST_TURNS:
            raise Violation(f"{who} spins")

    def end(self) -> None:
        """End every process."""
        self.over = True
        for process in self.processes:
            process.dispose()

    def odds(self, chance: float) -> bool:
        """Whether something happens that is so likely."""
        return self.rng.random() < chance

    def shown(self) -> str:
        """The trace, for a person."""
        return "\n".join(f"{at - START:11.4f}  {who:9} {text.format(*values)}" for at, who, text, values in self.trace)


class Death(NamedTuple):
    """Where a process is killed: at the nth passing of any point, or of those called *where*."""

    nth: int
    where: str | None = None


class Process:
    """A process of the machine.  death: where it is killed, None for nowhere."""

    def __init__(self, world: World, name: str, death: Death | None = None) -> None:
        self.world, self.name, self.death = world, name, death
        self.alive, self.over = True, False
        self.passed = 0
        world.processes.append(self)
        self.on_death: list[Callable[[], object]] = []
        self._threads: list[_Thread] = []
        self._doze = object()
        self._dozing: greenlet | None = None

    def start(self, body: Callable[[], object], after: float = 0.0) -> None:
        """Start a thread."""
        thread = _Thread(self, body)
        self._threads.append(thread)
        self._continue(thread, after)

    def _continue(self, thread: greenlet, after: float) -> None:
        self.world.at(after, lambda: thread.switch() if self.alive and not thread.dead else None)

    def ended(self, thread: _Thread) -> None:
        """Forget a thread."""
        self._threads.remove(thread)

    def sleep(self, seconds: float) -> None:
        """Let the calling thread wait."""
        self._continue(getcurrent(), seconds)
        self.world.root.switch()
        self.check()

    def suspended(self) -> Callable[[], None]:
        """Return what lets the calling thread go on after ``suspend``."""
        thread = getcurrent()
        return lambda: self._continue(thread, 0)

    def suspend(self) -> None:
        """Let the calling thread wait until it is told to go on."""
        self.world.root.switch()
        self.check()

    def doze(self, seconds: float) -> None:
        """Let the calling thread wait for ``wake``, so many seconds at most; one thread of a process does it."""
        self._dozing, self._doze = getcurrent(), object()
        doze = self._doze
        self.world.at(seconds, lambda: self.wake() if self._doze is doze else None)
        self.world.root.switch()
        self.check()

    def wake(self) -> None:
        """Let the thread that dozes go on now."""
        thread, self._dozing = self._dozing, None
        if thread is not None:
            self._continue(thread, 0)

    def check(self) -> None:
        """Raise Killed in a dead process."""
        if not self.alive:
            raise Killed

    def point(self, where: str) -> None:
        """Pass a point: here the process may die, or others may go on first."""
        self.check()
        death = self.death
        self.passed += death is not None and death.where in (None, where)
        if death is not None and self.passed == death.nth:
            self.world.say(self.name, "KILLED {}", where)
            self._die()
            raise Killed
        if getcurrent() is not self.world.root and self.world.odds(self.world.switches):
            self.sleep(self.world.rng.choice((0.0, 0.001, 0.02, 0.5)))

    def kill(self, how: str = "KILLED") -> None:
        """End the process at once."""
        if self.alive and not self.over:
            self.world.say(self.name, how)
            self._die()
            self._bury()

    def dispose(self) -> None:
        """End it at the world's end: no thread may be left that a garbage collection would wake."""
        self.alive = False
        self._bury()

    def _die(self) -> None:
        self.alive = False
        self.world.at(0, self._bury)

    def _bury(self) -> None:
        """Unwind its threads, none of which can do anything, and release what the kernel releases."""
        for thread in list(self._threads):
            if thread and thread is not getcurrent():  # one that has begun
                thread.throw(Killed())
        dying, self.on_death = self.on_death, []
        for release in dying:
            release()


class _Thread(greenlet):
    """A thread of a process."""

    def __init__(self, process: Process, body: Callable[[], object]) -> None:
        super().__init__(self._run, process.world.root)
        self.process, self._body = process, body

    def _run(self) -> None:
        try:
            self._body()
        except Killed:
            if self.process.alive:
                raise
        finally:
            self.process.ended(self)


def current() -> Process | None:
    """The process that is running, None for the world outside."""
    thread = getcurrent()
    return thread.process if isinstance(thread, _Thread) else None


class TurnLock:
    """A lock between the threads of a process."""

    def __init__(self) -> None:
        self._held = False
        self._waiting: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        while self._held:
            process = current()
            assert process is not None
            self._waiting.append(process.suspended())
            process.suspend()
        self._held = True

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take it, if it is free or *blocking*."""
        if self._held and not blocking:
            return False
        self.__enter__()
        return True

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give it to the thread that has waited longest."""
        self._held = False
        if self._waiting:
            self._waiting.pop(0)()
