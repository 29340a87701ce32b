"""Three machines enqueue and drain one outbox while drains are killed, the server restarts, and connections are cut.

By environment: TORTURE_MACHINES messages, TORTURE_RESTARTS of the server, TORTURE_OTHERS_WAIT seconds, TORTURE_SEED.
"""

from __future__ import annotations

import math
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from ..support.cutting_proxy import Cut, Manner, Place
from ..support.faults import Fault
from ..support.postgres import MISSING, programs
from .conftest import size
from .machines import Cluster, Machine, request

pytestmark = pytest.mark.skipif(programs() is None, reason=MISSING)

STEPS = (
    "connect", "read", "lock", "run", "begin", "claim", "commit:claim", "settle", "commit:settle", "submit",
    "commit:submit", "end",
)  # fmt: skip
RECOVERY_SECONDS = 180


class _Campaign:
    """Goes on until so many messages were acknowledged, and the server was restarted so often.

    A cut that was planned is made when its step comes on its machine; which never came is printed.
    """

    def __init__(self, cluster: Cluster, rng: random.Random, messages: int, restarts: int) -> None:
        self.cluster, self._rng, self._messages, self._restarts = cluster, rng, messages, restarts
        self.restarts = 0
        self.unmade: list[Cut] = []
        self._written, self._over = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._batch = max(60, messages // 100)

    def run(self) -> None:
        """Play it: on each machine some enqueue, one follows, and one drains as cron would."""
        machines = self.cluster.machines
        for number, cut in enumerate(self._cuts()):
            machines[number % len(machines)].proxy.plan([cut])
        for machine in machines:
            machine.proxy.chance, machine.proxy.patience = 0.002, 0.8
            machine.sink.on_message = partial(self._cut_after_the_dot, machine)
        with ThreadPoolExecutor(3 * len(machines) + 1) as pool:
            writers = [pool.submit(self._write, machine) for machine in machines]
            others = [pool.submit(work, machine) for work in (self._follow, self._drain) for machine in machines[:2]]
            others.append(pool.submit(self._drain, machines[2]))
            others.append(pool.submit(self._restart))
            try:
                for writer in writers:
                    writer.result()
            finally:
                self._written.set()
                self._over.set()
            for other in others:
                other.result()
        self.unmade = [cut for machine in machines for cut in machine.proxy.planned]
        for machine in machines:
            machine.proxy.calm()
            machine.sink.on_message = lambda: None

    def _chance(self, low: float, high: float) -> float:
        with self._lock:
            return self._rng.uniform(low, high)

    def _cuts(self) -> list[Cut]:
        """Plan one at every step, in a short campaign at one place of it, in a long one at each and in each manner."""
        cuts = [Cut(step, place, manner) for place in Place for manner in Manner for step in STEPS]
        if self._messages > 1000:
            return self._rng.sample(cuts, len(cuts))
        return [self._rng.choice([cut for cut in cuts if cut.step == step]) for step in STEPS]

    def _cut_after_the_dot(self, machine: Machine) -> None:
        if self._chance(0, 1) < 0.02 and not self._over.is_set():
            machine.proxy.cut_all("after the dot")

    def _write(self, machine: Machine) -> None:
        """Enqueue in each way until there are enough messages."""
        ways: list[Callable[[Machine], None]] = [self._send_with_key, self._send_batch, self._sendmail]
        while len(self.cluster.acknowledged) < self._messages or self.restarts < self._restarts:
            with self._lock:
                way = self._rng.choice([*ways, self._send_batch])
            if len(self.cluster.acknowledged) - self.cluster.received() > 10 * self._batch:
                time.sleep(0.05)  # the drains have enough to do
                continue
            way(machine)

    def _send_with_key(self, machine: Machine) -> None:
        """Send one message until it is known to be stored."""
        (token,) = self.cluster.tokens(1)
        while True:
            ended = machine.run("send", "--to", "a@example.org", "--subject", token, "--body", "text",
                                "--idempotency-key", token)  # fmt: skip
            if ended.out:
                self.cluster.acknowledge(int(ended.out), token)
            if ended.status == 0:
                return
            assert ended.status in (74, 75), ended

    def _send_batch(self, machine: Machine) -> None:
        """Send many with keys, again until all are known to be stored; or without keys, once."""
        tokens = self.cluster.tokens(self._batch)
        keyed = self._chance(0, 1) < 0.5
        text = "".join(request(token, token if keyed else None) for token in tokens)
        while True:
            ended = machine.run("send", "--batch", "-", text=text)
            lines = [line for line in ended.out.splitlines(keepends=True) if line.endswith("\n")]
            for line, token in zip(lines, tokens, strict=False):
                self.cluster.acknowledge(int(line), token)
            if ended.status == 0:
                assert len(lines) == len(tokens), ended
            if ended.status == 0 or not keyed:
                return
            assert ended.status in (74, 75), ended

    def _sendmail(self, machine: Machine) -> None:
        (token,) = self.cluster.tokens(1)
        text = f"From: ops@example.com\nTo: a@example.org\nSubject: {token}\n\nThis is {token}.\n"
        ended = machine.run("prx-sendmail", "-v", "-i", "a@example.org", text=text)
        assert ended.status in (0, 74, 75), ended
        if ended.status == 0:
            assert ended.err.startswith("stored as "), ended
            self.cluster.acknowledge(int(ended.err.removeprefix("stored as ")), token)

    def _follow(self, machine: Machine) -> None:
        """Follow; killed now and then, and started again as systemd would."""
        while not self._over.is_set():
            process = machine.start("drain", "--follow", "--connections", "3")
            self._wait(process, machine)
            process.send_signal(signal.SIGTERM if self._over.is_set() else signal.SIGKILL)
            ended = machine.end(process)
            assert ended.killed or ended.status in (-signal.SIGTERM, 128 + signal.SIGTERM, 0, 74, 75), ended

    def _drain(self, machine: Machine) -> None:
        """Drain as cron would; every third is killed."""
        while not self._over.is_set():
            process = machine.start("drain", "--connections", "2")
            if self._chance(0, 3) < 1:
                self._wait(process, machine)
                process.kill()
            ended = machine.end(process)
            assert ended.killed or ended.status in (0, 74, 75), ended
            self._over.wait(self._chance(0, 1))

    def _wait(self, process: subprocess.Popen[str], machine: Machine) -> None:
        """Wait until so many messages have arrived from the machine, the process has ended, or all is over.

        Now and then the database's messages count, too: so a drain is killed before it sends anything.
        """
        messages = len(machine.sink.messages) + self._chance(1, self._messages / 12)
        steps = machine.proxy.steps.total() + self._chance(5, 50) if self._chance(0, 4) < 1 else math.inf
        while process.poll() is None and not self._over.is_set():
            if len(machine.sink.messages) >= messages or machine.proxy.steps.total() >= steps:
                return
            time.sleep(0.005)

    def _restart(self) -> None:
        """Restart the server, at once as after a crash, while a claim is being committed."""
        for number in range(self._restarts):
            enough = self._messages * (number + 1) // (self._restarts + 1)
            while len(self.cluster.acknowledged) < enough and not self._over.is_set():
                time.sleep(0.02)
            seen = self._claims()
            while self._claims() == seen and not self._over.is_set():
                time.sleep(0.001)
            self.cluster.server.restart()
            self.restarts += 1

    def _claims(self) -> int:
        return sum(machine.proxy.steps["commit:claim"] for machine in self.cluster.machines)


def test_three_machines_lose_nothing_whatever_is_killed_restarted_and_cut(tmp_path: Path, rng: random.Random) -> None:
    messages, restarts = size("MACHINES", 240), size("RESTARTS", 1)
    with Cluster(tmp_path, rng, others_wait_seconds=size("OTHERS_WAIT", 2)) as cluster:
        began = time.monotonic()
        campaign = _Campaign(cluster, rng, messages, restarts)
        campaign.run()
        played = time.monotonic() - began
        recovered = cluster.finish(cluster.machines, RECOVERY_SECONDS)
        tally = cluster.tally()
        cuts: Counter[str] = sum((machine.proxy.cuts for machine in cluster.machines), Counter())
        kills = sum(machine.kills for machine in cluster.machines)
        print(f"three machines, {played:.0f} s, finished {recovered:.0f} s later: {kills} kills, "
              f"{campaign.restarts} restarts, {cuts.total()} cuts, {tally}")  # fmt: skip
        print(", ".join(f"{name}: {many}" for name, many in sorted(cuts.items())))
        print("planned and not made:", *map(tuple, campaign.unmade))
        tally.check()
        assert tally.acknowledged >= messages
        assert (kills > 0, campaign.restarts) == (True, restarts)


def test_a_machine_recovers_what_two_held_that_died_for_good(tmp_path: Path, rng: random.Random) -> None:
    wait = size("OTHERS_WAIT", 2)
    with Cluster(tmp_path, rng, others_wait_seconds=wait) as cluster:
        first, second, third = cluster.machines
        tokens = cluster.tokens(60)
        ended = third.run("send", "--batch", "-", text="".join(map(request, tokens)))
        for line, token in zip(ended.out.splitlines(), tokens, strict=True):
            cluster.acknowledge(int(line), token)
        for machine in (first, second):
            machine.sink.misbehave(Fault("after_dot", "timeout", times=None, skip=3, delivered=True))
        drains = [(machine, machine.start("drain", "--connections", "2")) for machine in (first, second)]
        for machine, _ in drains:
            machine.sink.wait_for(lambda machine=machine: len(machine.sink.happened) == 2)  # type: ignore[misc]
        for machine, process in drains:
            machine.kill_all()
            assert machine.end(process).killed
            machine.lose_state()
        took = cluster.finish([third], wait + RECOVERY_SECONDS)
        tally = cluster.tally()
        print(f"two died for good, recovered after {took:.0f} s: {tally}")
        tally.check()
        assert tally.second_copies >= 4  # what was on the wire, and what was answered and not recorded
