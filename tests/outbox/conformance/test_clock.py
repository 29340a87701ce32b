"""Each outbox has one clock, by which it is decided what is due."""

from __future__ import annotations

import time

import pytest

from prx_email_cli.outbox.store import Store

ROUNDING_SECONDS = 0.1  # clocks of one machine are read one after the other


def test_the_clock_of_an_outbox_on_this_machine_is_this_machine_s(store: Store) -> None:
    unsure = ROUNDING_SECONDS + (0 if store.skew is None else store.skew.unsure_seconds)
    before = time.time()
    shown = store.clock()
    assert before - unsure <= shown <= time.time() + unsure
    assert store.skew is None or abs(store.skew.seconds) <= unsure


@pytest.mark.parametrize("jump", [3600, -3600])
def test_only_a_clock_that_is_this_machine_s_is_set_with_it(
    store: Store, jump: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = time.time, store.clock()
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    moved = store.clock() - before
    if store.skew is None:
        assert abs(moved - jump) < abs(jump) / 2
    else:
        assert 0 <= moved < abs(jump) / 2
        assert abs(store.skew.seconds - jump) < abs(jump) / 2
