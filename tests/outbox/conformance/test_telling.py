"""A person is told of a cause a few times a day and no more, whichever process tells it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from prx_email_cli.outbox.store import Store
from prx_email_cli.outbox.telling import MOST_CAUSES

from ..messages import NOW

A_DAY = 86_400


def test_a_cause_is_told_once_a_day(store: Store) -> None:
    told = [at for at in range(NOW, NOW + 7 * A_DAY, 600) if store.may_tell("refused", at)]
    assert told == [NOW + day * A_DAY for day in range(7)]


def test_another_cause_is_told_beside_it_and_some_are_told_more_often(store: Store) -> None:
    assert [store.may_tell(cause, NOW) for cause in ("refused", "expired", "refused")] == [True, True, False]
    assert [store.may_tell("down", NOW + at, most=3) for at in range(5)] == [True, True, True, False, False]
    assert [store.may_tell("down", NOW + A_DAY + at, most=3) for at in range(5)] == [True, True, True, False, False]


def test_causes_without_end_are_not_told_without_end(store: Store) -> None:
    told = [number for number in range(10 * MOST_CAUSES) if store.may_tell(f"550 {number}", NOW + number)]
    assert told == list(range(MOST_CAUSES))
    assert store.may_tell("something else", NOW + A_DAY)


def test_after_a_clock_that_was_ahead_it_is_told_all_the_same(store: Store) -> None:
    assert store.may_tell("refused", NOW + 10 * A_DAY)
    assert store.may_tell("refused", NOW)
    assert not store.may_tell("refused", NOW)


def test_several_at_once_tell_it_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: store.may_tell("refused", NOW), range(40))) == 1
