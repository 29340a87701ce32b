"""An outbox in PostgreSQL: its drains, against SQLite's and each other, and its claims among many sent messages.

The server is one of Debian's package, started here on a Unix socket with fsync and synchronous_commit on.  All rates
are of whole processes, filling the outbox is not part of the time.

``drain``: one drain on 10 connections to ``smtp-sink`` on loopback, over the same with SQLite.
``two``: two drains of 5 connections each, as two machines, over one of 5, with the sink a round trip of 20 ms away.
``store``: messages/s that the store alone claims and settles, and submits, beside SQLite's; judged is nothing.
``flat``: a claim with a finalize, and the plan of the claim, among no sent messages, and among ``--sent N``.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg

from benchmarks.common import (
    PRX_EMAIL,
    Outbox,
    Verdicts,
    in_turns,
    options,
    ratio,
    running_sink,
    workspace,
    write_requests,
)
from benchmarks.postgres_tables import ACCOUNT, DUE_AT, delivered, fill, message
from benchmarks.relays import Source, distance
from prx_email_cli.outbox.messages import ClaimNext
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import PostgresStore
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.store import Store
from tests.support.postgres import PostgresServer

ROWS = ("drain", "two", "store", "flat")
DRAIN_LIMIT, TWO_LIMIT, FLAT_LIMIT = 0.5, 1.5, 1.5
ROUND_TRIP_MS = 20
BATCHES = (1, 8, 32, 100)


class Database(Outbox):
    """An outbox in a database of its own on *server*, for as many machines as are asked for."""

    def __init__(self, server: PostgresServer, directory: Path, port: int) -> None:
        self._server, self._port = server, port
        super().__init__(directory, port, 'tls = "none"\nconnections = 10')  # of all machines together
        self.forget()

    def forget(self) -> None:
        """Begin anew with an empty database."""
        config = self.config.read_text().splitlines()
        self.url = self._server.new_database()
        config[1] = f'url = "{self.url}"'
        self.config.write_text("\n".join(config) + "\n")
        self.env["XDG_STATE_HOME"] = str(self.directory / "state")


def drains(outbox: Outbox, requests: Path, count: int, connections: int, machines: int = 1) -> float:
    """Messages a second of so many drains at once, each with a state directory of its own as on another machine."""
    outbox.forget()
    outbox.fill(requests)
    os.sync()
    start = time.perf_counter()
    running = [
        subprocess.Popen(
            [PRX_EMAIL, "drain", "--connections", str(connections)], stdin=subprocess.DEVNULL,
            env={**outbox.env, "XDG_STATE_HOME": str(outbox.directory / f"state-{number}")},
        )
        for number in range(machines)
    ]  # fmt: skip
    failed = [one.wait() for one in running]
    wall = time.perf_counter() - start
    told = subprocess.run([PRX_EMAIL, "stats", "--json"], env=outbox.env, capture_output=True, check=True).stdout
    if any(failed) or json.loads(told)["data"]["sent"] != count:
        raise SystemExit(f"not all of {count} messages were sent: {told.decode()}")
    return count / wall


def compare(verdicts: Verdicts, contestants: dict[str, Callable[[], float]], rounds: int, limit: float) -> None:
    """Measure two contestants in turns; the ratio of the first over the second is judged."""
    above, below = contestants
    rates = in_turns(contestants, rounds)
    for name, values in rates.items():
        print(f"    {name:40} {median(values):7.0f} messages/s, {min(values):.0f} to {max(values):.0f}", flush=True)
    verdicts.at_least(f"{above} / {below}", ratio(rates[above], rates[below]), limit)


def one_drain(verdicts: Verdicts, server: PostgresServer, directory: Path, count: int, rounds: int) -> None:
    """Compare a drain with that of SQLite, and two with one."""
    requests = write_requests(directory / "requests", count)
    with running_sink() as port:
        ours, file = Database(server, directory / "database", port), Outbox(directory / "file", port)
        contestants: dict[str, Callable[[], float]] = {
            "PostgreSQL, 10 connections": lambda: drains(ours, requests, count, 10),
            "SQLite, 10 connections": lambda: drains(file, requests, count, 10),
        }
        compare(verdicts, contestants, rounds, DRAIN_LIMIT)


def two_drains(verdicts: Verdicts, server: PostgresServer, directory: Path, count: int, rounds: int) -> None:
    """Compare two drains with one, to a server at a distance."""
    requests = write_requests(directory / "far-requests", count)
    with running_sink() as sink, distance(sink, ROUND_TRIP_MS, Source(count, 2048)) as port:
        outbox = Database(server, directory / "far", port)
        contestants: dict[str, Callable[[], float]] = {
            "two drains of 5 connections": lambda: drains(outbox, requests, count, 5, machines=2),
            "one drain of 5 connections": lambda: drains(outbox, requests, count, 5),
        }
        compare(verdicts, contestants, rounds, TWO_LIMIT)


@contextmanager
def stores(server: PostgresServer, directory: Path) -> Iterator[dict[str, Store]]:
    """An empty store of each kind."""
    directory.mkdir(exist_ok=True)
    opened: dict[str, Store] = {
        "PostgreSQL": PostgresStore(Where(server.new_database(), "bench"), directory / "records", "prx-email.local"),
        "SQLite": SqliteStore(directory / "store.db", message_id_domain="prx-email.local"),
    }
    try:
        yield opened
    finally:
        for store in opened.values():
            store.close()


def submitting(store: Store, batch: int, batches: int) -> float:
    """Messages a second that *store* makes durable, so many at once."""
    start = time.perf_counter()
    for _ in range(batches):
        store.submit([message() for _ in range(batch)])
    return batch * batches / (time.perf_counter() - start)


def settling(store: Store, batch: int, batches: int) -> float:
    """Messages a second that *store* settles and claims, so many at once."""
    wish = ClaimNext(ACCOUNT, DUE_AT, DUE_AT, most=batch)
    with store.start_run(DUE_AT) as run:
        (claimed,) = run.advance([], [wish]).claims
        start, many = time.perf_counter(), 0
        for _ in range(batches):
            many += len(claimed)
            (claimed,) = run.advance([delivered(one) for one in claimed], [wish]).claims
        elapsed = time.perf_counter() - start
        run.advance([], [], claimed)
    if many != batch * batches:
        raise SystemExit("nothing is due any more: ask for more messages")
    return many / elapsed


def alone(server: PostgresServer, directory: Path, count: int, rounds: int) -> None:
    """Tell how fast the stores are without any network."""
    for batch in BATCHES:
        batches = max(count // batch // 8, 4)
        with stores(server, directory / f"alone-{batch}") as both:
            for what, measure, more in (("submit", submitting, 2), ("claim and settle", settling, 1)):
                rates = in_turns(
                    {
                        name: lambda store=store, measure=measure, more=more: measure(store, batch, more * batches)  # type: ignore[misc]  # noqa: B023
                        for name, store in both.items()
                    },
                    rounds,
                )
                told = ", ".join(f"{name} {median(values):.0f}" for name, values in rates.items())
                print(f"    {what}, {batch} at once: {told} messages/s,"
                      f" {ratio(rates['PostgreSQL'], rates['SQLite']):.2f}", flush=True)  # fmt: skip


def durable(store: Store, claims: int) -> float:
    """Microseconds of one finalize with the next claim, a durable transaction."""
    return 1e6 / settling(store, 1, claims)


def flat(verdicts: Verdicts, server: PostgresServer, directory: Path, numbers: Sequence[int]) -> None:
    """Compare claims among no sent messages, a tenth of them, and all."""
    sent, claims, rounds = numbers
    opened: dict[str, PostgresStore] = {}
    for many in (0, sent // 10, sent):
        start, url = time.perf_counter(), server.new_database()
        fill(url, many, claims * rounds * 34 + 1000)
        with psycopg.connect(url) as connection:
            size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        print(
            f"    {many} sent: filled in {time.perf_counter() - start:.0f} s, {(size or (0,))[0] >> 20} MiB", flush=True
        )
        records = directory / f"flat-{many}" / "records"
        opened[str(many)] = PostgresStore(Where(url, "bench"), records, "prx-email.local")
    for batch in (1, 32):
        times = in_turns(
            {name: lambda store=store: 1e6 / settling(store, batch, claims) for name, store in opened.items()},  # type: ignore[misc]  # noqa: B023
            rounds,
        )
        for name, values in times.items():
            print(
                f"    {batch} at once, {name:>9} sent: {median(values):6.0f} us, {min(values):.0f} to {max(values):.0f}"
            )
        for many in (sent // 10, sent):
            what = f"claim and settle of {batch}, {many} sent / none"
            verdicts.at_most(what, ratio(times[str(many)], times["0"]), FLAT_LIMIT)
    for store in opened.values():
        store.close()


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, ROWS, rounds=5, messages=5000, sent=1_000_000, claims=40)
    rows, verdicts = asked.only or ROWS, Verdicts()
    server = PostgresServer(durable=True)
    try:
        with workspace() as directory, psycopg.connect(server.url("postgres")) as connection:
            print(f"PostgreSQL {connection.info.parameter_status('server_version')}", flush=True)
            if "drain" in rows:
                one_drain(verdicts, server, directory, asked.messages, asked.rounds)
            if "two" in rows:
                two_drains(verdicts, server, directory, asked.messages, asked.rounds)
            if "store" in rows:
                alone(server, directory, asked.messages, asked.rounds)
            if "flat" in rows:
                flat(verdicts, server, directory, (asked.sent, asked.claims, asked.rounds))
    finally:
        server.close()
    verdicts.exit()


if __name__ == "__main__":
    main()
