"""How long a call of ``prx-sendmail`` takes that stores one message, against ``python -c pass``.

Programs call it once for each mail and wait for it.  Beside it stands an interpreter that opens SQLite, inserts one row
durably and closes, which is the least that this can cost in Python.
"""

import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import Outbox, Verdicts, in_turns, options, ratio, workspace

LIMIT = 2.5
PRX_SENDMAIL = str(Path(sysconfig.get_path("scripts"), "prx-sendmail"))
MESSAGE = b"From: ops@example.com\nTo: a@example.com\nSubject: s\n\nbody\n"
LEAST = """
import sys, sqlite3
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA synchronous = FULL")
c.execute("INSERT INTO t VALUES (?)", (sys.stdin.buffer.read(),))
c.close()
"""


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, rounds=41)
    with workspace() as directory:
        outbox, database = Outbox(directory / "outbox"), str(directory / "least.db")
        script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL'); "
        subprocess.run([sys.executable, "-c", f"{script}c.execute('CREATE TABLE t(x)')", database], check=True)

        def seconds(*command: str) -> float:
            began = time.perf_counter()
            subprocess.run(command, input=MESSAGE, env=outbox.env, check=True)
            return time.perf_counter() - began

        contestants: dict[str, Callable[[], float]] = {
            "pass": lambda: seconds(sys.executable, "-c", "pass"),
            "least": lambda: seconds(sys.executable, "-c", LEAST, database),
            "prx-sendmail": lambda: seconds(PRX_SENDMAIL, "-i", "a@example.com"),
        }
        for contestant in contestants.values():  # the first run writes .pyc files and creates the outbox
            contestant()
        wall = in_turns(contestants, asked.rounds)
    verdicts = Verdicts()
    print(f"the least in Python / python -c pass: {ratio(wall['least'], wall['pass']):.2f}")
    print(f"prx-sendmail / the least in Python: {ratio(wall['prx-sendmail'], wall['least']):.2f}")
    verdicts.at_most("prx-sendmail / python -c pass", ratio(wall["prx-sendmail"], wall["pass"]), LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    main()
