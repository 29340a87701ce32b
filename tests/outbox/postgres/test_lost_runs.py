"""What runs leave behind that lost their session, or their process, and who may touch it."""

from __future__ import annotations

import threading

import pytest

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.postgres.run import PostgresRun
from prx_email_cli.outbox.runs import Runs

from ...support.postgres import PostgresServer
from ..messages import NOW, POLICY, claim, in_doubt, new_message, sent, wish
from .conftest import Machine
from .dying import kill


def flights(run: PostgresRun) -> list[str]:
    return sorted(file.name for file in run._runs.directory.glob("*.flight"))


def test_a_run_claims_nothing_through_a_session_that_does_not_hold_its_lock(
    server: PostgresServer, machine: Machine
) -> None:
    store = machine("one")
    store.enqueue([new_message() for _ in range(3)])
    with store.start_run(NOW) as run:
        claimed = claim(run)
        server.restart()
        for _ in range(3):
            with pytest.raises(PrxEmailError):
                run.advance([], [wish()])
        assert run.advance([sent(claimed)], [wish()]).claims == [[]]
        assert [store.row(number).status for number in (1, 2, 3)] == [Status.SENT, Status.PENDING, Status.PENDING]


def test_what_a_living_process_has_on_the_wire_is_not_sent_by_another_of_its_machine_when_it_lost_its_session(
    server: PostgresServer, machine: Machine
) -> None:
    one = machine("one")
    one.enqueue([new_message()])
    run = one.start_run(NOW)
    claimed = claim(run)
    server.restart()
    with machine("one").start_run(NOW) as later:
        assert later.recover(POLICY, NOW) == ([], [], [])
        assert later.advance([], [wish()]).claims == [[]]
        run.about_to_end(claimed, in_doubt(claimed))  # it has not noticed yet, and goes on
        assert later.recover(POLICY, NOW) == ([], [], [])
        assert run.advance([sent(claimed)], []).lost == [None]
    run.__exit__(None, None, None)
    assert one.row(1).status == Status.SENT


def test_a_process_that_lives_on_without_its_session_keeps_its_messages_no_longer_than_another_machine_would(
    server: PostgresServer, machine: Machine
) -> None:
    one = machine("one")
    one.enqueue([new_message()])
    run = one.start_run(NOW)
    claimed = claim(run)
    server.restart()
    with machine("one").start_run(NOW) as later:
        later.recover(POLICY, NOW)
        assert later.recover(POLICY, NOW + 120).uncertain == [1]  # what its record says may change as it is read
    (lost,) = run.advance([sent(claimed)], []).lost
    assert lost is not None
    run.__exit__(None, None, None)


def test_a_dead_run_that_had_nothing_in_hand_leaves_no_record_and_no_row(machine: Machine) -> None:
    store = machine("one")
    store.enqueue([new_message()])
    run = store.start_run(NOW)
    run.advance([sent(claim(run))], [])
    assert flights(run) == [f"{run.run_id}.flight"]
    kill(run)
    with store.start_run(NOW) as later:
        assert later.recover(POLICY, NOW) == ([], [], [])
        assert flights(run) == []
        with store.reading() as connection:
            assert connection.execute("SELECT run_id FROM run").fetchall() == [(later.run_id,)]


def test_the_record_of_a_run_that_another_machine_settled_goes_with_the_next_run_of_its_own(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    one.enqueue([new_message()])
    run = one.start_run(NOW)
    claimed = claim(run)
    run.about_to_end(claimed, in_doubt(claimed))
    kill(run)
    with other.start_run(NOW) as later:
        later.recover(POLICY, NOW)
        assert later.recover(POLICY, NOW + 120).uncertain == [1]
    assert flights(run) == [f"{run.run_id}.flight"]
    with one.start_run(NOW) as living:
        claim(living, NOW + 200)
        assert living.recover(POLICY, NOW) == ([], [], [])
        assert flights(run) == [f"{living.run_id}.flight"]


def test_the_record_of_a_run_that_waits_for_its_own_machine_stays(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    one.enqueue([new_message()])
    run = one.start_run(NOW)
    claimed = claim(run)
    run.about_to_end(claimed, in_doubt(claimed))
    run.answered(claimed, sent(claimed).outcome, NOW)
    kill(run)
    with other.start_run(NOW) as later:
        assert later.recover(POLICY, NOW) == ([], [], [])
    with one.start_run(NOW) as mine:
        assert [done.claimed.outbox_id for done in mine.recover(POLICY, NOW).finished] == [1]
    assert not list(Runs(one._records).directory.glob("*.flight"))
    assert one.row(1).status == Status.SENT


def test_a_content_on_the_wire_is_read_on_in_a_new_session(server: PostgresServer, machine: Machine) -> None:
    store = machine("one")
    content = b"Subject: s\r\n\r\n" + b"0123456789\r\n" * 20_000
    store.enqueue([new_message(content=content), new_message()])
    with store.start_run(NOW) as run:
        claimed = claim(run)
        pieces = run.content(claimed)
        begun = (claimed.head or b"") + next(pieces)
        server.restart()
        assert begun + b"".join(pieces) == content
        assert run.advance([sent(claimed)], [wish()]) == ([None], [[]])
    assert store.row(1).status == Status.SENT


def test_a_result_waits_for_a_server_that_is_down_for_a_while(server: PostgresServer, machine: Machine) -> None:
    store = machine("one")
    store.enqueue([new_message()])
    with store.start_run(NOW) as run:
        claimed = claim(run)
        server.stop()
        starting = threading.Timer(0.5, server.start)
        starting.start()
        try:
            assert run.advance([sent(claimed)], []).lost == [None]
        finally:
            starting.join()
    assert store.row(1).status == Status.SENT


def test_a_result_waits_for_those_who_lock_the_outbox(machine: Machine) -> None:
    store, other = machine("one"), machine("other")
    store.enqueue([new_message()])
    with store.start_run(NOW) as run:
        claimed = claim(run)
        store.change(lambda connection: connection.execute("SET lock_timeout = '50ms'"), tell=False)
        holding = other._connection.connection
        holding.execute(b"BEGIN")
        holding.execute(b"LOCK TABLE outbox")
        releasing = threading.Timer(0.5, holding.rollback)
        releasing.start()
        try:
            assert run.advance([sent(claimed)], []).lost == [None]
        finally:
            releasing.join()
    assert store.row(1).status == Status.SENT
