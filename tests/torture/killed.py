"""Runs prx-email with a death sentence: ``python killed.py POINT N COMMAND...``.

The process kills itself with SIGKILL at the Nth passing of the named POINT; ``points.py`` says what each one is.  The
program has no hooks for this: its own functions are wrapped here, and one that no longer exists is an error.  With the
point ``-`` nobody dies.  Settings by environment: TORTURE_ON_POSTGRES says that the outbox is in PostgreSQL; of a file,
TORTURE_MAX_PAGES limits the size, TORTURE_CHECKPOINT_PAGES makes checkpoints come that early, and TORTURE_SYNCHRONOUS
asks for fewer fsyncs.
"""

import functools
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

BEFORE_COMMIT, COMMIT_SENT, AFTER_COMMIT = ", before COMMIT", ", COMMIT sent", ", after COMMIT"


class Fate:
    """The one point at which this process ends."""

    def __init__(self, point: str, nth: int) -> None:
        self.point = point
        self._left = nth
        self._lock = threading.Lock()

    def passes(self, point: str) -> None:
        """Note that the program passes *point*; at its time this does not return."""
        if point != self.point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.write(2, f"reached: {point}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def comes(self, point: str) -> bool:
        """Whether the next passing of *point* is the end."""
        return point == self.point and self._left == 1


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace the function *name* of *owner* by what *make* makes of it."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(make(original)))


def around(owner: Any, name: str, *, before: Callable[[], object] = bool, after: Callable[[], object] = bool) -> None:
    """Do something before and after the function *name* of *owner*."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            before()
            result = original(*arguments, **keywords)
            after()
            return result

        return wrapped

    wrap(owner, name, make)


def wrap_sqlite(fate: Fate) -> None:
    """Points around the COMMIT of every kind of change of a file."""

    class Watched(sqlite3.Connection):
        """Knows which changes its open transaction has made."""

        made: list[str]

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if statement.startswith("PRAGMA synchronous") and synchronous:
                statement = f"PRAGMA synchronous = {synchronous}"
            if statement == "BEGIN IMMEDIATE":
                self.made = []
            made = list(dict.fromkeys(self.made)) if statement == "COMMIT" else []
            _pass_all(fate, made, BEFORE_COMMIT)
            cursor = super().execute(statement, *values)
            _pass_all(fate, made, AFTER_COMMIT)
            if statement.startswith("PRAGMA user_version ="):
                self.made.append("migrate")
            return cursor

    pages, synchronous = os.environ.get("TORTURE_MAX_PAGES"), os.environ.get("TORTURE_SYNCHRONOUS")

    def make(original: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        def connect(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
            kinds = (Watched,) if "factory" not in keywords else (Watched, keywords.pop("factory"))
            connection = original(*arguments, factory=type("Connection", kinds, {}), **keywords)
            if pages:
                connection.execute(f"PRAGMA max_page_count = {int(pages)}").fetchall()
            return connection

        return connect

    wrap(sqlite3, "connect", make)


def wrap_postgres(fate: Fate) -> None:
    """Points around the COMMIT of every kind of change of a database, of which the answer may be missing, too."""
    import psycopg

    class Watched(psycopg.Connection[Any]):
        """Knows which changes its open transaction has made, and which wait in a pipeline after their COMMIT."""

        made: list[str]
        committed: tuple[str, ...] = ()

        @contextmanager
        def transaction(self, *arguments: Any, **keywords: Any) -> Iterator[psycopg.Transaction]:
            is_part = self.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
            if not is_part:
                self.made = []
            made: list[str] = []
            with super().transaction(*arguments, **keywords) as transaction:
                yield transaction
                if not is_part:
                    made = list(dict.fromkeys(self.made))
                _pass_all(fate, made, BEFORE_COMMIT)
                if any(fate.comes(change + COMMIT_SENT) for change in made):
                    self.pgconn.send_query_params(b"COMMIT", None)
                    while self.pgconn.flush():
                        pass
                _pass_all(fate, made, COMMIT_SENT)
            self.committed += tuple(made)
            self.pass_committed()

        @contextmanager
        def pipeline(self) -> Iterator[psycopg.Pipeline]:
            with super().pipeline() as pipeline:
                yield pipeline
            self.pass_committed()

        def pass_committed(self) -> None:
            if self.pgconn.pipeline_status == psycopg.pq.PipelineStatus.OFF:  # else nothing has left yet
                made, self.committed = self.committed, ()
                _pass_all(fate, made, AFTER_COMMIT)

    from prx_email_cli.outbox.postgres import sql
    from prx_email_cli.outbox.postgres.dialect import PostgresConnection

    points = {sql.LOCK_RUN: "run locked", sql.DELETE_RUN: "run deleted"}
    changes = {"INSERT INTO prx_email ": "migrate", sql.CLEAR_DEAD: "forget the dead"}

    def make(execute: Callable[..., Any]) -> Callable[..., Any]:
        def executes(connection: Any, statement: str, *values: Any) -> Any:
            cursor = execute(connection, statement, *values)
            made = [change for start, change in changes.items() if statement.startswith(start)]
            if made:
                connection.connection.made += made
            if statement in points:
                fate.passes(points[statement])
            return cursor

        return executes

    psycopg.connect = Watched.connect
    wrap(PostgresConnection, "execute", make)


def _pass_all(fate: Fate, changes: Iterable[str], where: str) -> None:
    for change in changes:
        fate.passes(change + where)


def note_changes(*, on_postgres: bool) -> None:
    """Tell the connection of every change that a function of the store really made on it."""
    from prx_email_cli.outbox.relational import operator, pruning

    for change in ("hold", "release", "cancel", "resolve"):
        _note_change(change, operator, change, always=True)
    _note_change("prune", pruning, "prune_some")
    (_note_changes_of_postgres if on_postgres else _note_changes_of_sqlite)()


def _note_changes_of_sqlite() -> None:
    from prx_email_cli.outbox.relational import queue
    from prx_email_cli.outbox.sqlite import claiming, claims, submit

    _note_change("enqueue", submit, "submit_all")
    _note_change("claim by hand", claiming, "claim_one")
    _note_change("claim", claiming, "claim_next")
    _note_change("finalize", queue, "finalize_all")
    _note_change("recover", claims, "recover_run")


def _note_changes_of_postgres() -> None:
    from prx_email_cli.outbox.postgres import claiming, recovery, settling, stepping, submit

    _note_change("enqueue", submit, "submit_all")
    _note_change("claim by hand", claiming, "claim_one")
    _note_change("finalize", settling, "settle", always=True)
    _note_change("recover", recovery, "recover_run")
    wrap(stepping.Step, "make", _noting_step)


def _note_change(change: str, owner: Any, name: str, *, always: bool = False) -> None:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(connection: Any, *arguments: Any, **keywords: Any) -> Any:
            noted = getattr(connection, "connection", connection).made
            made = list(noted)
            result = original(connection, *arguments, **keywords)
            if change == "recover":  # which finalizes, too
                noted[:] = made
            if always or (any(result) if isinstance(result, tuple) else result):
                noted.append(change)
            return result

        return wrapped

    wrap(owner, name, make)


def _noting_step(original: Callable[..., Any]) -> Callable[..., Any]:
    def make(step: Any, connection: Any, *arguments: Any) -> Any:
        lost, claims = original(step, connection, *arguments)
        connection.connection.made += ["finalize"] if step.finished else []
        connection.connection.made += ["claim"] if any(claims) else []
        return lost, claims

    return make


def wrap_store(fate: Fate, *, on_postgres: bool) -> None:
    """Points between the changes."""
    from prx_email_cli.outbox.in_flight import InFlight

    around(InFlight, "about_to_end", **_both(fate, "before the end is noted", "end noted"))
    around(InFlight, "answered", **_both(fate, "before the answer is noted", "answer noted"))
    around(os, "fsync", before=_passing(fate, "before an fsync"))
    (_wrap_store_of_postgres if on_postgres else _wrap_store_of_sqlite)(fate)


def _wrap_store_of_sqlite(fate: Fate) -> None:
    from prx_email_cli.outbox.lock import Lock
    from prx_email_cli.outbox.runs import Runs
    from prx_email_cli.outbox.sqlite import storing
    from prx_email_cli.outbox.sqlite.claims import Claims
    from prx_email_cli.outbox.sqlite.high_water import HighWater
    from prx_email_cli.outbox.sqlite.store import SqliteStore

    _wrap_moves(fate, SqliteStore, Claims)
    around(Claims, "recover", before=_passing(fate, "before the recovery"))
    around(HighWater, "raise_to", **_both(fate, "before the mark is raised", "mark raised"))
    around(Runs, "start", after=_passing(fate, "run begun"))
    around(Runs, "clear_dead", **_both(fate, "before the lock files go", "lock files gone"))
    around(Lock, "release", before=_passing(fate, "before the run's end"))
    if "TORTURE_CHECKPOINT_PAGES" in os.environ:
        storing.CHECKPOINT_PAGES = int(os.environ["TORTURE_CHECKPOINT_PAGES"])


def _wrap_store_of_postgres(fate: Fate) -> None:
    from prx_email_cli.outbox.postgres import recovery
    from prx_email_cli.outbox.postgres.claims import Claims
    from prx_email_cli.outbox.postgres.run import PostgresRun
    from prx_email_cli.outbox.postgres.store import PostgresStore

    _wrap_moves(fate, PostgresStore, Claims)
    around(recovery, "recover", before=_passing(fate, "before the recovery"))
    around(recovery, "_remove_records", **_both(fate, "before the records go", "records gone"))
    around(PostgresRun, "__init__", after=_passing(fate, "run begun"))
    around(PostgresRun, "__exit__", before=_passing(fate, "before the run's end"))


def _wrap_moves(fate: Fate, store: Any, claims: Any) -> None:
    around(store, "submit", before=_passing(fate, "before the enqueue"))
    around(store, "close", after=_passing(fate, "outbox closed"))
    around(claims, "claim", before=_passing(fate, "before the claim by hand"))
    wrap(claims, "advance", lambda original: _dying_step(original, fate))


def _passing(fate: Fate, point: str) -> Callable[[], None]:
    return lambda: fate.passes(point)


def _both(fate: Fate, before: str, after: str) -> dict[str, Callable[[], None]]:
    return {"before": _passing(fate, before), "after": _passing(fate, after)}


def _dying_step(advance: Callable[..., Any], fate: Fate) -> Callable[..., Any]:
    def advances(claims: Any, run: Any, finished: Any, wishes: Any, returned: Any) -> Any:
        if finished:
            fate.passes("before the finalize")
        elif wishes:
            fate.passes("before the claim")
        return advance(claims, run, finished, wishes, returned)

    return advances


class _Spoken(threading.local):
    """What this thread is saying to its server.  content: in the middle of it; last: the final dot is in this write."""

    content = last = dot = False


def wrap_dialogue(fate: Fate) -> None:
    """Points in the dialogue with the server."""
    from prx_email_cli.smtp import transaction
    from prx_email_cli.smtp.channel import Channel
    from prx_email_cli.smtp.connection import Wire
    from prx_email_cli.smtp.session import Session, SessionFactory

    around(Wire, "connect", before=lambda: fate.passes("before connecting"), after=lambda: fate.passes("connected"))
    around(SessionFactory, "open", after=lambda: fate.passes("session open"))
    around(Session, "say_goodbye", before=lambda: fate.passes("before QUIT"))
    wrap(Session, "go_on", lambda original: _dying_at_the_end(original, fate))
    spoken = _Spoken()
    wrap(transaction, "data_writes", lambda original: _noting_content(original, spoken))
    wrap(Channel, "send", lambda original: _dying_sender(original, spoken, fate))
    wrap(Channel, "reply", lambda original: _dying_reader(original, spoken, fate))


def _dying_at_the_end(go_on: Callable[..., Any], fate: Fate) -> Callable[..., Any]:
    from prx_email_cli.smtp.session import Closed

    def goes_on(session: Any, now: float) -> Any:
        event = go_on(session, now)
        if isinstance(event, Closed):
            fate.passes("QUIT answered")
        return event

    return goes_on


def _noting_content(original: Callable[..., Iterator[tuple[bytes, bool]]], spoken: _Spoken) -> Callable[..., Any]:
    def data_writes(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
        for data, last in original(pieces):
            spoken.content, spoken.last = True, last
            yield data, last

    return data_writes


def _dying_sender(send: Callable[[Any, memoryview], int], spoken: _Spoken, fate: Fate) -> Callable[..., int]:
    def sends(channel: Any, data: memoryview) -> int:
        content = spoken.content
        if content and fate.point == "halfway through the content":
            send(channel, data[: len(data) // 2])
            fate.passes("halfway through the content")
        sent = send(channel, data)
        if sent < len(data):
            return sent
        if content:
            spoken.content, spoken.dot = False, spoken.last
            fate.passes("final dot written" if spoken.last else "piece of the content written")
        else:
            fate.passes(_command(bytes(data)))
        return sent

    return sends


def _dying_reader(read: Callable[..., Any], spoken: _Spoken, fate: Fate) -> Callable[..., Any]:
    def reads(channel: Any) -> Any:
        reply = read(channel)
        if reply is not None and spoken.dot:
            spoken.dot = False
            fate.passes("reply to the final dot read")
        return reply

    return reads


def _command(data: bytes) -> str:
    """The point that is passed once this command, or group of commands, is written."""
    verbs = [line.split(b" ")[0].decode().upper() for line in data.splitlines()]
    if len(verbs) > 1:
        return "envelope written" if verbs[-1] == "DATA" else "part of the envelope written"
    return f"{verbs[0] if verbs else 'nothing'} written"


def main() -> None:
    """Run the command that the rest of the arguments are, under the sentence of the first two."""
    _, point, nth, *command = sys.argv
    fate = Fate(point, int(nth))
    on_postgres = "TORTURE_ON_POSTGRES" in os.environ
    (wrap_postgres if on_postgres else wrap_sqlite)(fate)
    note_changes(on_postgres=on_postgres)
    wrap_store(fate, on_postgres=on_postgres)
    if command[0] in ("drain", "retry") or "--now" in command:
        wrap_dialogue(fate)
    from prx_email_cli.cli import main as command_line
    from prx_email_cli.cli import outlet

    outlet._GATHERED_BYTES = 0  # every acknowledgment leaves as early as it may

    sys.argv = ["prx-email", *command]
    command_line.main()


if __name__ == "__main__":
    main()
