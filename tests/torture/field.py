"""Where a campaign takes place: an outbox, its servers, what was acknowledged, and who was killed where."""

import copy
import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from ..conftest import Program
from ..support.scripted import ScriptedServer

RUNNER = Path(__file__).with_name("killed.py")
LARGE = "A line of a large message, of which there are many.\n" * 2500  # over 64 KiB: several writes
PATIENCE = 60
_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_TOKEN = re.compile(rb"^Subject: (\S+)\r$", re.MULTILINE)


class Ended(NamedTuple):
    """How a process ended; status is negative for a signal."""

    pid: int
    status: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Tally(NamedTuple):
    """A campaign in numbers."""

    kills: int
    recoveries: int
    acknowledged: int
    stored_unacknowledged: int
    delivered: int
    lost: int
    doubled: int
    same_message_id: int
    recorded_uncertain: int
    stuck_in_sending: int
    unsent: int
    lock_files: int
    integrity: str

    def __str__(self) -> str:
        return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in self._asdict().items())

    def check(self) -> None:
        """Nothing lost, and nothing doubled in silence."""
        assert self.lost == 0, self
        assert self.same_message_id == self.doubled, self
        assert self.recorded_uncertain == self.doubled, self
        assert (self.stuck_in_sending, self.unsent, self.lock_files, self.integrity) == (0, 0, 0, "ok"), self


