"""A real PostgreSQL server whose sessions one thread uses in turn, and which can be lost at every statement.

What is real is the database: its transactions, locks and SKIP LOCKED.  A statement that waits for another session's
lock lets its process wait in played time; whatever goes on once a lock is free has come to its end, or waits again,
before anything else happens, so that all has one order.  Deadlocks and lock timeouts, whose clocks would be real ones,
are found here.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, NamedTuple

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus
from psycopg.waiting import Ready

from .world import Process, World, current

LOCK_SECONDS = 5.0
NOTICED_SECONDS = 60.0  # so long at most a server takes a client for alive whose connection is cut
_LOOK_SECONDS = 0.05
_LOOKS_MS = (2, 5, 10, 20, 50)  # between two, whether a statement waits for a lock
_PATIENCE_SECONDS = 60.0  # real ones, on a busy machine


class Cut(NamedTuple):
    """Where a process loses its session: at the nth passing of this point.

    lingers: so many seconds the server takes the client for alive; None if it was the server that ended the session.
    """

    nth: int
    where: str
    lingers: float | None


class PlayedServer:
    """The server.  committed: called after each commit, with the process that has made it."""

    def __init__(self, world: World, url: str, committed: Callable[[Process], object]) -> None:
        self.world, self.committed = world, committed
        self.observer = psycopg.connect(url, autocommit=True)
        self.sessions: dict[PlayedSession, Process | None] = {}
        self.on_end: dict[PlayedSession, list[Callable[[], object]]] = {}
        self.opening: Process | None = None  # whose store is being opened by nobody's thread
        self.down_until = 0.0
        self._began: list[PlayedSession] = []
        self._cuts: dict[Process, list[Cut]] = {}
        self._passed: dict[tuple[Process, str], int] = {}
        self._waiting: list[PlayedSession] = []  # for a lock

    def close(self) -> None:
        """End all sessions."""
        for session in list(self.sessions):
            self.end(session)
        for session in self._began:
            session.pgconn.finish()
        self.observer.close()

    def cut(self, process: Process, cut: Cut) -> None:
        """Let *process* lose a session."""
        self._cuts.setdefault(process, []).append(cut)

    # Sessions begin, and end.

    def connect(self, conninfo: str, **options: Any) -> PlayedSession:
        """Take a client's connection, unless the server is starting."""
        process = current()
        if process is not None:
            process.point("before it connects")
        if self.world.now < self.down_until:
            raise psycopg.OperationalError("connection failed: FATAL:  the database system is starting up")
        session = PlayedSession.connect(conninfo, **options)
        session.number = session.info.backend_pid
        self.sessions[session] = process or self.opening
        self._began.append(session)
        return session

    def of(self, process: Process) -> list[PlayedSession]:
        """The sessions of *process*."""
        return [session for session, owner in self.sessions.items() if owner is process]

    def end(self, session: PlayedSession) -> None:
        """End a session at the server; its client hears of it when it asks for something."""
        if session in self.sessions:
            self._gone(session)

    def restart(self, seconds: float) -> None:
        """The server breaks down, and takes connections again after so many seconds."""
        self.down_until = self.world.now + seconds
        for session in list(self.sessions):
            self.end(session)

    def abandon(self, session: PlayedSession, lingers: float) -> None:
        """The client is gone, and the server does not notice for so many seconds."""
        kept = os.dup(session.fileno())
        one, other = socket.socketpair()
        other.close()
        os.dup2(one.fileno(), session.fileno())
        one.close()

        def noticed() -> None:
            os.close(kept)
            self.end(session)

        self.world.at(lingers, noticed)

    def _gone(self, session: PlayedSession) -> None:
        """Have the server end the process of a session, and return when its locks are free."""
        owner = self.sessions.pop(session)
        ask = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.observer.execute(ask, (session.number,)).fetchall():
            assert time.monotonic() < deadline, "the session does not end"
            time.sleep(0.0005)
        if owner is not None and not self.world.over:  # it may have sent a COMMIT before it died
            self.committed(owner)
        for happens in self.on_end.pop(session, ()):
            happens()
        self.settle()

    # What a session passes.

    def passes(self, process: Process, session: PlayedSession, where: str) -> bool:
        """Pass a point; True if the session is lost there."""
        process.point(where)
        passed = self._passed[process, where] = self._passed.get((process, where), 0) + 1
        for cut in self._cuts.get(process, ()):
            if (cut.where, cut.nth) == (where, passed) and session in self.sessions:
                self.world.say(process.name, "LOSES its session {}", where)
                if cut.lingers is None:
                    self.end(session)
                else:
                    self.abandon(session, cut.lingers)
                return True
        return False

    # Locks.

    def wait(self, process: Process, session: PlayedSession, ready: Callable[[int], int]) -> Exception | None:
        """Wait for another session's lock; the error if it is not had, for the client whose statement was cancelled."""
        until = process.world.now + LOCK_SECONDS
        self._waiting.append(session)
        try:
            while session in self.sessions and not ready(0):
                late = process.world.now >= until
                if late or self._is_deadlock(session.number):
                    self.observer.execute("SELECT pg_cancel_backend(%s)", (session.number,))
                    while not ready(_LOOKS_MS[-1]):
                        pass
                    return pg.LockNotAvailable("lock timeout") if late else pg.DeadlockDetected("deadlock detected")
                process.sleep(_LOOK_SECONDS)
        finally:
            self._waiting.remove(session)
        return None

    def blockers(self, number: int) -> list[int]:
        """The sessions that have what this one waits for."""
        found = self.observer.execute("SELECT pg_blocking_pids(%s)", (number,)).fetchone()
        return list(found[0]) if found else []

    def _is_deadlock(self, number: int) -> bool:
        waiting = {session.number for session in self._waiting}
        seen: set[int] = set()
        ahead = self.blockers(number)
        while ahead:
            one = ahead.pop()
            if one == number:
                return True
            if one in waiting and one not in seen:
                seen.add(one)
                ahead += self.blockers(one)
        return False

    def settle(self) -> None:
        """Let all who waited for a lock that is free now come to an end, or wait for the next one."""
        for session in self._waiting:
            if session in self.sessions:
                session.settle()


