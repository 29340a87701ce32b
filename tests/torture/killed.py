"""Runs prx-email with a death sentence: ``python killed.py POINT N COMMAND...``.

The process kills itself with SIGKILL at the Nth passing of the named POINT; ``points.py`` says what each one is.  The
program has no hooks for this: its own functions are wrapped here, and one that no longer exists is an error.  With the
point ``-`` nobody dies.  Two settings by environment: TORTURE_MAX_PAGES limits the size of the database, and
TORTURE_CHECKPOINT_PAGES makes checkpoints come that early.
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


def around(owner: Any, name: str, *, before: Callable[[], object] = bool, after: Callable[[Any], object] = bool) -> None:
    """Wrap the function *name* of *owner*; *after* is given its result."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        before()
        result = original(*arguments, **keywords)
        after(result)
        return result

    setattr(owner, name, wrapped)


def wrap_database(fate: Fate) -> None:
    """Points around the COMMIT of every kind of change."""

    class Connection(sqlite3.Connection):
        """Knows which changes its open transaction has made."""

        made: list[str]

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
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

    pages = os.environ.get("TORTURE_MAX_PAGES")

    def connect(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
        connection = open_connection(*arguments, factory=Connection, **keywords)
        if pages:
            connection.execute(f"PRAGMA max_page_count = {int(pages)}").fetchall()
        return connection

    open_connection = sqlite3.connect
    sqlite3.connect = connect  # type: ignore[assignment]


def note_changes() -> None:
    """Tell the connection of every change that a function of the store really made on it."""
    from prx_email_cli.outbox import keeping, moves

    changes = {
        "enqueue": (moves, "insert"), "claim": (moves, "claim_next"), "claim by hand": (moves, "claim_one"),
        "finalize": (moves, "finalize"), "recover": (moves, "recover_run"), "hold": (keeping, "hold"),
        "release": (keeping, "release"), "cancel": (keeping, "cancel"), "resolve": (keeping, "resolve"),
        "prune": (keeping, "prune_some"),
    }  # fmt: skip
    without_result = ("finalize", "hold", "release", "cancel", "resolve")
    for change, (owner, name) in changes.items():
        _note_change(change, owner, name, always=change in without_result)


def _note_change(change: str, owner: Any, name: str, *, always: bool) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(connection: Any, *arguments: Any, **keywords: Any) -> Any:
        result = original(connection, *arguments, **keywords)
        if always or result:
            connection.made.append(change)
        return result

    setattr(owner, name, wrapped)


def wrap_store(fate: Fate) -> None:
    """Points between the changes."""
    from prx_email_cli.outbox import opening
    from prx_email_cli.outbox.runs import Run, Runs
    from prx_email_cli.outbox.sqlite import SqliteStore

    def passes(point: str) -> Callable[..., None]:
        return lambda *_: fate.passes(point)

    around(SqliteStore, "enqueue", before=passes("before the enqueue"))
    around(SqliteStore, "claim_next", before=passes("before the claim"))
    around(SqliteStore, "claim", before=passes("before the claim by hand"))
    around(SqliteStore, "finalize", before=passes("before the finalize"))
    around(SqliteStore, "recover", before=passes("before the recovery"))
    around(SqliteStore, "close", after=passes("outbox closed"))
    around(Runs, "start", after=passes("run begun"))
    around(Runs, "clear_dead", before=passes("before the lock files go"), after=passes("lock files gone"))
    around(Run, "__exit__", before=passes("before the run's end"))
    if "TORTURE_CHECKPOINT_PAGES" in os.environ:
        opening.CHECKPOINT_PAGES = int(os.environ["TORTURE_CHECKPOINT_PAGES"])


class _Spoken(threading.local):
    """What this thread is saying to its server.  content: in the middle of it; last: the final dot is in this write."""

    content = last = dot = False


def wrap_dialogue(fate: Fate) -> None:
    """Points in the dialogue with the server."""
    from prx_email_cli.delivery import handover
    from prx_email_cli.delivery.session import SessionFactory
    from prx_email_cli.delivery.wire import Wire

    spoken = _Spoken()
    around(Wire, "connect", before=lambda: fate.passes("before connecting"), after=lambda _: fate.passes("connected"))
    around(SessionFactory, "open", after=lambda _: fate.passes("session open"))
    around(Wire, "quit", before=lambda: fate.passes("before QUIT"), after=lambda _: fate.passes("QUIT answered"))

    pieces_of, write, read_reply = handover.data_writes, Wire.write, Wire.read_reply

    def data_writes(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
        for data, last in pieces_of(pieces):
            spoken.content, spoken.last = True, last
            yield data, last

    def writes(wire: Wire, data: bytes) -> None:
        if not spoken.content:
            write(wire, data)
            fate.passes(_command(data))
            return
        spoken.content = False
        if fate.point == "halfway through the content":
            write(wire, data[: len(data) // 2])
            fate.passes("halfway through the content")
            data = data[len(data) // 2 :]
        write(wire, data)
        spoken.dot = spoken.last
        fate.passes("final dot written" if spoken.last else "piece of the content written")

    def reads_reply(wire: Wire, timeout: float) -> Any:
        reply = read_reply(wire, timeout)
        if spoken.dot:
            spoken.dot = False
            fate.passes("reply to the final dot read")
        return reply

    handover.data_writes = data_writes  # type: ignore[assignment]
    Wire.write = writes  # type: ignore[method-assign]
    Wire.read_reply = reads_reply  # type: ignore[method-assign]


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

    sys.argv = ["prx-email", *command]
    command_line.main()


if __name__ == "__main__":
    main()
