"""When a follower looks: soon after its files were written, seldom otherwise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.delivery.looks import GLANCES, LOOK_SECONDS, Looks

ROUND_SECONDS = 10.0


def _play(stirs: list[float], seconds: float) -> list[float]:
    """The times of the looks of a follower whose files are written at *stirs*, which calls whenever it has to."""
    looks, now, seen, left = Looks(), 0.0, [], sorted(stirs)
    while now <= seconds:
        if looks.due(now):
            seen.append(now)
        now = min([looks.until(), *left[:1]])
        if left and left[0] <= now:
            looks.stirred(left.pop(0))
    return seen


def test_looks_at_once_and_then_every_second_while_nothing_is_written() -> None:
    assert _play([], 3.5 * LOOK_SECONDS) == [0, LOOK_SECONDS, 2 * LOOK_SECONDS, 3 * LOOK_SECONDS]


@given(st.lists(st.floats(0, 20), max_size=30))
def test_looks_soon_after_each_writing_and_again_until_it_must_be_durable(stirs: list[float]) -> None:
    seen = _play(stirs, 25)
    for stir in stirs:
        after = [at - stir for at in seen if at >= stir]
        assert after[0] <= GLANCES[-1]
    assert len(seen) <= 27 + len(GLANCES) * min(len(stirs), 20 / GLANCES[0])


def test_writing_without_end_costs_no_more_looks_than_its_glances_and_starves_none() -> None:
    seen = _play([number / 1000 for number in range(10_000)], 10)
    assert 10 / GLANCES[-1] <= len(seen) <= 10 / GLANCES[-1] * (len(GLANCES) + 2)


def test_a_round_is_due_when_the_last_was_long_ago() -> None:
    looks = Looks(ROUND_SECONDS)
    assert looks.round_due(0)
    looks.round_begins(5)
    assert not looks.round_due(5 + ROUND_SECONDS - 0.01)
    assert looks.round_due(5 + ROUND_SECONDS)
