"""A proxy between a client and PostgreSQL that knows what they say, and cuts the connection at a chosen step.

A step is what the client asks until it waits: a statement or a pipeline of them, from its first message to Sync.  It is
named by its statement, by the first of _DEEDS in a pipeline; a COMMIT by what its transaction has done, "commit:claim"
for example.
"""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, NoReturn, Self

_UNTYPED = struct.Struct("!II")  # length and code of what comes before the messages that have a type
_STARTUP = 3 << 16
_ENDS_STEP = b"QSX"  # Query, Sync, Terminate
_NO_LINGERING = struct.pack("ii", 1, 0)
_SILENCE_SECONDS = 2.0
# What a statement is called, the first that fits.
_NAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\s*COMMIT", "commit"),
        (r"\s*(BEGIN|START)", "begin"),
        (r"\s*ROLLBACK", "rollback"),
        (r"\s*WITH found ", "claim"),
        (r"\s*INSERT INTO outbox ", "submit"),
        (r"\s*WITH ended ", "settle"),
        (r"\s*UPDATE run SET died_at", "recover"),
        (r"\s*INSERT INTO run ", "run"),
        (r"\s*DELETE FROM run ", "end"),
        (r"\s*SELECT pg_advisory_lock", "lock"),
        (r"\s*LISTEN", "listen"),
        (r"\s*SELECT", "read"),
    )
)
# What names a transaction that did several of these.
_DEEDS = ("recover", "settle", "claim", "submit")


class Place(StrEnum):
    """Where in a step the connection is cut."""

    BEFORE = "before"  # the server is not asked
    WITHIN = "within"  # it gets half of what it is asked
    ASKED = "asked"  # it has been asked, and may still be at work
    DONE = "done"  # it has done it, and its answer is lost
    ANSWERING = "answering"  # half of its answer arrives


class Manner(StrEnum):
    """How the client notices."""

    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"  # nothing arrives for some time, and then a reset


class Cut(NamedTuple):
    """A cut at the next step of this name."""

    step: str
    place: Place
    manner: Manner = Manner.CLOSE


