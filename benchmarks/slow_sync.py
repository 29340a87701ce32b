"""A disk whose sync takes longer: a library, compiled here and preloaded, that delays ``fsync`` and ``fdatasync``."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common import ROOT

COMMITS = 20
# Prints the seconds of one durable commit, made as the outbox makes its own.
PROBE = f"""
import sqlite3, sys, time
box = sqlite3.connect(sys.argv[1], isolation_level=None)
box.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS mark (at)")
start = time.perf_counter()
for number in range({COMMITS}):
    box.execute("INSERT INTO mark VALUES (?)", (number,))
print((time.perf_counter() - start) / {COMMITS})
"""


def slow_sync(directory: Path, milliseconds: int) -> dict[str, str]:
    """Compile the library into *directory*; return the environment in which a sync takes *milliseconds* at least.

    Raises SystemExit when SQLite's commits do not become as slow as that.
    """
    subprocess.run([str(ROOT / "tests/install.sh"), "cc", "gcc", "libc6-dev"], check=True)
    library = directory / "slow_sync.so"
    source = ROOT / "benchmarks/slow_sync.c"
    compiler = ["cc", "-shared", "-fPIC", "-O2", f"-DSYNC_MS={milliseconds}"]
    subprocess.run([*compiler, "-o", str(library), str(source)], check=True)
    env = {"LD_PRELOAD": str(library)}
    without, slow = _commit(directory, {}), _commit(directory, env)
    print(f"a commit takes {without * 1000:.1f} ms, with the slow sync {slow * 1000:.1f} ms", flush=True)
    if slow * 1000 < milliseconds:
        raise SystemExit("the library does not slow SQLite down: is it linked so that nothing can be preloaded?")
    return env


def _commit(directory: Path, more: dict[str, str]) -> float:
    command = [sys.executable, "-c", PROBE, str(directory / "commits.db")]
    return float(subprocess.run(command, env={**os.environ, **more}, capture_output=True, check=True).stdout)
