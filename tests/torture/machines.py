"""Machines that share one outbox in PostgreSQL: each with a home, a network, a way to the database and to a server."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from ..conftest import Program
from ..support.cutting_proxy import CuttingProxy
from ..support.namespaces import Network
from ..support.postgres import USER, PostgresServer
from ..support.record import Received
from ..support.scripted import ScriptedServer
from .field import Ended

SENDMAIL = Path(sys.executable).with_name("prx-sendmail")
_TOKEN = re.compile(rb"^Subject: (\S+)\r$", re.MULTILINE)
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_LOCKS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Sink(ScriptedServer):
    """Takes every message; *on_message* is called after its last byte, before it is answered."""

    on_message: Callable[[], None] = staticmethod(lambda: None)

    def note_message(self, message: Received) -> None:
        super().note_message(message)
        self.on_message()


class Machine:
    """One machine.  database: of *server*.  outbox: more lines of its config."""

    def __init__(self, home: Path, server: PostgresServer, database: str, rng: random.Random, outbox: str) -> None:
        self._open = ExitStack()
        self.name = home.name
        network = self._open.enter_context(Network())
        home.mkdir()
        self.program = Program(home)
        self.program.wrapper = network.wrapper
        self.proxy = self._open.enter_context(CuttingProxy(network.listener(), server.socket, rng))
        self.sink = self._open.enter_context(Sink(listener=network.listener()))
        self.program.url = (
            f"postgresql://{USER}@127.0.0.1:{self.proxy.port}/{database}?sslmode=disable&gssencmode=disable"
        )
        self.program.configure(self.sink.port, outbox=outbox)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.kills = 0
        self.said: list[str] = []  # on stderr, by commands that failed

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start the command; ``prx-sendmail`` by its name."""
        if command[0] == "prx-sendmail":
            process = subprocess.Popen(
                [*self.program.wrapper, SENDMAIL, *command[1:]], env=self.program.environment, cwd=self.program.home,
                text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        else:
            process = self.program.start(*command, stdin=subprocess.PIPE)
        with self._lock:
            self._running.add(process)
        return process

    def end(self, process: subprocess.Popen[str], text: str = "") -> Ended:
        """Wait for its end, which is one that a command may have."""
        out, err = process.communicate(text, timeout=180)
        ended = Ended(process.pid, process.returncode, out, err)
        with self._lock:
            self._running.discard(process)
            self.kills += ended.killed
            if err and ended.status > 0:
                self.said.append(err)
        assert not any(word in err for word in ("Traceback", "psycopg")), err[-3000:]
        return ended

    def run(self, *command: str, text: str = "") -> Ended:
        """Run the command to its end."""
        return self.end(self.start(*command), text)

    def kill_all(self) -> None:
        """Kill whatever runs here."""
        with self._lock:
            running = list(self._running)
        for process in running:
            process.kill()

    def lose_state(self) -> None:
        """Lose what is on its disk beside the config."""
        shutil.rmtree(self.program.home / ".local", ignore_errors=True)

    def flight_records(self) -> list[Path]:
        """Those that lie in its state directory."""
        return list((self.program.home / ".local").rglob("*.flight"))

    def close(self) -> None:
        """End all of it."""
        self.kill_all()
        self._open.close()


class Tally(NamedTuple):
    """A campaign in numbers."""

    acknowledged: int
    stored_unacknowledged: int
    delivered: int
    second_copies: int
    lost: int
    under_another_id: int
    unexplained: int
    stored_twice: int
    in_sending: int
    unsent: int
    uncertain_attempts: int
    died: int
    sessions: int
    locks: int

    def __str__(self) -> str:
        return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in self._asdict().items())

    def check(self) -> None:
        """Nothing lost, nothing doubled in silence, and nothing left behind."""
        kept = self.lost, self.under_another_id, self.unexplained, self.stored_twice
        assert kept == (0, 0, 0, 0), self
        assert (self.in_sending, self.unsent, self.sessions, self.locks) == (0, 0, 0, 0), self


