"""How fast ``prx-email send --batch`` enqueues plain messages of 2 KB, and whether its memory stays flat.

It is compared with a loop that does the least a program can do with the same lines: parse each as JSON and insert its
fields as one row, a thousand rows to a durable transaction of SQLite.  Composing alone, in one thread, shows what part
of the command's time is not storage.  All three are whole processes, so all include the interpreter's start.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.common import Outbox, Verdicts, in_turns, options, ratio, spent, workspace, write_requests

PER_SECOND = 8_000
OVER_LOOP = 0.25
GROWTH = 1.3  # of the peak, when the batch is ten times as long
_ROWS_PER_TRANSACTION = 1_000


def compose_only(requests: Path, config: Path) -> None:
    """Compose every line of *requests* and drop it: a contestant, in a process of its own."""
    from prx_email_cli.config.settings import load_settings
    from prx_email_cli.outbox.messages import Schedule
    from prx_email_cli.submission.request import read_json, request_from_json
    from prx_email_cli.submission.spool import Spool
    from prx_email_cli.submission.submit import prepare

    settings = load_settings(config)
    with open(requests, "rb") as stream:
        for line in stream:
            with Spool() as spool:
                request = request_from_json(read_json(line.decode()))
                prepare(request, settings, Schedule.at_once(int(time.time())), spool)


def insert_only(requests: Path, database: Path) -> None:
    """Insert the fields of every line of *requests* as a row of a new *database*: the other contestant."""
    database.unlink(missing_ok=True)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, recipient TEXT, subject TEXT, body TEXT)")
    with open(requests, "rb") as stream:
        while lines := list(islice(stream, _ROWS_PER_TRANSACTION)):
            connection.execute("BEGIN IMMEDIATE")
            rows = ((fields["to"], fields["subject"], fields["body_text"]) for fields in map(json.loads, lines))
            connection.executemany("INSERT INTO message (recipient, subject, body) VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")
    connection.close()


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, messages=20_000, rounds=7, large=100_000)
    count: int = asked.messages
    verdicts = Verdicts()
    with workspace() as directory:
        outbox = Outbox(directory)
        requests = write_requests(directory / "requests", count)
        alone = [sys.executable, __file__, "compose-only", str(requests), str(outbox.config)]
        loop = [sys.executable, __file__, "insert-only", str(requests), str(directory / "loop.db")]

        cpu: list[float] = []

        def enqueue() -> float:
            outbox.forget()
            took = outbox.fill(requests)
            cpu.append(took.cpu / count)
            return count / took.wall

        contestants: dict[str, Callable[[], float]] = {
            "compose": lambda: count / spent(alone).wall,
            "batch": enqueue,
            "loop": lambda: count / spent(loop).wall,
        }
        rates = in_turns(contestants, asked.rounds)
        for name, values in rates.items():
            print(f"{name:8} {median(values):8.0f} messages/s, at best {max(values):.0f}")
        peaks = [_peak(outbox, directory, messages) for messages in (asked.large // 10, asked.large)]
    print(f"CPU of send --batch: {median(cpu) * 1e6:.0f} us a message")
    print(f"send --batch / composing alone: {ratio(rates['batch'], rates['compose']):.2f}")
    print(
        f"peak memory: {peaks[1] / 1024:.1f} MiB for {asked.large} messages, {peaks[0] / 1024:.1f} for a tenth of them"
    )
    verdicts.at_least("send --batch, messages/s", median(rates["batch"]), PER_SECOND)
    verdicts.at_least("send --batch / loop of json.loads and INSERT", ratio(rates["batch"], rates["loop"]), OVER_LOOP)
    verdicts.at_most("peak memory, large to small", peaks[1] / peaks[0], GROWTH)
    verdicts.exit()


def _peak(outbox: Outbox, directory: Path, count: int) -> int:
    """Enqueue *count* messages in a new outbox; return the peak memory of that in KiB."""
    outbox.forget()
    return outbox.fill(write_requests(directory / "requests", count)).peak_kib


if __name__ == "__main__":
    if sys.argv[1:2] == ["compose-only"]:
        compose_only(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1:2] == ["insert-only"]:
        insert_only(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
