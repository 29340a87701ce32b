"""Drive the connections of a run from one thread, beside a thread for the outbox's clerk and one for each opening."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prx_email_cli.delivery.office import Done
from prx_email_cli.smtp.pipeline import Waiting
from prx_email_cli.smtp.session import Closed, Ended, Session

if TYPE_CHECKING:
    from prx_email_cli.delivery.ledger import Ledger

GATHER_SECONDS = 0.005  # so long the clerk gathers what nobody waits for: a step costs a sync
LOOK_SECONDS = 0.25  # so late may a time limit, or a stop, be noticed


class Carried:
    """A session that goes on when what it *waits* for has come.  descriptor: its number while it waits, else -1."""

    def __init__(self, session: Session, done: Callable[[Ended | Closed | BaseException], None]) -> None:
        self.session, self.done = session, done
        self.waits, self.descriptor = Waiting(read=False, write=False, until=0.0), -1


class SessionWires:
    """Sessions that go on as far as they can without waiting, whoever waits for them; see ``Wires``."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()

    def ticks(self) -> float:
        """Return seconds that never go back."""
        raise NotImplementedError

    def _wait(self, carried: Carried) -> None:
        """Have ``_go_on`` called when what it ``waits`` for has come."""
        raise NotImplementedError

    def _forget(self, carried: Carried) -> None:
        """Wait for nothing more of it."""
        raise NotImplementedError

    def carry_out(self, session: Session, done: Callable[[Done | BaseException], None]) -> None:
        """See ``Wires``."""

        def ended(event: Ended | Closed | BaseException) -> None:
            if isinstance(event, Ended):
                done(Done(event.result, session.usable()))
            elif isinstance(event, BaseException):
                done(event)

        self._go_on(Carried(session, ended))

    def hang_up(self, session: Session, hung_up: Callable[[], None]) -> None:
        """See ``Wires``."""
        if not session.alive:
            session.close()
            self._calls.append(hung_up)
            return
        session.say_goodbye()
        self._go_on(Carried(session, lambda event: hung_up()))

    def _go_on(self, carried: Carried) -> None:
        try:
            event: Waiting | Ended | Closed | BaseException = carried.session.go_on(self.ticks())
        except Exception as error:  # noqa: BLE001 - the message's outcome says so
            event = error
        if isinstance(event, Waiting):
            carried.waits = event
            self._wait(carried)
            return
        self._forget(carried)
        self._calls.append(partial(carried.done, event))  # called later: many may end one after the other

    def _call_back(self) -> None:
        """Make the calls that are due, but for those that they bring about."""
        for _ in range(len(self._calls)):
            self._calls.popleft()()


class RealWires(SessionWires):
    """Connections over sockets.

    sessions: opens one for an account and logs in; it may take as long as it likes.  awake: called after each wait,
    before anything is done.
    """

    def __init__(self, sessions: Callable[[str], Session], ledger: Ledger, awake: Callable[[], None]) -> None:
        super().__init__()
        self._sessions, self._ledger, self._awake = sessions, ledger, awake
        self._poll = select.poll()
        self._carried: dict[int, Carried] = {}
        self._listened: dict[int, Callable[[], None]] = {}
        self._looked = 0.0
        # Sockets: unlike a descriptor, a closed one that a late thread still knows is never another file's.
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003 - the library's own
        self._poll.register(self._reader, select.POLLIN)
        self._work, self._hurry, self._over = threading.Event(), threading.Event(), False
        self._clerk = threading.Thread(target=self._write, name="clerk", daemon=True)
        self._clerk.start()

    def ticks(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def __enter__(self) -> RealWires:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the clerk's thread, once it has written what waits."""
        self._over = True
        self._work.set()
        self._hurry.set()
        self._clerk.join()
        self._reader.close()
        self._writer.close()

    def open(self, account: str, opened: Callable[[Session | BaseException], None]) -> None:
        """See ``Wires``.  The thread is no executor's, which would keep an interrupted process from ending."""

        self.aside(lambda: self._sessions(account), opened)

    def aside(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """See ``Wires``."""

        def beside() -> None:
            try:
                came = work()
            except BaseException as error:  # noqa: BLE001 - the thread that conducts is told
                came = error
            self._call(partial(done, came))

        threading.Thread(target=beside, name="aside", daemon=True).start()

    def listen(self, descriptor: int | None, stirred: Callable[[], None]) -> None:
        """Call *stirred* whenever *descriptor* can be read; None for nothing to listen to."""
        if descriptor is not None:
            self._poll.register(descriptor, select.POLLIN)
            self._listened[descriptor] = stirred

    def turn(self, until: float) -> None:
        """Do what has come; wait for it if nothing has, *until* that time in ticks or for LOOK_SECONDS."""
        if self._ledger.waits:
            self._work.set()
            if self._ledger.urgent:
                self._hurry.set()
        timeout = 0 if self._calls else max(0.0, min(until - self.ticks(), LOOK_SECONDS))
        came, woken = self._poll.poll(timeout * 1000), self._reader.fileno()
        self._awake()
        for descriptor, _ in came:
            if descriptor == woken:
                with suppress(BlockingIOError):
                    self._reader.recv(4096)
            elif descriptor in self._listened:
                self._listened[descriptor]()
            elif (carried := self._carried.get(descriptor)) is not None:
                self._go_on(carried)
        self._call_back()
        if (now := self.ticks()) - self._looked >= LOOK_SECONDS:
            self._looked = now
            for carried in [one for one in self._carried.values() if one.waits.until <= now]:
                self._go_on(carried)

    def _wait(self, carried: Carried) -> None:
        carried.descriptor, waits = carried.session.fileno(), carried.waits
        self._poll.register(carried.descriptor, select.POLLIN * waits.read | select.POLLOUT * waits.write)
        self._carried[carried.descriptor] = carried

    def _forget(self, carried: Carried) -> None:
        if carried.descriptor >= 0:  # by now the session may have none any more
            del self._carried[carried.descriptor]
            self._poll.unregister(carried.descriptor)

    def _call(self, what: Callable[[], None]) -> None:
        """Have the thread that conducts call *what*."""
        self._calls.append(what)
        with suppress(OSError):  # full: it will wake; closed: it has given up waiting
            self._writer.send(b"!")

    def _write(self) -> None:
        """Be the clerk."""
        while True:
            self._work.wait()
            self._work.clear()
            if not self._ledger.urgent:
                self._hurry.wait(GATHER_SECONDS)
            self._hurry.clear()
            if self._ledger.step():
                self._call(_nothing)
            if self._over:
                return


def _nothing() -> None:
    """Only wake the thread that conducts."""
