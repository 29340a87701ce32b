"""Processes killed at random instants while others go on: drains, senders, retries, and people."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .conftest import size
from .field import Field

DRAINS_AT_A_TIME, SENDERS_AT_A_TIME = 3, 1
BATCH = 250
# After the first batch.  An odd number, so that of some message one recipient is deferred and the other is not.
DEFERRING = [
    Fault("rcpt", "451 4.3.0 later", times=61, skip=2 * BATCH),
    Fault("after_dot", "451 4.3.0 later", times=20, skip=BATCH + 20),
]


class _Campaign:
    """Goes on until so many messages were acknowledged and so many processes killed."""

    def __init__(self, field: Field, rng: random.Random, messages: int, kills: int) -> None:
        self.field = field
        self._rng = rng
        self._messages, self._kills = messages, kills
        self._life = self._usual_life()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Play it with several processes at a time."""
        with ThreadPoolExecutor(DRAINS_AT_A_TIME + SENDERS_AT_A_TIME) as pool:
            jobs = [pool.submit(self._drain, number) for number in range(DRAINS_AT_A_TIME)]
            jobs += [pool.submit(self._send) for _ in range(SENDERS_AT_A_TIME)]
            for job in jobs:
                job.result()

    def _usual_life(self) -> float:
        """Seconds that a drain of a batch lives: how fast this machine is just now."""
        self.field.send(BATCH)
        started = time.monotonic()
        assert self.field.run("drain").status == 0
        return time.monotonic() - started

    def _over(self) -> bool:
        return len(self.field.acknowledged) >= self._messages and len(self.field.sentences) >= self._kills

    def _chance(self, low: float, high: float) -> float:
        with self._lock:
            return self._rng.uniform(low, high)

    def _one_of(self, *commands: tuple[str, ...]) -> tuple[str, ...]:
        with self._lock:
            return self._rng.choice(commands)

    def _drain(self, machine: int) -> None:
        drain = ("drain", "--connections", "3")
        while not self._over():
            some_id = str(int(self._chance(1, len(self.field.acknowledged) + 1)))
            command = self._one_of(
                drain, drain, drain, drain, drain, ("retry", "--force", some_id), ("hold", some_id),
                ("release", "--all"), ("prune", "--older-than", "0s"),
            )  # fmt: skip
            self._start_and_kill(command, machine=machine)

    def _start_and_kill(self, command: tuple[str, ...], text: str = "", machine: int = 0) -> str:
        process = self.field.start(*command, machine=machine)
        killer = threading.Timer(self._chance(0.3, 2.0) * self._life, process.kill)
        killer.start()
        ended = self.field.end(process, text)
        killer.cancel()
        killer.join()
        assert ended.killed or ended.status in (0, 65, 66, 75), ended
        return ended.out

    def _send(self) -> None:
        """Keep the drains busy, and no more: a queue that only grows would have to be emptied at the end."""
        while not self._over():
            if self.field.due() > 4 * BATCH:
                time.sleep(0.05)
                continue
            tokens, text = self.field.lines(BATCH)
            self.field.acknowledge(tokens, self._start_and_kill(("send", "--batch", "-"), text))


@pytest.mark.on_both
def test_kills_at_random_instants_lose_nothing_and_double_nothing_in_silence(
    program: Program, rng: random.Random
) -> None:
    """On a database, each of the drains at a time is on a machine of its own."""
    few = program.url is not None
    kills = size("KILLS", 6 if few else 10)
    with ScriptedServer(DEFERRING) as server:
        field = Field(program, {"work": server})
        _Campaign(field, rng, size("MESSAGES", 400 if few else 600), kills).run()

        assert field.run("release", "--all").status == 0
        for hours in (20, 40, 60):  # when what was deferred is due again, and what other machines left
            field.finish("--connections", "4", "--now-ts", str(int(time.time()) + hours * 3600))
        for machine in range(DRAINS_AT_A_TIME):  # the last of each leaves records, which its next one removes
            assert field.machine(machine).run("drain").status == 0
        tally = field.tally()
        print(f"random instants: {tally}")
        tally.check()
        assert tally.kills >= kills
