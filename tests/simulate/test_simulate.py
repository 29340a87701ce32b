"""Whatever happens to runs, network and machine, no message is lost, and none is doubled without being uncertain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import faults
from .scenario import Fault, play, trace_of

SEEDS = 500
PARTS = 4
ENOUGH = 5000  # seeds, within which each fault is found


@pytest.mark.parametrize("part", range(PARTS))
def test_all_is_in_order_after_each_step_of_whole_runs_whatever_goes_wrong(part: int) -> None:
    for seed in range(1 + part, 1 + SEEDS, PARTS):
        failure = play(seed)
        assert failure is None, str(failure)


@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_that_is_put_into_the_program_is_found(fault: Fault) -> None:
    found = next((failure for seed in range(1, ENOUGH) if (failure := play(seed, fault))), None)
    assert found is not None
    assert f"make simulate SEED={found.seed}" in str(found)
    assert play(found.seed) is None, "it is not the fault that was found"


def test_a_seed_is_played_the_same_each_time_also_by_another_process() -> None:
    here = [trace_of(seed) for seed in (1, 2, 3)]
    assert here == [trace_of(seed) for seed in (1, 2, 3)]
    command = [sys.executable, "-m", "tests.simulate", "--seed", "3"]
    played = subprocess.run(
        command, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONHASHSEED": "7"}, text=True, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert played.stdout == f"{here[2]}\n"
