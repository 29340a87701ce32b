"""Runs prx-email with a death sentence: ``python killed.py POINT N COMMAND...``.

The process kills itself with SIGKILL at the Nth passing of the named POINT; ``points.py`` says what each one is.  The
program has no hooks for this: its own functions are wrapped here, and one that no longer exists is an error.  With the
point ``-`` nobody dies.  Settings by environment: TORTURE_MAX_PAGES limits the size of the database,
TORTURE_CHECKPOINT_PAGES makes checkpoints come that early, TORTURE_SYNCHRONOUS asks for fewer fsyncs.
"""

import functools
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

BEFORE_COMMIT, AFTER_COMMIT = ", before COMMIT", ", after COMMIT"


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


def wrap_database(fate: Fate) -> None:
    """Points around the COMMIT of every kind of change."""

    class Watched(sqlite3.Connection):
        """Knows which changes its open transaction has made."""

        made: list[str]

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if statement.startswith("PRAGMA synchronous") and synchronous:
                statement = f"PRAGMA synchronous = {synchronous}"
            if statement == "BEGIN IMMEDIATE":
                self.made = []
            made = list(dict.fromkeys(self.made)) if statement == "COMMIT" else []
            for change in made:
                fate.passes(change + BEFORE_COMMIT)
            cursor = super().execute(statement, *values)
            for change in made:
                fate.passes(change + AFTER_COMMIT)
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


def note_changes() -> None:
    """Tell the connection of every change that a function of the store really made on it."""
    from prx_email_cli.outbox.relational import operator, pruning, queue
    from prx_email_cli.outbox.sqlite import claiming, claims, submit

    changes = {
        "enqueue": (submit, "submit_all"), "claim": (claiming, "claim_next"), "claim by hand": (claiming, "claim_one"),
        "finalize": (queue, "finalize_all"), "recover": (claims, "recover_run"), "hold": (operator, "hold"),
        "release": (operator, "release"), "cancel": (operator, "cancel"), "resolve": (operator, "resolve"),
        "prune": (pruning, "prune_some"),
    }  # fmt: skip
    without_result = ("hold", "release", "cancel", "resolve")
    for change, (owner, name) in changes.items():
        _note_change(change, owner, name, always=change in without_result)


def _note_change(change: str, owner: Any, name: str, *, always: bool) -> None:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(connection: Any, *arguments: Any, **keywords: Any) -> Any:
            made = list(connection.made)
            result = original(connection, *arguments, **keywords)
            if change == "recover":  # which finalizes, too
                connection.made[:] = made
            if always or (any(result) if isinstance(result, tuple) else result):
                connection.made.append(change)
            return result

        return wrapped

    wrap(owner, name, make)


def wrap_store(fate: Fate) -> None:
    """Points between the changes."""
    from prx_email_cli.outbox.in_flight import InFlight
    from prx_email_cli.outbox.lock import Lock
    from prx_email_cli.outbox.runs import Runs
    from prx_email_cli.outbox.sqlite import storing
    from prx_email_cli.outbox.sqlite.claims import Claims
    from prx_email_cli.outbox.sqlite.high_water import HighWater
    from prx_email_cli.outbox.sqlite.store import SqliteStore

    def passes(point: str) -> Callable[[], None]:
        return lambda: fate.passes(point)

    around(SqliteStore, "submit", before=passes("before the enqueue"))
    wrap(Claims, "advance", lambda original: _dying_step(original, fate))
    around(Claims, "claim", before=passes("before the claim by hand"))
    around(InFlight, "about_to_end", before=passes("before the end is noted"), after=passes("end noted"))
    around(InFlight, "answered", before=passes("before the answer is noted"), after=passes("answer noted"))
    around(Claims, "recover", before=passes("before the recovery"))
    around(SqliteStore, "close", after=passes("outbox closed"))
    around(HighWater, "raise_to", before=passes("before the mark is raised"), after=passes("mark raised"))
    around(Runs, "start", after=passes("run begun"))
    around(Runs, "clear_dead", before=passes("before the lock files go"), after=passes("lock files gone"))
    around(Lock, "release", before=passes("before the run's end"))
    around(os, "fsync", before=passes("before an fsync"))
    if "TORTURE_CHECKPOINT_PAGES" in os.environ:
        storing.CHECKPOINT_PAGES = int(os.environ["TORTURE_CHECKPOINT_PAGES"])


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
    wrap_database(fate)
    note_changes()
    wrap_store(fate)
    if command[0] in ("drain", "retry") or "--now" in command:
        wrap_dialogue(fate)
    from prx_email_cli.cli import main as command_line
    from prx_email_cli.cli import outlet

    outlet._GATHERED_BYTES = 0  # every acknowledgment leaves as early as it may

    sys.argv = ["prx-email", *command]
    command_line.main()


if __name__ == "__main__":
    main()