class PlayedSession(psycopg.Connection[Any]):
    """A session: each statement is a point of its process."""

    server: ClassVar[PlayedServer]
    number = 0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Execute something, and return what came of it."""
        process = current()
        if process is None or process.over:
            return super().wait(gen, interval, timeout)
        process.check()
        is_end = getattr(getattr(gen, "gi_code", None), "co_name", "") == "_exit_gen"
        self.server.passes(process, self, "before COMMIT" if is_end else "before a statement")
        before = self.pgconn.transaction_status
        result = self._execute(gen, process)
        self.server.settle()
        is_over = before != TransactionStatus.IDLE and self.pgconn.transaction_status == TransactionStatus.IDLE
        if is_over:
            self.server.committed(process)
        if self.server.passes(process, self, "after COMMIT" if is_over else "after a statement"):
            self.pgconn.finish()
            raise psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")
        return result

    def _execute(self, gen: Any, process: Process) -> Any:
        refused: Exception | None = None
        try:
            state = next(gen)
            while True:
                looks = iter(_LOOKS_MS)
                while not (ready := self._poll(state, next(looks, _LOOKS_MS[-1]))):
                    if self.server.blockers(self.number):
                        refused = self.server.wait(process, self, partial(self._poll, state))
                state = gen.send(Ready(ready))
        except StopIteration as end:
            return end.value
        except pg.QueryCanceled:
            if refused is None:
                raise
            raise refused from None
        finally:
            gen.close()

    def _poll(self, state: int, milliseconds: int) -> int:
        """What can be done now of what libpq waits for; 0 for nothing."""
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN * bool(state & 1) | select.POLLOUT * bool(state & 2))
        came = [events for _, events in poller.poll(milliseconds)]
        if not came:
            return 0
        hung = came[0] & (select.POLLHUP | select.POLLERR)
        return state & (3 if hung else bool(came[0] & select.POLLIN) | 2 * bool(came[0] & select.POLLOUT))

    def settle(self) -> None:
        """Wait until its statement has an answer, or waits for a lock."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        looks = iter(_LOOKS_MS)
        while not self._poll(1, next(looks, _LOOKS_MS[-1])) and not self.server.blockers(self.number):
            assert time.monotonic() < deadline, "a statement neither ends nor waits"

    def close(self) -> None:
        """End the session, and return when the server has done so."""
        process = current()
        if process is not None and not process.alive:  # the dead close nothing
            return
        super().close()
        with suppress(psycopg.Error):
            self.server.end(self)