@dataclass(eq=False)
class _Line:
    """A connection of a client, and the one to the server."""

    client: socket.socket
    server: socket.socket
    statements: dict[bytes, str] = field(default_factory=dict)  # prepared: their names
    deeds: set[str] = field(default_factory=set)  # of the steps since the last transaction
    asked: deque[Cut | None] = field(default_factory=deque)  # steps that wait for their answers, and how they end
    cut: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class CuttingProxy:
    """Listens on *listener* for the server at *upstream*, the path of its socket; use it in a ``with`` block.

    chance: of each step to be cut, at a place and in a manner that *rng* chooses.  patience: the chance of a planned
    cut to pass by a step that it fits.
    """

    def __init__(self, listener: socket.socket, upstream: str, rng: random.Random) -> None:
        self.chance, self.patience = 0.0, 0.0
        self.cuts: Counter[str] = Counter()  # those made, by "step place"
        self.steps: Counter[str] = Counter()  # those seen
        self._listener, self._upstream, self._rng = listener, upstream, rng
        self._planned: list[Cut] = []
        self._lines: set[_Line] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *ending: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)
        self.cut_all()

    def plan(self, cuts: Iterable[Cut]) -> None:
        """Cut each of these once."""
        with self._lock:
            self._planned += cuts

    @property
    def planned(self) -> list[Cut]:
        """Those that have not been made yet."""
        with self._lock:
            return list(self._planned)

    def calm(self) -> None:
        """Cut nothing more."""
        with self._lock:
            self._planned.clear()
            self.chance = 0.0

    def cut_all(self, why: str = "") -> int:
        """Cut every connection now, and count them."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            self._end(line, Manner.RESET)
        if why:
            self.cuts[why] += len(lines)
        return len(lines)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._upstream)
        except OSError:  # it is being restarted
            server.close()
            client.close()
            return
        line = _Line(client, server)
        with self._lock:
            self._lines.add(line)
        threading.Thread(target=self._pump, args=(self._answers, line), daemon=True).start()
        self._pump(self._requests, line)

    def _pump(self, work: Callable[[_Line], None], line: _Line) -> None:
        try:
            work(line)
        except (OSError, EOFError):
            pass
        finally:
            self._end(line, Manner.CLOSE)

    def _end(self, line: _Line, manner: Manner) -> None:
        with line.lock:
            if line.cut:
                return
            line.cut = True
        if manner is Manner.SILENCE:  # the server, too, hears nothing: its session goes on for so long
            time.sleep(_SILENCE_SECONDS)
        if manner is not Manner.CLOSE:
            with suppress(OSError):
                line.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
                line.client.shutdown(socket.SHUT_RD)  # or who reads it would keep it open
                line.client.close()
        line.close()
        with self._lock:
            self._lines.discard(line)

    def _requests(self, line: _Line) -> None:
        self._greet(line)
        step, names = b"", []
        for kind, message in _messages(line.client):
            step += message
            names += _named(line, kind, message)
            if kind in _ENDS_STEP:
                self._ask(line, step, names)
                step, names = b"", []

    def _greet(self, line: _Line) -> None:
        while True:
            head = _read(line.client, _UNTYPED.size)
            length, code = _UNTYPED.unpack(head)
            line_head = head + _read(line.client, length - len(head))
            if code == _STARTUP:
                self._ask(line, line_head, ["connect"])
                return
            line.server.sendall(line_head)

    def _ask(self, line: _Line, step: bytes, names: Sequence[str]) -> None:
        line.deeds.update(names)
        named = [name for name in (*_DEEDS, *names) if name in names and name != "read"]
        name = named[0] if named else "read"
        if name == "commit":
            name = f"commit:{next((deed for deed in _DEEDS if deed in line.deeds), 'other')}"
        if name.startswith(("commit", "rollback")):
            line.deeds.clear()
        cut = self._chosen(name)
        if line.cut:
            raise EOFError
        if cut is not None and cut.place in (Place.BEFORE, Place.WITHIN):
            line.server.sendall(step[: len(step) // 2] if cut.place is Place.WITHIN else b"")
            self._make(line, cut)
        line.asked.append(cut)
        line.server.sendall(step)
        if cut is not None and cut.place is Place.ASKED:
            self._make(line, cut)

    def _chosen(self, name: str) -> Cut | None:
        with self._lock:
            self.steps[name] += 1
            for cut in self._planned:
                if cut.step == name and self._rng.random() >= self.patience:
                    self._planned.remove(cut)
                    return cut
            if self._rng.random() < self.chance:
                return Cut(name, self._rng.choice(list(Place)), self._rng.choice(list(Manner)))
        return None

    def _make(self, line: _Line, cut: Cut) -> NoReturn:
        with self._lock:
            self.cuts[f"{cut.step} {cut.place}"] += 1
        self._end(line, cut.manner)
        raise EOFError

    def _answers(self, line: _Line) -> None:
        answer = b""
        for kind, message in _messages(line.server):
            answer += message
            cut = line.asked[0] if line.asked else None
            if kind == b"Z" and line.asked:
                line.asked.popleft()
                if cut is not None and cut.place in (Place.DONE, Place.ANSWERING):
                    half = len(answer) // 2 if cut.place is Place.ANSWERING else 0
                    line.client.sendall(answer[:half])
                    self._make(line, cut)
            if line.cut or (cut is not None and cut.place is Place.ASKED):  # the answer was quicker than the cut
                return
            if kind == b"Z" or cut is None:
                line.client.sendall(answer)
                answer = b""


def _named(line: _Line, kind: bytes, message: bytes) -> list[str]:
    """The name of the statement that *message* asks for; none for a message that only goes with others."""
    if kind == b"Q":
        return [_name_of(message[5:])]
    if kind == b"P":
        prepared, _, statement = message[5:].partition(b"\0")
        line.statements[prepared] = _name_of(statement)
    if kind == b"B":
        return [line.statements.get(message[5:].split(b"\0", 2)[1], "read")]
    return []


def _name_of(statement: bytes) -> str:
    text = statement.decode("utf-8", "replace")
    return next((name for pattern, name in _NAMES if pattern.match(text)), "write")


def _messages(source: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Each message that has a type, with that."""
    while True:
        head = _read(source, 5)
        yield head[:1], head + _read(source, int.from_bytes(head[1:], "big") - 4)


def _read(source: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return bytes(data)


@contextmanager
def proxied(upstream: str, rng: random.Random) -> Iterator[CuttingProxy]:
    """A proxy on loopback."""
    with CuttingProxy(socket.create_server(("127.0.0.1", 0)), upstream, rng) as proxy:
        yield proxy
