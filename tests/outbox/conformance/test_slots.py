"""The connections that accounts may have at once, where all runs share them."""

from __future__ import annotations

import pytest

from prx_email_cli.outbox.slots import Slots
from prx_email_cli.outbox.store import Store


@pytest.fixture
def slots(store: Store) -> Slots:
    if store.slots is None:
        pytest.skip("each run counts its own connections")
    return store.slots


def test_only_a_database_of_many_machines_shares_connections(store: Store) -> None:
    assert (store.slots is not None) == (type(store).__name__ == "PostgresStore")


def test_so_many_are_given_and_no_more_until_one_is_given_back(slots: Slots) -> None:
    taken = [slots.take("work", 2) for _ in range(3)]
    assert taken == [1, 2, None]
    slots.free("work", 1)
    assert [slots.take("work", 2), slots.take("work", 2)] == [1, None]


def test_each_account_has_its_own(slots: Slots) -> None:
    assert [slots.take(name, 1) for name in ("work", "home", "work", "wor", "")] == [1, 1, None, 1, 1]


def test_one_that_is_not_ours_is_not_given_back(slots: Slots) -> None:
    slots.free("work", 1)
    assert slots.take("work", 1) == 1
    slots.free("work", 2)
    assert slots.take("work", 1) is None


def test_a_number_that_was_lowered_counts_for_what_is_taken_next(slots: Slots) -> None:
    assert [slots.take("work", 3) for _ in range(3)] == [1, 2, 3]
    slots.free("work", 1)
    slots.free("work", 2)
    assert [slots.take("work", 1), slots.take("work", 1)] == [1, None]