class Field:
    """One outbox with an account for each of *servers*, by name, of which one is ``work``."""

    def __init__(self, program: Program, servers: dict[str, ScriptedServer], *, outbox: str = "") -> None:
        self.program = program
        self.servers = servers
        self.acknowledged: dict[int, str] = {}  # outbox id -> token, which is the message's subject
        self.sentences: dict[int, str] = {}  # pid -> where it was killed
        self._tokens = 0
        self._lock = threading.Lock()
        program.configure(servers["work"].port, outbox=outbox)
        others = "".join(
            f'[accounts.{name}]\nfrom = "ops@example.com"\n'
            f'[accounts.{name}.smtp]\nhost = "localhost"\nport = {server.port}\ntls = "none"\n'
            for name, server in servers.items()
            if name != "work"
        )
        program.config.write_text(program.config.read_text() + others)

    def machine(self, number: int) -> Program:
        """The program on another machine, if the outbox is a database: with flight records of its own."""
        other = copy.copy(self.program)
        if number and other.url is not None:
            other.environment = {**other.environment, "XDG_STATE_HOME": str(other.home / f"machine-{number}")}
        return other

    def start(
        self, *command: str, point: str = "-", nth: int = 1, machine: int = 0, **environment: str
    ) -> "subprocess.Popen[str]":
        """Start the command under a sentence, or without one the installed command itself."""
        if point == "-" and not environment:
            return self.machine(machine).start(*command, stdin=subprocess.PIPE)
        runner = [sys.executable, "-W", "error", str(RUNNER), point, str(nth), *command]
        if self.program.url is not None:
            environment["TORTURE_ON_POSTGRES"] = "1"
        return subprocess.Popen(
            runner, env={**self.program.environment, **environment}, cwd=self.program.home, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def end(self, process: "subprocess.Popen[str]", text: str = "", where: str = "a random instant") -> Ended:
        """Wait for the end of *process*; a killed one is noted."""
        out, err = process.communicate(text, timeout=120)
        ended = Ended(process.pid, process.returncode, out, err)
        if ended.killed:
            with self._lock:
                self.sentences[ended.pid] = where
        return ended

    def run(self, *command: str, text: str = "", point: str = "-", nth: int = 1, **environment: str) -> Ended:
        """Run the command to its end."""
        return self.end(self.start(*command, point=point, nth=nth, machine=0, **environment), text, point)

    def lines(self, count: int, account: str = "work", *, large_every: int = 0) -> tuple[list[str], str]:
        """Tokens of *count* new messages, and their requests as ``send --batch`` takes them."""
        with self._lock:
            tokens = [f"m-{self._tokens + number}" for number in range(1, count + 1)]
            self._tokens += count
        requests = [
            {
                "account": account,
                "to": "a@example.org",
                "bcc": f"{token}@example.net",
                "subject": token,
                "body_text": LARGE if large_every and number % large_every == 0 else f"This is {token}.\n",
            }
            for number, token in enumerate(tokens)
        ]
        return tokens, "".join(json.dumps(request) + "\n" for request in requests)

    def acknowledge(self, tokens: Iterable[str], out: str) -> list[int]:
        """Note the ids of *out*: every whole line acknowledges the next of *tokens*."""
        ids = [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]
        with self._lock:
            self.acknowledged |= dict(zip(ids, tokens, strict=False))
        return ids

    def send(self, count: int, account: str = "work", **options: Any) -> list[int]:
        """Enqueue *count* messages; their ids."""
        tokens, text = self.lines(count, account, **options)
        answer = self.run("send", "--batch", "-", text=text)
        assert answer.status == 0, answer
        return self.acknowledge(tokens, answer.out)

    def query(self, statement: str, *values: object) -> list[Any]:
        """What the outbox says."""
        if self.program.url is not None:
            with psycopg.connect(self.program.url) as database:
                return database.execute(statement.replace("?", "%s").encode(), values).fetchall()
        with closing(sqlite3.connect(self.program.outbox)) as connection:
            return connection.execute(statement, values).fetchall()

    def stored(self, token: str, *, at_last: bool) -> list[Any]:
        """The ids of messages of this token.  at_last: wait for one, which a server may still be storing."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.query("SELECT id FROM outbox WHERE subject = ?", token)
            if found or not at_last or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def due(self, account: str = "work") -> int:
        """How many messages of *account* are still to be sent."""
        found = "SELECT count(*) FROM outbox WHERE account = ? AND status IN ('pending', 'failed')"
        return int(self.query(found, account)[0][0])

    def finish(self, *options: str) -> None:
        """Drain until everything is sent; the servers have seen everything then."""
        self.wait_for_ends_of_sessions()
        for _ in range(5):
            answer = self.program.call("drain", *options)
            assert answer.status in (0, 75), answer
            if not self.query("SELECT 1 FROM outbox WHERE status <> 'sent' LIMIT 1"):
                break
        self.settle()

    def wait_for_ends_of_sessions(self) -> None:
        """Wait until the database's server has noticed who is dead."""
        deadline = time.monotonic() + PATIENCE
        while self.program.url is not None and self.query(_SESSIONS)[0][0]:
            assert time.monotonic() < deadline, "a session outlives its process"
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until the servers have read what the dead had still written."""
        for server in self.servers.values():
            server.wait_for(lambda server=server: server.open_connections == 0, 60)  # type: ignore[misc]

    def copies(self) -> dict[tuple[str, str], list[str]]:
        """The Message-IDs under which each token arrived at each recipient, one for each copy.

        By recipient, because one that was deferred alone gets its first copy in a later transaction, under a new
        Message-ID, and nobody got two then.
        """
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for server in self.servers.values():
            for message in server.messages:
                token = _TOKEN.search(message.content)
                assert token is not None, message
                for recipient in message.recipients:
                    found[token[1].decode(), recipient].append(message.message_id)
        return found

    def integrity(self) -> str:
        """What is wrong with the outbox, "ok" where nothing is."""
        if self.program.url is None:
            return str(self.query("PRAGMA integrity_check")[0][0])
        with closing(self.program.store()) as store:
            return " ".join(store.health(0).faults) or "ok"

    def tally(self) -> Tally:
        """The campaign in numbers, once it has been finished."""
        copies = self.copies()
        ids = {token: outbox_id for outbox_id, token in self.query("SELECT id, subject FROM outbox")}
        owners: dict[str, set[str]] = defaultdict(set)
        for (token, _), names in copies.items():
            for name in names:
                owners[name].add(token)
        assert all(len(tokens) == 1 for tokens in owners.values()), "a Message-ID was used for two messages"
        wanted = self.query("SELECT subject, address FROM recipient JOIN outbox ON outbox.id = outbox_id")
        missed = {token for token, recipient in wanted if (token, recipient) not in copies}
        again = {to: names for to, names in copies.items() if len(names) > 1}
        doubled: dict[str, int] = {}
        for (token, _), names in again.items():
            doubled[token] = max(len(names), doubled.get(token, 0))
        recorded = 0
        for token, most in doubled.items():
            attempts = self.program.show(ids[token])["attempts"]
            recorded += sum(attempt["uncertain"] for attempt in attempts) >= most - 1
        states = Counter(status for (status,) in self.query("SELECT status FROM outbox"))
        lock_files = list(self.program.home.rglob("*.runs/*-*-*"))
        return Tally(
            kills=len(self.sentences),
            recoveries=self.query("SELECT count(*) FROM attempt WHERE outcome = 'died'")[0][0],
            acknowledged=len(self.acknowledged),
            stored_unacknowledged=len(set(ids.values()) - set(self.acknowledged)),
            delivered=len({token for token, _ in copies}),
            lost=len(set(self.acknowledged.values()) - (set(ids) - missed)),
            doubled=len(doubled),
            same_message_id=len(doubled) - len({token for (token, _), names in again.items() if len(set(names)) > 1}),
            recorded_uncertain=recorded,
            stuck_in_sending=states["sending"],
            unsent=states.total() - states["sent"],
            lock_files=len(lock_files),
            integrity=self.integrity(),
        )
