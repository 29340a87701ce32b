"""Twenty programs write at once, half by ``prx-sendmail`` and half to ``listen``; drains are killed, and listen too.

By environment: TORTURE_EACH messages by each of them.
"""

from __future__ import annotations

import random
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prx_email_cli.errors import Exit

from ..conftest import Program
from ..listen.conftest import Listener
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .conftest import is_long, size
from .field import Field

WRITERS = 20
SENDMAIL = Path(sys.executable).with_name("prx-sendmail")
STORED = "stored as "
LISTENERS_KILLED = 5  # where there are enough messages; else one
PATIENCE = 60.0


class _Mail:
    """Makes messages, and notes which were acknowledged.  tries: how often one was handed in."""

    def __init__(self, field: Field) -> None:
        self.field, self.tries = field, 0
        self._lock = threading.Lock()

    def new(self) -> tuple[str, str]:
        """A token and its message; each try to hand one in has its own, so that copies are told apart."""
        with self._lock:
            self.tries += 1
            token = f"w-{self.tries}"
        own = f"Message-ID: <{token}@writer.example>\n" if self.tries % 2 else ""
        return token, f"From: ops@example.com\nTo: a@example.org\nSubject: {token}\n{own}\nThis is {token}.\n"

    def acknowledged(self, outbox_id: int, token: str) -> int:
        """Note it, and count what was acknowledged."""
        with self._lock:
            assert outbox_id not in self.field.acknowledged, "an id was given twice"
            self.field.acknowledged[outbox_id] = token
            return len(self.field.acknowledged)


def _by_sendmail(mail: _Mail, each: int) -> None:
    """Write by the installed command; what was not stored is handed in again."""
    program = mail.field.program
    for _ in range(each):
        while True:
            token, text = mail.new()
            done = subprocess.run(
                [str(SENDMAIL), "-v", "-i", "a@example.org"], input=text, env=program.environment, cwd=program.home,
                text=True, capture_output=True, timeout=120, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                assert done.stderr.startswith(STORED), done
                mail.acknowledged(int(done.stderr.removeprefix(STORED)), token)
                break
            assert done.returncode == Exit.TRY_LATER, done


class _Server:
    """The listener, killed and started again each time so many messages were acknowledged."""

    def __init__(self, program: Program, every: int) -> None:
        self._program, self._every, self._next = program, every, every
        self._lock = threading.Lock()
        self.kills = 0
        self._listener = Listener(program, "--listen", "127.0.0.1:0").__enter__()

    def client(self) -> smtplib.SMTP:
        """A connection to the one that lives."""
        while True:
            with self._lock:
                port = self._listener.port
            try:
                client = smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE)
                client.ehlo()
            except (OSError, smtplib.SMTPException):  # it was killed since
                continue
            return client

    def count(self, acknowledged: int) -> None:
        """Kill it if that many are enough."""
        with self._lock:
            if acknowledged < self._next:
                return
            self._next += self._every
            self.kills += 1
            self.stop()
            self._listener = Listener(self._program, "--listen", "127.0.0.1:0").__enter__()

    def stop(self) -> None:
        self._listener.__exit__()


def _by_smtp(mail: _Mail, each: int, server: _Server) -> None:
    """Write to the listener; a message without an answer is handed in again, as every client does."""
    client = server.client()
    left = each
    while left:
        token, text = mail.new()
        try:
            client.mail("ops@example.com")
            client.rcpt("a@example.org")
            code, reply = client.data(text)
        except (OSError, smtplib.SMTPException):
            client.close()
            client = server.client()
            continue
        assert code in (250, 451, 452), reply
        if code == 250:
            left -= 1
            server.count(mail.acknowledged(int(reply.rpartition(b" ")[2]), token))
    client.close()


def _drain_and_kill(field: Field, rng: random.Random, over: Callable[[], bool], kills: int) -> None:
    """Drain until all is written, and so many drains were killed."""
    life = 0.2  # seconds of the last drain that lived to its end: how fast this machine is just now
    while not over() or len(field.sentences) < kills:
        started = time.monotonic()
        process = field.start("drain", "--connections", "3")
        killer = threading.Timer(rng.uniform(0.3, 2.0) * life, process.kill)
        killer.start()
        ended = field.end(process)
        killer.cancel()
        assert ended.killed or ended.status in (0, Exit.TRY_LATER), ended
        life = life * 1.5 if ended.killed else time.monotonic() - started


@pytest.mark.on_both
def test_twenty_writers_lose_nothing_and_double_nothing_in_silence_while_drains_are_killed(
    program: Program, rng: random.Random
) -> None:
    each = size("EACH", 5 if program.url is None or is_long("EACH") else 1)
    total = WRITERS * each
    kills = max(min(each, 5), total // 200)
    with ScriptedServer([Fault("rcpt", "451 4.3.0 later", times=total // 20, skip=total // 4)]) as work:
        field, started = Field(program, {"work": work}), time.monotonic()
        mail, server = _Mail(field), _Server(program, total // 2 if total < 1000 else total // (LISTENERS_KILLED + 1))
        try:
            with ThreadPoolExecutor(WRITERS + 1) as pool:
                half = WRITERS // 2
                writers = [pool.submit(_by_sendmail, mail, each) for _ in range(half)]
                writers += [pool.submit(_by_smtp, mail, each, server) for _ in range(half)]
                drains = pool.submit(
                    _drain_and_kill, field, rng, lambda: all(writer.done() for writer in writers), kills
                )
                for writer in [*writers, drains]:
                    writer.result()
        finally:
            server.stop()
        written = time.monotonic() - started
        field.finish("--connections", "4")
        field.finish("--connections", "4", "--now-ts", str(int(time.time()) + 20 * 3600))
        tally = field.tally()
        print(f"twenty writers, {written:.0f} s, {server.kills} listeners killed, {mail.tries} handed in: {tally}")
        tally.check()
        assert tally.acknowledged == total
        assert (tally.kills >= kills, server.kills >= 1) == (True, True)
