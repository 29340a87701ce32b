"""Several machines use one outbox at once, and none waits for another where it need not."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from prx_email_cli.errors import RestoredBackup, StorageError
from prx_email_cli.outbox.messages import Claimed, ClaimNext, Limit
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import PostgresStore

from ...support.postgres import PostgresServer
from ..messages import DOMAIN, NOW, claim, new_message, sent, wish
from .conftest import Machine

MACHINES, MESSAGES = 4, 200


def at_once(work: Callable[[int], None]) -> None:
    """Do *work* on each machine at the same time; errors are raised here."""
    errors: list[BaseException] = []
    together = threading.Barrier(MACHINES)

    def one(number: int) -> None:
        together.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(MACHINES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_no_message_is_claimed_by_two_machines_and_each_is_sent_once(machine: Machine) -> None:
    stores = [machine(str(number)) for number in range(MACHINES)]
    stores[0].submit([new_message() for _ in range(MESSAGES)])
    claimed: list[int] = []

    def drain(number: int) -> None:
        with stores[number].start_run(NOW) as run:
            done: list[Claimed] = []
            while True:
                advanced = run.advance([sent(one) for one in done], [wish(most=7)])
                assert not any(advanced.lost)
                (done,) = advanced.claims
                claimed.extend(one.outbox_id for one in done)
                if not done:
                    return

    at_once(drain)
    assert sorted(claimed) == list(range(1, MESSAGES + 1))
    assert stores[0].stats(NOW).sent == MESSAGES


def test_a_claim_does_not_wait_for_one_that_is_not_committed(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    one.submit([new_message(), new_message()])
    with other.start_run(NOW) as run, one.session() as (connection, _), connection.transaction():
        connection.execute("SELECT 1 FROM outbox WHERE id = 1 FOR UPDATE")
        assert claim(run).outbox_id == 2


def test_one_key_is_stored_once_whoever_is_quicker(machine: Machine) -> None:
    stores = [machine(str(number)) for number in range(MACHINES)]
    answers: list[int] = []

    def submit(number: int) -> None:
        message = new_message()._replace(idempotency_key="k", fingerprint="f")
        for _ in range(5):
            (answer,) = stores[number].submit([message])
            answers.append(answer.outbox_id)

    at_once(submit)
    assert len(set(answers)) == 1
    assert stores[0].stats(NOW).total == 1


def test_a_limit_counts_what_all_machines_claim(machine: Machine) -> None:
    stores = [machine(str(number)) for number in range(MACHINES)]
    stores[0].submit([new_message() for _ in range(MESSAGES)])
    limited = ClaimNext("work", NOW, NOW, limits=(Limit(10, 60),), most=7)
    claimed: list[Claimed] = []

    def claim_some(number: int) -> None:
        with stores[number].start_run(NOW) as run:
            (some,) = run.advance([], [limited]).claims
            claimed.extend(some)
            run.advance([sent(one) for one in some], [])

    at_once(claim_some)
    assert len(claimed) == 10


def test_a_limit_of_recipients_holds_for_the_message_that_is_claimed_in_place_of_the_next_one(machine: Machine) -> None:
    """Another session is changing the one that was counted, so the one behind it comes first."""
    one, other = machine("one"), machine("other")
    one.submit([new_message(), new_message(due_at=NOW), new_message("a@x.org", "b@x.org", "c@x.org")])
    limited = ClaimNext("work", NOW, NOW, limits=(Limit(3, 60, of_recipients=True),), most=7)
    with other.start_run(NOW) as run:
        run.advance([sent(claim(run))], [])
        with one.session() as (connection, _), connection.transaction():
            connection.execute("SELECT 1 FROM outbox WHERE id = 2 FOR UPDATE")
            assert run.advance([], [limited]).claims == [[]]
        assert [one.outbox_id for one in run.advance([], [limited]).claims[0]] == [2]


def test_machines_that_claim_for_the_same_accounts_in_another_order_do_not_wait_for_each_other(
    machine: Machine,
) -> None:
    """They would until the server looks for such a ring, a second later, and each time one does its work twice."""
    stores = [machine(str(number)) for number in range(MACHINES)]
    stores[0].submit([new_message(account=name) for name in ("a", "b", "c") for _ in range(MESSAGES)])
    limits = (Limit(30, 60),)
    claimed: list[Claimed] = []

    def claim_some(number: int) -> None:
        names = ["a", "b", "c"][:: 1 if number % 2 else -1]
        with stores[number].start_run(NOW) as run:
            for _ in range(10):
                advanced = run.advance([], [ClaimNext(name, NOW, NOW, limits, 2) for name in names])
                some = [one for claims in advanced.claims for one in claims]
                claimed.extend(some)
                run.advance([sent(one) for one in some], [])

    at_once(claim_some)
    assert Counter(one.account for one in claimed) == {"a": 30, "b": 30, "c": 30}
    with stores[0].reading() as connection:
        found = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert found.fetchone()[0] == 0


def test_counts_are_exact_whoever_stores_and_deletes(machine: Machine) -> None:
    stores = [machine(str(number)) for number in range(MACHINES)]

    def submit(number: int) -> None:
        for _ in range(20):
            stores[number].submit([new_message(account="home" if number % 2 else "work")])

    at_once(submit)
    assert stores[0].health(NOW).faults == []
    assert stores[0].stats(NOW).total == 20 * MACHINES


def test_a_dump_that_was_restored_elsewhere_is_not_sent_from_until_a_person_accepts_it(
    server: PostgresServer, machine: Machine
) -> None:
    machine("one").submit([new_message()])
    copy = server.copy_of(machine("one").where.conninfo)
    store = PostgresStore(Where(copy, "the copy"), machine("one")._records, DOMAIN)
    try:
        with store.start_run(NOW) as run, pytest.raises(RestoredBackup):
            run.advance([], [wish()])
        assert store.accept_restored()
        assert not store.accept_restored()
        with store.start_run(NOW) as run:
            assert claim(run).outbox_id == 1
    finally:
        store.close()


def test_a_database_of_another_program_is_left_alone(server: PostgresServer) -> None:
    url = server.new_database(migrated=False)
    subprocess.run(["psql", url, "-qc", "CREATE TABLE theirs (x int)"], check=True)
    with pytest.raises(StorageError, match="another program"):
        PostgresStore(Where(url, "theirs"), server.directory / "x", DOMAIN)
