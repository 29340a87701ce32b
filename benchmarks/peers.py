"""How fast a drain is against its peers: Postfix, ``smtp-source``, ``smtplib``, and itself under worse conditions.

    python -m benchmarks.peers [--rounds N] [--messages N] [--only ROW]...          (as root, on Debian: for Postfix)

Each row is a ratio of two rates, or of two times, of the same rounds.  Whatever is compared sends messages of 2 KB to
the same ``smtp-sink`` on loopback.  Ours and Postfix's queue are filled beforehand, on the same disk, and what the
filling left in the page cache is written out before the clock starts.  Ours counts as a whole process, start included;
Postfix's time is from the start of its queue manager until the queue is empty.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.common import (
    PRX_EMAIL,
    Outbox,
    Verdicts,
    in_turns,
    options,
    ratio,
    running_sink,
    spent,
    unpacked,
    workspace,
    write_requests,
)
from benchmarks.drain import loop_command, save_messages
from benchmarks.postfix_queue import PostfixQueue, Way
from benchmarks.relays import Entrances, Source, distance, tls_in_front
from benchmarks.slow_sync import slow_sync
from tests.interop.servers import make_certs

SYNC_MS = 10
ROUND_TRIP_MS = 50
FAR_SHARE = 5
"""At a distance everything is ten times as slow: a fifth of the messages says as much."""
STARTS = 8
"""A start takes some milliseconds: so many times the rounds."""


class Contestant(StrEnum):
    """Whose rate, in messages a second, or time, in milliseconds, is measured."""

    DRAIN = "drain, 10 connections"
    DRAIN_ONE = "drain, 1 connection"
    POSTFIX = "Postfix's queue, 20 connections"
    SOURCE = "smtp-source -d -s 10"
    LOOP = "smtplib loop, 1 connection"
    DRAIN_FAR = f"drain, 20 connections, {ROUND_TRIP_MS} ms away"
    POSTFIX_FAR = f"Postfix's queue, 20 connections, {ROUND_TRIP_MS} ms away"
    DRAIN_SLOW = f"drain, 10 connections, a sync of {SYNC_MS} ms"
    DRAIN_TLS = "drain, 10 connections, TLS"
    DRAIN_PLAIN = "drain, 10 connections, the same way without TLS"
    DRAIN_DUE = "drain of one due message"
    PASS = "python -c pass"


class Row(NamedTuple):
    """A target: what is above over what is below, at least, or at most, *limit*."""

    name: str
    above: Contestant
    below: Contestant
    limit: float
    at_most: bool = False


# What stands together is measured in turns with each other.
GROUPS: tuple[tuple[Row, ...], ...] = (
    (
        Row("postfix", Contestant.DRAIN, Contestant.POSTFIX, 3),
        Row("smtp-source", Contestant.DRAIN, Contestant.SOURCE, 0.5),
        Row("smtplib", Contestant.DRAIN_ONE, Contestant.LOOP, 1.5),
    ),
    (Row("round-trip", Contestant.DRAIN_FAR, Contestant.POSTFIX_FAR, 3),),
    (Row("sync", Contestant.DRAIN_SLOW, Contestant.DRAIN, 0.5),),
    (Row("tls", Contestant.DRAIN_TLS, Contestant.DRAIN_PLAIN, 0.7),),
    (Row("start", Contestant.DRAIN_DUE, Contestant.PASS, 12, at_most=True),),
)
NEED_ROOT = (Contestant.POSTFIX, Contestant.POSTFIX_FAR)


class Course:
    """Where the contestants run: one directory, one sink, and whatever else a contestant needs once it is asked for."""

    def __init__(self, stack: ExitStack, count: int) -> None:
        self._stack = stack
        self.directory = stack.enter_context(workspace())
        self.count = count
        self.sink = stack.enter_context(running_sink())
        self.requests = write_requests(self.directory / "requests", count)
        self.far_requests = write_requests(self.directory / "far-requests", max(1, count // FAR_SHARE))
        self.messages = self.directory / "messages"
        outbox = Outbox(self.directory / "content")
        outbox.fill(self.requests)
        self.source = Source(count, save_messages(outbox.file, self.messages))

    @cached_property
    def far(self) -> int:
        """The port behind which the sink is a round trip away."""
        return self._stack.enter_context(distance(self.sink, ROUND_TRIP_MS, self.source))

    @cached_property
    def entrances(self) -> Entrances:
        """The ports with TLS and without."""
        return self._stack.enter_context(tls_in_front(self.sink, self.directory, self.source))

    @cached_property
    def slowness(self) -> dict[str, str]:
        """The environment in which a sync is slow."""
        return slow_sync(self.directory, SYNC_MS)

    def contestant(self, which: Contestant) -> Callable[[], float]:
        """Return what measures a contestant once; what it needs beyond the sink is started now."""
        match which:
            case Contestant.DRAIN:
                return self._drain(self.sink, 10)
            case Contestant.DRAIN_ONE:
                return self._drain(self.sink, 1)
            case Contestant.DRAIN_FAR:
                return self._drain(self.far, 20, requests=self.far_requests)
            case Contestant.DRAIN_SLOW:
                return self._drain(self.sink, 10, env=self.slowness)
            case Contestant.DRAIN_TLS:
                tls = f'tls = "implicit"\ntls_ca_file = "{self.directory / "ca.pem"}"'
                return self._drain(self.entrances.tls, 10, tls=tls)
            case Contestant.DRAIN_PLAIN:
                return self._drain(self.entrances.plain, 10)
            case Contestant.POSTFIX:
                return self._postfix(self.sink, self.count)
            case Contestant.POSTFIX_FAR:
                return self._postfix(self.far, _lines(self.far_requests))
            case Contestant.SOURCE:
                return lambda: self.source.rate(self.sink)
            case Contestant.LOOP:
                return lambda: self.count / spent(loop_command(self.sink, self.messages)).wall
            case Contestant.DRAIN_DUE:
                return self._drain_due()
            case Contestant.PASS:
                return lambda: spent([sys.executable, "-c", "pass"]).wall * 1000

    def _drain(
        self,
        port: int,
        connections: int,
        *,
        requests: Path | None = None,
        tls: str = 'tls = "none"',
        env: Mapping[str, str] | None = None,
    ) -> Callable[[], float]:
        """Messages a second of one whole drain; filling the outbox is not part of the time."""
        filling = requests or self.requests
        count = _lines(filling)
        outbox = Outbox(Path(tempfile.mkdtemp(dir=self.directory)), port, tls)

        def drain() -> float:
            outbox.forget()
            outbox.fill(filling)
            os.sync()
            wall = outbox.run("drain", "--connections", str(connections), **(env or {})).wall
            _check_sent(outbox, count)
            return count / wall

        return drain

    def _drain_due(self) -> Callable[[], float]:
        """Milliseconds of one whole drain that finds one message due."""
        outbox = Outbox(self.directory / "due", self.sink)

        def drain() -> float:
            outbox.run("send", "--to", "a@example.com", "--subject", "s", "--body", "b")
            return outbox.run("drain").wall * 1000

        return drain

    def _postfix(self, port: int, count: int) -> Callable[[], float]:
        """Messages a second of a Postfix of its own; starting and filling it is not part of the time."""
        unpacked("postfix")
        certs = make_certs(Path(tempfile.mkdtemp(dir=self.directory)))

        def deliver() -> float:
            with PostfixQueue(Path(tempfile.mkdtemp(dir=self.directory)), certs, Way(port)) as postfix:
                postfix.fill(count, self.source.size)
                os.sync()
                return count / postfix.deliver(count)

        return deliver


def _lines(requests: Path) -> int:
    with open(requests, "rb") as stream:
        return sum(1 for _ in stream)


def _check_sent(outbox: Outbox, count: int) -> None:
    """Raise SystemExit unless all was sent: the rate of a failure is no result."""
    told = subprocess.run([PRX_EMAIL, "stats", "--json"], env=outbox.env, capture_output=True, check=True).stdout
    if json.loads(told)["data"]["sent"] != count:
        raise SystemExit(f"not all of {count} messages were sent: {told.decode()}")


def measure(course: Course, rows: Sequence[Row], rounds: int, verdicts: Verdicts) -> None:
    """Measure what *rows* compare, in turns, and judge each row."""
    names = {name for row in rows for name in (row.above, row.below)}
    contestants: dict[str, Callable[[], float]] = {name: course.contestant(name) for name in sorted(names)}
    if Contestant.PASS in names:
        rounds *= STARTS
        contestants[Contestant.DRAIN_DUE]()  # the first one writes .pyc files and creates the outbox
    results = in_turns(contestants, rounds)
    for name, values in results.items():
        unit = "ms" if name in (Contestant.PASS, Contestant.DRAIN_DUE) else "messages/s"
        print(f"    {name:48} {median(values):8.1f} {unit}, {min(values):.1f} to {max(values):.1f}", flush=True)
    for row in rows:
        judge = verdicts.at_most if row.at_most else verdicts.at_least
        judge(f"{row.name}: {row.above} / {row.below}", ratio(results[row.above], results[row.below]), row.limit)


def main() -> None:
    """Measure and tell."""
    names = [row.name for group in GROUPS for row in group]
    asked = options(__doc__, names, rounds=5, messages=5000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends with this
    chosen = [[row for row in group if row.name in (asked.only or names)] for group in GROUPS]
    if os.geteuid() != 0 and any(row.below in NEED_ROOT for rows in chosen for row in rows):
        raise SystemExit("Postfix needs root; choose rows without it by --only")
    verdicts = Verdicts()
    with ExitStack() as stack:
        course = Course(stack, asked.messages)
        for rows in filter(None, chosen):
            print(f"load {os.getloadavg()[0]:.1f}", flush=True)
            measure(course, rows, asked.rounds, verdicts)
    verdicts.exit()


if __name__ == "__main__":
    main()
