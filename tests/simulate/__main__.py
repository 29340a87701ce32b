"""Play seeds: ``python -m tests.simulate --seed 7`` plays one and prints its trace, ``--seeds 20000`` plays many.

A seed makes accounts and their servers, messages, drains, and the points at which those are killed or the power is cut;
whatever happens, happens in the same order each time.  After each step ``truth`` looks whether everything is as it must
be.  A seed that fails prints all that had happened, and is played again by ``make simulate SEED=N``.

With ``--database postgresql`` a seed has several machines, and loses sessions of theirs; see ``machines``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from functools import partial

from .scenario import POSTGRESQL, SQLITE, Failure, play, trace_of

_MOST_SHOWN = 3


def main() -> int:
    """Play what the command line asks for; 1 if a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, help="play this one and print what happens")
    parser.add_argument("--seeds", type=int, default=2000, help="play so many (default 2000)")
    parser.add_argument("--first", type=int, default=1, help="beginning with this one")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--database", choices=(SQLITE, POSTGRESQL), default=SQLITE, help="default: sqlite")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _one(asked.seed, asked.database)
    return _many(range(asked.first, asked.first + asked.seeds), asked.processes, partial(play, database=asked.database))


def _one(seed: int, database: str) -> int:
    failure = play(seed, database=database)
    print(trace_of(seed, database) if failure is None else failure)
    return failure is not None


def _many(seeds: range, processes: int, play_one: Callable[[int], Failure | None]) -> int:
    began, failed = time.monotonic(), 0
    with multiprocessing.Pool(processes) as pool:
        for done, failure in enumerate(pool.imap_unordered(play_one, seeds, chunksize=10), 1):
            if failure is not None:
                failed += 1
                print(failure if failed <= _MOST_SHOWN else f"seed {failure.seed}: {failure.why}", flush=True)
            if done % 500 == 0:
                print(f"{done} of {len(seeds)} seeds, {failed} failed", file=sys.stderr, flush=True)
    print(f"{len(seeds)} seeds in {time.monotonic() - began:.0f} s, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    raise SystemExit(main())