class Cluster:
    """A server and its machines; use it in a ``with`` block."""

    def __init__(self, home: Path, rng: random.Random, *, others_wait_seconds: int, machines: int = 3) -> None:
        self._open = ExitStack()
        self.server = PostgresServer()
        self._open.callback(self.server.close)
        self.url = self.server.new_database()
        database = self.url.partition("?")[0].rpartition("/")[2]
        outbox = f"others_wait_seconds = {others_wait_seconds}\nbase_backoff_seconds = 1"
        self.machines: list[Machine] = []
        for number in range(machines):
            seeded = random.Random(rng.random())
            machine = Machine(home / f"machine{number}", self.server, database, seeded, outbox)
            self._open.callback(machine.close)
            self.machines.append(machine)
        self.acknowledged: dict[int, str] = {}  # outbox id -> token
        self.keyed: set[str] = set()  # tokens that were handed in with keys
        self._tokens = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *ending: object) -> None:
        self._open.close()

    def tokens(self, count: int) -> list[str]:
        """New tokens, each of which is a message's subject."""
        with self._lock:
            self._tokens += count
            return [f"t-{number}" for number in range(self._tokens - count, self._tokens)]

    def acknowledge(self, outbox_id: int, token: str) -> None:
        """Note that a command has said that this message is stored."""
        with self._lock:
            before = self.acknowledged.setdefault(outbox_id, token)
            assert before == token, f"id {outbox_id} was given to {before} and to {token}"

    def query(self, statement: str) -> list[Any]:
        """What the database says."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.encode()).fetchall()

    def count(self, statement: str) -> int:
        """The one number that it says."""
        return int(self.query(statement)[0][0])

    def received(self) -> int:
        """How many messages arrived, copies counted."""
        return sum(len(machine.sink.messages) for machine in self.machines)

    def copies(self) -> dict[str, list[str]]:
        """The Message-IDs under which each token arrived, one for each copy."""
        found: dict[str, list[str]] = defaultdict(list)
        for message in (message for machine in self.machines for message in machine.sink.messages):
            token = _TOKEN.search(message.content)
            assert token is not None, message
            found[token[1].decode()].append(message.message_id)
        return found

    def finish(self, machines: Iterable[Machine], seconds: float) -> float:
        """Drain on *machines* until all is sent; return how long it took, which is at most so long.

        Afterwards no session is left, either.
        """
        began = time.monotonic()
        while self.count("SELECT count(*) FROM outbox WHERE status <> 'sent'"):
            assert time.monotonic() - began < seconds, self.tally()
            for machine in machines:
                ended = machine.run("drain")
                assert ended.status in (0, 74, 75), ended
        took = time.monotonic() - began
        while self.count(_SESSIONS) and time.monotonic() - began < seconds:
            time.sleep(0.1)
        return took

    def tally(self) -> Tally:
        """The campaign in numbers."""
        copies = self.copies()
        rows = self.query("SELECT id, subject, status FROM outbox")
        stored = Counter(token for _, token, _ in rows)
        doubts = dict(self.query("SELECT outbox_id, count(*) FROM attempt WHERE uncertain GROUP BY outbox_id"))
        doubted: Counter[str] = Counter()
        for outbox_id, token, _ in rows:
            doubted[token] += doubts.get(outbox_id, 0)
        again = {token: names for token, names in copies.items() if len(names) > stored[token]}
        ids = {outbox_id for outbox_id, _, _ in rows}
        return Tally(
            acknowledged=len(self.acknowledged),
            stored_unacknowledged=len(ids - set(self.acknowledged)),
            delivered=len(copies),
            second_copies=sum(len(names) - 1 for names in again.values()),
            lost=sum(id_ not in ids or token not in copies for id_, token in self.acknowledged.items()),
            under_another_id=sum(len(set(names)) > 1 for names in again.values()),
            unexplained=sum(len(names) - 1 > doubted[token] for token, names in again.items()),
            stored_twice=sum(stored[token] > 1 for token in stored),
            in_sending=sum(status == "sending" for _, _, status in rows),
            unsent=sum(status != "sent" for _, _, status in rows),
            uncertain_attempts=sum(doubts.values()),
            died=self.count("SELECT count(*) FROM attempt WHERE outcome = 'died'"),
            sessions=self.count(_SESSIONS),
            locks=self.count(_LOCKS),
        )


def request(token: str, key: str | None = None) -> str:
    """A message as ``send --batch`` takes it."""
    said = {"to": "a@example.org", "subject": token, "body_text": f"This is {token}.\n"}
    return json.dumps({**said, **({} if key is None else {"idempotency_key": key})}) + "\n"
