"""The connections of an account are shared by all machines, and freed when one dies."""

from __future__ import annotations

import threading

import psycopg

from .conftest import Machine
from .test_many_machines import MACHINES, at_once

MOST = 3


def test_all_machines_share_them(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    assert [one.slots.take("work", MOST), other.slots.take("work", MOST)] == [1, 2]
    assert [one.slots.take("work", MOST), other.slots.take("work", MOST)] == [3, None]
    one.slots.free("work", 1)
    assert other.slots.take("work", MOST) == 1
    one.slots.free("work", 1)  # the other has it now
    assert one.slots.take("work", MOST) is None


def test_never_are_more_in_use_whoever_takes_them_and_gives_them_back(machine: Machine) -> None:
    stores = [machine(str(number)) for number in range(MACHINES)]
    lock, used, most = threading.Lock(), 0, 0

    def use(number: int) -> None:
        nonlocal used, most
        for _ in range(50):
            slot = stores[number].slots.take("work", MOST)
            if slot is None:
                continue
            with lock:
                used += 1
                most = max(most, used)
            with lock:
                used -= 1
            stores[number].slots.free("work", slot)

    at_once(use)
    assert 1 <= most <= MOST


def test_those_of_a_lost_session_are_free(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    assert one.slots.take("work", 1) == 1
    with psycopg.connect(other.where.conninfo, autocommit=True) as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 10000)", (one._connection.connection.info.backend_pid,))
    assert other.slots.take("work", 1) == 1
    one.slots.free("work", 1)  # it is not its own any more
    with machine("third").reading():
        assert machine("third").slots.take("work", 1) is None
