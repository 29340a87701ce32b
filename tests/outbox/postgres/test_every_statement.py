"""Whatever statement of whatever step fails, the outbox is as before it or as after it, and the next drain goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from prx_email_cli.errors import PrxEmailError, StorageError
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Limit
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import Patience, PostgresStore
from prx_email_cli.outbox.views import Drop, Pruning

from ...support.postgres import PostgresServer, empty
from ..messages import DOMAIN, NOW, POLICY, ended, in_doubt, new_message, sent, wish
from .breaking import Breaking, Manner
from .dying import kill

STORED, MOST = 6, 9
SHORT = "TORTURE_ROUNDS" not in os.environ
LATER = NOW + 100_000


class World:
    """A machine with a run, and what it knows to have said to a provider.

    said, unanswered: ids of messages whose acceptance, or whose end alone, is in a flight record.
    """

    def __init__(self, database: str, home: Path) -> None:
        self._where, self._home = Where(database, "the test's"), home
        self.store = self.open()
        self.store.submit([new_message(expires_at=NOW + 5 if number == STORED else None) for number in range(STORED)])
        self.run = self.store.start_run(NOW)
        self.claims: list[Claimed] = []
        self.said: set[int] = set()
        self.unanswered: set[int] = set()

    def open(self) -> PostgresStore:
        return PostgresStore(self._where, self._home / "records", DOMAIN, Patience(withdraw_seconds=0))

    def claim(self) -> None:
        """Three messages: one accepted, one whose answer is awaited, one that was not begun."""
        (self.claims,) = self.run.advance([], [wish(most=3)]).claims
        first, second, _ = self.claims
        self.run.about_to_end(first, in_doubt(first))
        self.run.answered(first, sent(first).outcome, NOW)
        self.run.about_to_end(second, in_doubt(second))
        self.said, self.unanswered = {first.outbox_id}, {second.outbox_id}

    def deliver_all(self) -> dict[int, int]:
        """Let a new process settle and send everything; how often each was sent by it."""
        store = self.open()
        sent_now: dict[int, int] = {}
        with store.start_run(LATER) as run:
            recovered = run.recover(POLICY, LATER)
            assert set(recovered.uncertain) <= self.unanswered
            assert run.recover(POLICY, LATER) == ([], [], [])
            store.release_all(None, LATER)
            done: list[Claimed] = []
            while True:
                (done,) = run.advance([sent(one) for one in done], [wish(LATER, most=2)]).claims
                for one in done:
                    sent_now[one.outbox_id] = sent_now.get(one.outbox_id, 0) + 1
                if not done:
                    break
        self.check(store)
        store.close()
        return sent_now

    def check(self, store: PostgresStore) -> None:
        assert store.health(LATER).faults == []
        assert store.living() == []
        assert not list(self.run._runs.directory.glob("*.flight"))
        with store.reading() as connection:
            assert connection.execute("SELECT count(*) FROM run").fetchone() == (0,)
            pieces = connection.execute("SELECT count(*) FROM content WHERE id / 65536 NOT IN (SELECT id FROM outbox)")
            assert pieces.fetchone() == (0,)


class Step(NamedTuple):
    """Something that a store is asked for.  begin: what goes before.  gone: the messages that it lets nobody send."""

    take: Callable[[World], Any]
    begin: Callable[[World], Any] = lambda world: None
    gone: frozenset[int] = frozenset()


def finish(world: World) -> None:
    """Record an acceptance and a deferral, give the third back, and claim one more."""
    first, second, third = world.claims
    world.run.answered(second, ended(second).outcome, NOW)
    world.unanswered = set()
    advanced = world.run.advance([sent(first), ended(second)], [wish()], [third])
    assert advanced.lost == [None, None]


def claim_limited(world: World) -> None:
    world.run.advance([], [ClaimNext("work", NOW, NOW, limits=(Limit(2, 60),), most=3)])


def recover(world: World) -> None:
    world.run.recover(POLICY, LATER)


def killed(world: World) -> None:
    world.claim()
    kill(world.run)
    world.run.in_flight._record = None
    world.run = world.store.start_run(NOW)


def all_sent(world: World) -> None:
    (claims,) = world.run.advance([], [wish(most=STORED)]).claims
    world.run.advance([sent(one) for one in claims], [])
    world.said = {one.outbox_id for one in claims}


STEPS = {
    "start a run": Step(lambda world: world.store.start_run(NOW).__exit__(None, None, None)),
    "submit": Step(lambda world: world.store.submit([new_message(), new_message()._replace(idempotency_key="k")])),
    "claim": Step(World.claim),
    "claim within limits": Step(claim_limited),
    "claim by hand": Step(lambda world: world.run.claim_by_id(ClaimOne(4, NOW, force=False))),
    "finish": Step(finish, World.claim),
    "recover": Step(recover, killed),
    "begin a drain": Step(lambda world: world.run.begin_drain(NOW)),
    "expire": Step(lambda world: world.run.expire(NOW + 10), gone=frozenset({STORED})),
    "end the run": Step(lambda world: world.run.__exit__(None, None, None), World.claim),
    "hold": Step(lambda world: world.store.hold(5, NOW)),
    "hold all": Step(lambda world: world.store.hold_all(None, NOW)),
    "cancel": Step(lambda world: world.store.cancel(5, NOW), gone=frozenset({5})),
    "prune records": Step(lambda world: world.store.prune(Pruning(LATER, LATER, Drop.RECORD)), all_sent),
    "prune contents": Step(lambda world: world.store.prune(Pruning(LATER, LATER, Drop.CONTENT)), all_sent),
    "take what is unreported": Step(
        lambda world: world.store.take_unreported(NOW + 20),
        lambda world: world.run.expire(NOW + 10), frozenset({STORED}),
    ),
}  # fmt: skip


def test_an_enqueue_that_the_server_refuses_says_that_nothing_was_stored(
    server: PostgresServer, tmp_path: Path
) -> None:
    world = World(server.new_database(), tmp_path)
    with Breaking(Manner.REFUSED, 1).of(world.store), pytest.raises(StorageError) as raised:
        world.store.submit([new_message()])
    assert "the message was not stored" in raised.value.hint
    assert world.store.stats(NOW).total == STORED
    world.run.__exit__(None, None, None)
    world.store.close()


def test_an_enqueue_whose_commit_is_not_answered_finds_out_that_it_is_stored(
    server: PostgresServer, tmp_path: Path
) -> None:
    world = World(server.new_database(), tmp_path)
    with Breaking(Manner.COMMITTED, 1).of(world.store):
        (answer,) = world.store.submit([new_message()])
    assert world.store.row(answer.outbox_id).status == "pending"
    assert world.store.stats(NOW).total == STORED + 1
    world.run.__exit__(None, None, None)
    world.store.close()


def played(database: str, home: Path, step: Step, breaking: Breaking) -> None:
    """Let a step break off; then another process goes on, to which nobody says what happened."""
    with psycopg.connect(database, autocommit=True) as connection:
        empty(connection)
    world = World(database, home)
    step.begin(world)
    failed = False
    with breaking.of(world.store):
        try:
            step.take(world)
        except PrxEmailError:
            failed = True
    world.run.__exit__(None, None, None)
    world.store.close()
    again = world.deliver_all()
    assert not set(again) & world.said, "sent again"
    assert failed or set(again) >= set(range(1, STORED + 1)) - world.said - step.gone
    assert max(again.values(), default=1) == 1


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_breaks_off_at_any_statement_is_made_or_not_and_the_next_drain_goes_on(
    server: PostgresServer, tmp_path: Path, name: str
) -> None:
    """In the short run each statement fails in one manner, and of many only some do."""
    database = server.new_database()
    for nth in count(1) if not SHORT else chain(range(1, MOST), count(MOST, 5)):
        some = [list(Manner)[nth % 3]] if SHORT else list(Manner)[:3]
        tried = [Breaking(manner, nth) for manner in some]
        for number, breaking in enumerate(tried):
            played(database, tmp_path / f"{nth}-{number}", STEPS[name], breaking)
        if not any(one.happened for one in tried):
            break
    for nth in count(1):
        breaking = Breaking(Manner.COMMITTED, nth)
        played(database, tmp_path / f"{nth}-committed", STEPS[name], breaking)
        if not breaking.happened:
            break
