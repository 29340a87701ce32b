"""Notice that another process has changed an open outbox, on whatever machine.

A thread listens on a session of its own, so that a server that is slow or gone keeps no delivery waiting.
"""

import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.clock import Reading, steady
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.schema import LOCK

if TYPE_CHECKING:
    from prx_email_cli.outbox.postgres.store import PostgresStore

IDLE_SECONDS, BUSY_SECONDS = 75.0, 10.0  # between two looks for what nobody tells: while nothing happens, and else
BUSY_FOR_SECONDS = 120.0  # after something was told
ROUND_SECONDS = 7200.0  # between two rounds for which nothing asks
AGAIN_SECONDS = 1.0  # between two tries to listen
_PROOF_SECONDS = 5.0


class EachLook:
    """A watch that finds a change at each look: what drains record is told to nobody."""

    round_seconds = ROUND_SECONDS

    def fileno(self) -> int | None:
        """Return None."""

    def take(self) -> None:
        """Do nothing."""

    def changed(self) -> bool:
        """Tell that something may have changed."""
        return True

    def close(self) -> None:
        """Do nothing."""


class PostgresWatch:
    """See ``Watch`` for what each method promises."""

    round_seconds = ROUND_SECONDS

    def __init__(self, store: "PostgresStore", connect: Callable[[], PostgresConnection]) -> None:
        """Begin to listen.  connect: makes a session of its own."""
        self._store, self._connect = store, connect
        self._changed, self._sound, self._over = True, False, threading.Event()
        self._own, self._told_at = "", time.monotonic()
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003 - the library's own
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
        self._thread.start()

    def fileno(self) -> int | None:
        """Return a descriptor that can be read when somebody has told of a change."""
        return self._reader.fileno()

    def take(self) -> None:
        """Take in what can be read from the descriptor."""
        with suppress(BlockingIOError):
            self._reader.recv(4096)

    def changed(self) -> bool:
        """Tell whether another process has changed the outbox since the last call that said so."""
        changed, self._changed = self._changed, False
        if changed or self._sound:
            return changed
        try:
            with self._store.finding() as connection:
                return self._look(connection)[0]
        except PrxEmailError:
            return True  # whoever reads next says what is wrong

    def close(self) -> None:
        """Listen no more.  The thread may be waiting for the server, and then ends by itself."""
        self._over.set()
        self._reader.close()  # which the thread sees
        self._thread.join(AGAIN_SECONDS)

    def _stir(self) -> None:
        with suppress(OSError):  # full: it will be read; closed: nobody reads
            self._writer.send(b"!")

    def _work(self) -> None:
        while not self._over.is_set():
            with suppress(psycopg.Error, PrxEmailError, OSError):
                connection = self._connect()
                try:
                    self._listen(connection)
                finally:
                    self._sound = False
                    connection.connection.close()
            self._over.wait(AGAIN_SECONDS)
        self._writer.close()

    def _listen(self, connection: PostgresConnection) -> None:
        """Take in what is told until this watch is closed.  Raises psycopg.Error when the session is lost."""
        session = connection.connection
        connection.execute(sql.ALWAYS_BY_INDEX)
        session.add_notify_handler(lambda told: self._take(told.channel))
        self._own = f"prx_email_{os.urandom(8).hex()}"
        for channel in (sql.CHANNEL, self._own):
            connection.execute_as_it_is(f"LISTEN {channel}")
        connection.execute(sql.PROVE, {"channel": self._own})
        poller = select.poll()
        poller.register(session.fileno(), select.POLLIN)
        poller.register(self._writer, 0)  # hung up once this watch is closed
        look_at = time.monotonic() + (BUSY_SECONDS if self._sound else _PROOF_SECONDS)
        while not self._over.is_set():
            if self._changed:
                self._stir()
            poller.poll(max(0.0, look_at - time.monotonic()) * 1000)
            session.pgconn.consume_input()
            while told := session.pgconn.notifies():
                self._take(told.relname.decode())
            now = time.monotonic()
            if now >= look_at and not self._sound:  # nothing arrives that is told, as behind some poolers
                return
            if now >= look_at:
                asked, busy = self._look(connection)
                self._changed |= asked
                busy |= now < self._told_at + BUSY_FOR_SECONDS
                look_at = now + (BUSY_SECONDS if busy else IDLE_SECONDS * random.uniform(1, 1.1))  # noqa: S311

    def _take(self, channel: str) -> None:
        """Note that something was told; the first time, that this session hears what is told."""
        if channel == self._own:
            self._sound = True  # what was changed before that is seen now
        else:
            self._told_at = time.monotonic()
        self._changed = True

    def _look(self, connection: PostgresConnection) -> tuple[bool, bool]:
        """Look for what nobody tells of: whether a round is to be made, and whether messages are being sent."""
        values = {"class": LOCK, "by": self._store.drains_by}
        asked_at = steady()
        asked, busy, said = connection.execute(sql.LOOK, values).fetchone()
        self._store.clock.take(Reading(said, asked_at, steady()))
        return asked, busy or asked
