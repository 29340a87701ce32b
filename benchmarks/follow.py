"""What ``drain --follow`` costs while nothing happens, and how soon it delivers a new message.

The idle part counts the CPU time of the follower's process over some seconds.  The other sends one message after the
other, each once the follower has been idle for a while, and takes the time from the end of ``prx-email send`` until the
message is no longer pending.
"""

import os
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.common import PRX_EMAIL, Outbox, Verdicts, options, running_sink, workspace

IDLE_SHARE = 0.001
SEEN_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def seen_after(outbox: Outbox) -> float:
    """Send a message; return the seconds from then until the follower has it in hand."""
    outbox.run("send", "--to", "user@example.com", "--subject", "s", "--body", "b")
    began = time.monotonic()
    with closing(sqlite3.connect(f"{outbox.file.as_uri()}?mode=ro", uri=True)) as connection:
        while connection.execute("SELECT 1 FROM outbox WHERE status = 'pending'").fetchone():
            time.sleep(0.001)
    return time.monotonic() - began


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, seconds=60, rounds=20)
    verdicts = Verdicts()
    with workspace() as directory, running_sink() as port:
        outbox = Outbox(directory / "outbox", port)
        with subprocess.Popen([PRX_EMAIL, "drain", "--follow"], env=outbox.env, stderr=subprocess.DEVNULL) as follower:
            try:
                seen_after(outbox)
                time.sleep(2)
                before = cpu_seconds(follower.pid)
                time.sleep(asked.seconds)
                share = (cpu_seconds(follower.pid) - before) / asked.seconds
                times = []
                for _ in range(asked.rounds):
                    time.sleep(0.3)
                    times.append(seen_after(outbox))
            finally:
                follower.terminate()
    verdicts.at_most("thousandths of a core while idle", 1000 * share, 1000 * IDLE_SHARE)
    verdicts.at_most("milliseconds until a new message is in hand, median", 1000 * median(times), 1000 * SEEN_SECONDS)
    verdicts.exit()


if __name__ == "__main__":
    main()
