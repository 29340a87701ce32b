"""Whatever happens to runs, network and machine, no message is lost, and none is doubled without being uncertain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.postgres import MISSING, programs
from . import faults
from .scenario import POSTGRESQL, SQLITE, Fault, play, trace_of

SEEDS = 500
PARTS = 4
SEEDS_OF_MACHINES = 8  # as each waits for a real server; make simulate DATABASE=postgresql plays more
with_server = pytest.mark.skipif(programs() is None, reason=MISSING)
DATABASES = (SQLITE, pytest.param(POSTGRESQL, marks=with_server))
ENOUGH, ENOUGH_OF_MACHINES = 5000, 200  # seeds, within which each fault is found


@pytest.mark.parametrize("part", range(PARTS))
def test_all_is_in_order_after_each_step_of_whole_runs_whatever_goes_wrong(part: int) -> None:
    for seed in range(1 + part, 1 + SEEDS, PARTS):
        failure = play(seed)
        assert failure is None, str(failure)


@with_server
@pytest.mark.parametrize("part", range(2))
def test_all_is_in_order_on_machines_that_share_a_database_which_they_lose_at_any_statement(part: int) -> None:
    for seed in range(1 + part, 1 + SEEDS_OF_MACHINES, 2):
        failure = play(seed, database=POSTGRESQL)
        assert failure is None, str(failure)


@with_server
@pytest.mark.parametrize(
    ("fault", "first"),
    faults.FAULTS_OF_MACHINES.items(),
    ids=[fault.__name__ for fault in faults.FAULTS_OF_MACHINES],
)
def test_a_fault_in_what_machines_share_is_found(fault: Fault, first: int) -> None:
    seeds = (*range(first, ENOUGH_OF_MACHINES), *range(1, first))
    found = next((failure for seed in seeds if (failure := play(seed, fault, POSTGRESQL))), None)
    assert found is not None
    assert f"make simulate SEED={found.seed} DATABASE=postgresql" in str(found)


@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_that_is_put_into_the_program_is_found(fault: Fault) -> None:
    found = next((failure for seed in range(1, ENOUGH) if (failure := play(seed, fault))), None)
    assert found is not None
    assert f"make simulate SEED={found.seed}" in str(found)
    assert play(found.seed) is None, "it is not the fault that was found"


@pytest.mark.parametrize("database", DATABASES)
def test_a_seed_is_played_the_same_each_time_also_by_another_process(database: str) -> None:
    seeds = (1, 2, 3) if database == SQLITE else (2, 3)
    here = [trace_of(seed, database) for seed in seeds]
    if database == SQLITE:
        assert here == [trace_of(seed, database) for seed in seeds]
    command = [sys.executable, "-m", "tests.simulate", "--seed", "3", "--database", database]
    played = subprocess.run(
        command, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONHASHSEED": "7"}, text=True, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert played.stdout == f"{here[-1]}\n"
