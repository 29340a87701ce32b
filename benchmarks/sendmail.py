"""How long a call of ``prx-sendmail`` takes that stores one message, against ``python -c pass`` and its peers.

Programs call it once for each mail and wait for it.  Beside it stands an interpreter that opens SQLite, inserts one row
durably and closes, which is the least that this can cost in Python; and other drop-ins for sendmail, written in C, C++
and shell.
"""

import resource
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from benchmarks.common import Outbox, Verdicts, in_turns, options, ratio, workspace
from benchmarks.sendmail_peers import peers, with_mounts_of_its_own

LIMIT = 2.5
PRX_SENDMAIL = str(Path(sysconfig.get_path("scripts"), "prx-sendmail"))
MESSAGE = b"From: ops@example.com\nTo: a@example.com\nSubject: s\n\nbody\n"
CRON = b"From: root (Cron Daemon)\nTo: root\nSubject: s\nMIME-Version: 1.0\n\nbody\n"
LEAST = """
import sys, sqlite3
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA synchronous = FULL")
c.execute("INSERT INTO t VALUES (?)", (sys.stdin.buffer.read(),))
c.close()
"""


def main() -> None:
    """Measure and tell."""
    with_mounts_of_its_own()
    asked = options(__doc__, rounds=41)
    with workspace() as directory:
        outbox, database = Outbox(directory / "outbox"), str(directory / "least.db")
        outbox.env["XDG_CACHE_HOME"] = str(directory / "cache")
        with open(outbox.config, "a") as config:
            config.write('[sendmail.aliases]\nroot = "ops@example.com"\n')
        script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL'); "
        subprocess.run([sys.executable, "-c", f"{script}c.execute('CREATE TABLE t(x)')", database], check=True)

        cpu: dict[str, list[float]] = {}

        def contestant(name: str, *command: str, env: Mapping[str, str] = outbox.env, message: bytes = MESSAGE) -> None:
            def seconds() -> float:
                began, used = time.perf_counter(), _of_children()
                subprocess.run(command, input=message, env=env, check=True)
                wall = time.perf_counter() - began
                cpu.setdefault(name, []).append(_of_children() - used)
                return wall

            contestants[name] = seconds

        contestants: dict[str, Callable[[], float]] = {}
        contestant("pass", sys.executable, "-c", "pass")
        contestant("least", sys.executable, "-c", LEAST, database)
        contestant("prx-sendmail", PRX_SENDMAIL, "-i", "a@example.com")
        contestant("cron's call", PRX_SENDMAIL, "-i", "-FCronDaemon", "-oem", "root", message=CRON)
        contestant("the full way", PRX_SENDMAIL, "-i", "a@example.com", env={**outbox.env, "XDG_CACHE_HOME": "none"})
        drop = directory / "drop"
        drop.mkdir()
        stranger = {name: value for name, value in outbox.env.items() if not name.startswith(("PRX_EMAIL_", "XDG_"))}
        stranger |= {"HOME": str(drop), "PRX_EMAIL_DROP": str(drop)}
        contestant("left in a drop directory", PRX_SENDMAIL, "-i", "a@example.com", env=stranger)
        found = peers(directory)
        for name, peer in found.items():
            contestant(name, *peer.command, env=peer.env)
        time.sleep(0.2)  # a config that was just written is not believed to stay
        for first in contestants.values():  # it writes .pyc files, creates the outbox and leaves what the config says
            first()
        cpu.clear()
        wall = in_turns(contestants, asked.rounds)
        for name, queue in {"prx-sendmail": drop, **{name: peer.queue for name, peer in found.items()}}.items():
            kept = len(list(queue.iterdir()))
            assert kept > asked.rounds, f"{name} kept {kept} messages"
    verdicts = Verdicts()
    for name, times in wall.items():
        print(
            f"{name}: {median(times) * 1000:.1f} ms, of the processor {median(cpu[name]) * 1000:.1f};"
            f" over python -c pass {ratio(times, wall['pass']):.2f}, {ratio(cpu[name], cpu['pass']):.2f}"
        )
    print(f"prx-sendmail / the least in Python: {ratio(wall['prx-sendmail'], wall['least']):.2f}")
    verdicts.at_most("prx-sendmail / python -c pass", ratio(wall["prx-sendmail"], wall["pass"]), LIMIT)
    verdicts.exit()


def _of_children() -> float:
    """Return the processor's seconds of all ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
