"""What followers cost an outbox in PostgreSQL, how soon they begin, and what it costs to tell them.

``waking``: milliseconds from the end of ``prx-email send`` on one machine until a follower on another has the message
in hand, while a second one is told as well.
``idle``: statements a minute that each of ``--followers`` idle followers asks the server for, of all kinds, as
``pg_stat_statements`` counts them; once they no longer look more often, as they do after their start.
``telling``: messages/s of ``--enqueuers`` programs that store one message after the other, over the same when nobody is
told; on a server whose disk takes ``--sync`` milliseconds, so that commits wait for the disk, together or one by one.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median

import psycopg

from benchmarks.common import PRX_EMAIL, Verdicts, in_turns, options, ratio, running_sink, workspace
from benchmarks.postgres import Database
from benchmarks.postgres_tables import message
from benchmarks.slow_sync import slow_sync
from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import PostgresStore
from prx_email_cli.outbox.postgres.watch import BUSY_FOR_SECONDS, BUSY_SECONDS
from tests.support.postgres import PostgresServer

SEEN_MS, A_MINUTE, TOLD = 100.0, 1.0, 0.8
ENQUEUING_SECONDS = 6
COUNT = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'"
STATEMENTS = "SELECT calls, query FROM pg_stat_statements ORDER BY calls DESC LIMIT 5"
ROWS = ("waking", "idle", "telling")


@contextmanager
def followers(outbox: Database, many: int) -> Iterator[None]:
    """So many followers, each with a state directory of its own as on another machine; begun when this begins."""
    with ExitStack() as all_of_them:
        for number in range(many):
            env = {**outbox.env, "XDG_STATE_HOME": str(outbox.directory / f"follower-{number}")}
            one = subprocess.Popen([PRX_EMAIL, "drain", "--follow"], env=env, stderr=subprocess.DEVNULL)
            all_of_them.callback(one.wait)
            all_of_them.callback(one.terminate)
        with psycopg.connect(outbox.url, autocommit=True) as asking:
            while asking.execute("SELECT count(*) FROM run").fetchone() != (many,):
                time.sleep(0.1)
        yield


def seen_after(outbox: Database) -> float:
    """Send a message; return the milliseconds from then until a follower has it in hand."""
    with psycopg.connect(outbox.url, autocommit=True) as asking:
        outbox.run("send", "--to", "user@example.com", "--subject", "s", "--body", "b")
        began = time.monotonic()
        while asking.execute("SELECT 1 FROM outbox WHERE status = 'pending'").fetchone():
            time.sleep(0.001)
    return 1000 * (time.monotonic() - began)


def waking(verdicts: Verdicts, server: PostgresServer, directory: Path, rounds: int) -> None:
    """Measure how soon a message is in hand."""
    with running_sink() as port:
        outbox = Database(server, directory / "waking", port)
        with followers(outbox, 2):
            seen_after(outbox)
            times = []
            for _ in range(rounds):
                time.sleep(0.5)
                times.append(seen_after(outbox))
    print(f"    {min(times):.0f} to {max(times):.0f} ms")
    verdicts.at_most("milliseconds until a message is in hand elsewhere, median", median(times), SEEN_MS)


def idle(verdicts: Verdicts, server: PostgresServer, directory: Path, many: int, minutes: int) -> None:
    """Count what idle followers ask."""
    server.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    outbox = Database(server, directory / "idle", 9)
    with followers(outbox, many), psycopg.connect(server.url("postgres"), autocommit=True) as asking:
        time.sleep(BUSY_FOR_SECONDS + BUSY_SECONDS)  # for so long they look more often after their start
        asking.execute("SELECT pg_stat_statements_reset()")
        began = time.monotonic()
        time.sleep(60 * minutes)
        (asked,) = asking.execute(COUNT).fetchone() or (0,)
        passed = (time.monotonic() - began) / 60
        for calls, query in asking.execute(STATEMENTS).fetchall():
            print(f"    {calls:6} times {' '.join(query.split())[:90]}")
    verdicts.at_most(f"statements a minute of each of {many} idle followers", float(asked) / passed / many, A_MINUTE)


def enqueue(url: str, tells: str) -> None:
    """Say that it is ready; once told to begin, store message after message, and print how many in a second."""
    if not tells:
        sql.TELL_OTHERS = "SELECT 1"
    with tempfile.TemporaryDirectory() as records:
        store, count = PostgresStore(Where(url, "bench"), Path(records), "prx-email.local"), 0
        print("ready", flush=True)
        input()
        began = time.monotonic()
        while time.monotonic() < began + ENQUEUING_SECONDS:
            store.submit([message()])
            count += 1
        print(count / (time.monotonic() - began))
        store.close()


def enqueued(server: PostgresServer, many: int, tells: str) -> float:
    """Return the messages a second of so many programs."""
    command = [sys.executable, "-m", "benchmarks.postgres_followers", "enqueue", server.new_database(), tells]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(many)]
    for one in running:
        assert one.stdin
        assert one.stdout
        one.stdout.readline()
    for one in running:
        assert one.stdin
        one.stdin.write(b"\n")
        one.stdin.flush()
    return sum(float(one.communicate()[0]) for one in running)


def telling(verdicts: Verdicts, directory: Path, many: int, milliseconds: int, rounds: int) -> None:
    """Compare being told with not being told."""
    directory.chmod(0o755)  # for whoever the server runs as
    slow = slow_sync(directory, milliseconds)

    class SlowServer(PostgresServer):
        env = {**PostgresServer.env, **slow}  # noqa: RUF012

    with closing(SlowServer(durable=True)) as server:
        rates = in_turns(
            {"told": lambda: enqueued(server, many, "yes"), "not told": lambda: enqueued(server, many, "")}, rounds
        )
    for name, values in rates.items():
        print(f"    {name:10} {median(values):7.0f} messages/s, {min(values):.0f} to {max(values):.0f}", flush=True)
    verdicts.at_least("enqueuing, told / not told", ratio(rates["told"], rates["not told"]), TOLD)


def main() -> None:
    """Measure and tell."""
    if sys.argv[1:2] == ["enqueue"]:
        enqueue(*sys.argv[2:])
        return
    asked = options(__doc__, ROWS, rounds=20, followers=100, minutes=3, enqueuers=8, sync=20)
    rows, verdicts = asked.only or ROWS, Verdicts()
    settings = "max_connections=400", "shared_preload_libraries=pg_stat_statements"
    with workspace() as directory:
        if "telling" in rows:
            telling(verdicts, directory, asked.enqueuers, asked.sync, 3)
        with closing(PostgresServer(*settings, durable=True)) as server:
            if "waking" in rows:
                waking(verdicts, server, directory, asked.rounds)
            if "idle" in rows:
                idle(verdicts, server, directory, asked.followers, asked.minutes)
    verdicts.exit()


if __name__ == "__main__":
    main()
