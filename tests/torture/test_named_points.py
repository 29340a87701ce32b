"""Processes killed at every named point, several at a time, and what becomes of the message they had in hand.

The same on both kinds of outbox, but for points that only one of them has.
"""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .conftest import is_long, size
from .field import Ended, Field
from .points import DATABASE, DRAIN, FILE, NOTHING, RETRY, SEND, Effect, Point

AT_A_TIME = 3
TRIES = 5
REFILL = 60
SHARE = 0.15  # of the points that both kinds of outbox have, in the short run on the second
ONE = ("--connections", "1")


@pytest.fixture
def field(program: Program) -> Iterator[Field]:
    """An outbox with an account for each way in which envelopes leave, as ``Point`` has them."""
    with ScriptedServer() as work, ScriptedServer(pipelining=False) as plain, ScriptedServer() as apart:
        field = Field(program, {"work": work, "plain": plain, "apart": apart})
        program.config.write_text(program.config.read_text() + "join_envelopes = false\n")  # of the last one
        yield field


class _Points(NamedTuple):
    """The points that a kind of outbox has, by the command that is killed there."""

    drain: list[Point]
    retry: list[Point]
    send: list[Point]

    @classmethod
    def of(cls, kind: str) -> "_Points":
        """All of them."""
        return cls(*([point for point in points if point.only in ("", kind)] for points in (DRAIN, RETRY, SEND)))

    def some(self, rng: random.Random) -> "_Points":
        """Those that the other kind has not, and some of the others."""
        chosen = ([point for point in points if point.only or rng.random() < SHARE] for points in self)
        return _Points(*chosen)


class _Campaign:
    """Kills at named points, with the effect that each must have."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.expected: dict[int, tuple[str, Effect]] = {}  # by the pid of the process that was killed
        self.unreached: list[str] = []

    def kill(self, point: str, nth: int, effect: Effect, *command: str) -> Ended:
        """Run *command* to its death at *point*, and note what it must have left.

        A drain to which those beside it left too little is run again once there is more to send.
        """
        label = f"{command[0]} {point} ({nth})"
        for _ in range(TRIES):
            ended = self.field.run(*command, point=point, nth=nth)
            assert "Traceback" not in ended.err, ended
            if ended.killed and f"reached: {point}\n" in ended.err:
                self.expected[ended.pid] = label, effect
                return ended
            if command[0] == "drain":
                for account in self.field.servers:
                    self.field.send(REFILL, account, large_every=4)
        self.unreached.append(f"{label}: {ended}")
        return ended

    def drain(self, point: Point, nth: int) -> None:
        """Kill a drain at this point."""
        if point.orphan:
            self.kill("claim, after COMMIT", 1, NOTHING, "drain", *ONE)
        effect = point.first if nth == 1 else point.later or point.first
        account = ("--account", point.account)
        self.kill(point.name, nth if point.later else 1, effect, "drain", *ONE, *account, *point.options)

    def retry(self, point: Point, outbox_id: int) -> None:
        """Kill a retry at this point."""
        self.kill(point.name, 1, point.first, "retry", str(outbox_id), "--force")

    def send(self, point: Point) -> None:
        """Kill a send at this point and say it again with the same key: it is one message, stored or not before."""
        (token,), _ = self.field.lines(1)
        command = ("send", "--account", "work", "--to", "a@example.org", "--subject", token, "--body", "text",
                   "--idempotency-key", token)  # fmt: skip
        ended = self.kill(point.name, 1, point.first, *command)
        acknowledged = self.field.acknowledge([token], ended.out)
        stored = self.field.stored(token, at_last=point.first.stored)
        assert bool(stored) == point.first.stored, point
        assert stored or not acknowledged, point

        again = self.field.acknowledge([token], self.field.run(*command).out)
        assert [(outbox_id,) for outbox_id in again] == self.field.query(
            "SELECT id FROM outbox WHERE subject = ?", token
        )
        assert not stored or stored == [(outbox_id,) for outbox_id in again], point

    def wrong_effects(self) -> list[str]:
        """Points whose kill left something else than it must, by the records of the runs that died there."""
        runs = self.field.query("SELECT outbox_id, run_id FROM attempt WHERE outcome = 'died'")
        in_hand = {int(run_id.split("-")[1]): outbox_id for outbox_id, run_id in runs}
        tokens = dict(self.field.query("SELECT id, subject FROM outbox"))
        died = Counter(outbox_id for outbox_id, _ in runs)
        copies = self.field.copies()
        wrong = []
        for pid, (label, effect) in self.expected.items():
            message = in_hand.get(pid)
            arrived = len(copies[tokens[message], "a@example.org"]) if message is not None else 1
            once = message is None or died[message] == 1  # else another kill shares the blame
            if effect.in_hand is None:
                fits = not once or arrived <= effect.copies
            else:
                fits = (message is not None) == effect.in_hand and (not once or arrived == effect.copies)
            if not fits:
                wrong.append(f"{label}: message {message} in hand, {arrived} copies, expected {effect}")
        return wrong


def _play(campaign: _Campaign, rng: random.Random, points: _Points, messages: int) -> None:
    """One round over these points.  messages: how many there are for the drains at first."""
    field = campaign.field
    by_hand = field.send(len(RETRY))
    assert field.run("hold", *map(str, by_hand)).status == 0  # keeps drains away, not a person's retry
    field.send(messages, large_every=4)
    for account in ("plain", "apart"):
        field.send(messages // 4, account)
    later = [point for point in points.drain if point.later]
    if size("ROUNDS", 0) == 0:  # the short run's: in the end every point has its turn
        later = rng.sample(later, len(later) // 2)
    for point in points.drain:
        if point.orphan:
            campaign.drain(point, 1)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        jobs = [pool.submit(campaign.drain, point, 1) for point in points.drain if not point.orphan]
        jobs += [pool.submit(campaign.drain, point, rng.randint(2, 6)) for point in later]
        jobs += [pool.submit(campaign.retry, point, by_hand.pop()) for point in points.retry]
        jobs += [pool.submit(campaign.send, point) for point in points.send]
        for job in jobs:
            job.result()
    assert field.run("release", "--all").status == 0
    field.finish()


@pytest.mark.on_both
def test_a_kill_at_any_named_point_loses_nothing_and_doubles_only_what_it_must(
    field: Field, rng: random.Random
) -> None:
    """The short run on a database beside the one on a file has some of the points that both have."""
    on_database = field.program.url is not None
    points, messages = _Points.of(DATABASE if on_database else FILE), 240
    if on_database and not is_long("ROUNDS"):
        points, messages = points.some(rng), 80
    campaign = _Campaign(field)
    for _ in range(size("ROUNDS", 1)):
        _play(campaign, rng, points, messages)

    tally = field.tally()
    print(f"named points: {tally}")
    assert campaign.unreached == []
    tally.check()
    assert campaign.wrong_effects() == []
