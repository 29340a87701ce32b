"""What claiming, looking and pruning cost in an outbox of a million sent messages, against one of a thousand.

``--sent 10000000`` takes ten million, some minutes and 6 GB.  Both outboxes have the same unsent messages.  Claim and
finalize as a drain has them, each durable, wait mostly for the disk; the claim statement alone, rolled back, hides
nothing.  Pruning is judged by how long a ``send`` waits meanwhile: the longest of all.
"""

import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.common import PRX_EMAIL, Outbox, Verdicts, in_turns, options, ratio, workspace
from benchmarks.tables import ACCOUNT, DUE_AT, bare_connection, build_table, claim_plan, claim_values
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Settled, Status
from prx_email_cli.outbox.messages import Addressee, Claimed, ClaimNext, Content, Finished, NewMessage, Schedule
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.views import Filter

FEW = 1000
CLAIM_LIMIT, LOOK_LIMIT, WAIT_LIMIT = 1.5, 2.0, 100.0  # the last one in milliseconds
LARGE, SMALL = 20, 30_000  # messages to be pruned: of 25 MiB, and of 2,300 bytes
LOOKS: dict[str, Callable[[SqliteStore], object]] = {
    "list": lambda store: store.rows(Filter()),
    "list --account, another one": lambda store: store.rows(Filter(account="another")),
    "list --status failed": lambda store: store.rows(Filter(statuses=(Status.FAILED,))),
    "list --due": lambda store: store.rows(Filter(due_at=0)),
    "list --error busy": lambda store: store.rows(Filter(error="busy")),
    "list --status failed --to nobody": lambda store: store.rows(Filter((Status.FAILED,), recipient="nobody")),
    "list --repeated": lambda store: store.rows(Filter(repeated=True)),
    "the total of list": lambda store: store.count(Filter()),
    "the total of list --status failed": lambda store: store.count(Filter(statuses=(Status.FAILED,))),
    "stats": lambda store: store.stats(DUE_AT),
    "check, stats --prometheus": lambda store: store.figures(DUE_AT),
}


def _delivered(claimed: Claimed) -> Finished:
    accepted = {0: RecipientResult(RecipientStatus.ACCEPTED, 250, "250 2.0.0 Ok")}
    return Finished(claimed, Outcome(accepted, acceptance="2.0.0 Ok"), Settled(Status.SENT, 0, DUE_AT), DUE_AT)


def durable(store: SqliteStore, claims: int) -> float:
    """Microseconds of one finalize with the next claim, a transaction that reaches the disk."""
    wish = ClaimNext(ACCOUNT, DUE_AT, DUE_AT)
    with store.start_run(DUE_AT) as run:
        (claimed,) = run.advance([], [wish]).claims
        start = time.perf_counter()
        for _ in range(claims):
            if not claimed:
                raise SystemExit("nothing is due any more: ask for fewer claims or rounds")
            (claimed,) = run.advance([_delivered(claimed[0])], [wish]).claims
        elapsed = time.perf_counter() - start
        run.advance([], [], claimed)
    return elapsed / claims * 1e6


def statement(file: Path, claims: int) -> float:
    """Microseconds of the claim statement, without the commit."""
    connection = bare_connection(file)
    connection.execute("BEGIN IMMEDIATE")
    start = time.perf_counter()
    for _ in range(claims):
        connection.execute(sql.CLAIM_NEXT, claim_values()).fetchall()
    elapsed = time.perf_counter() - start
    connection.execute("ROLLBACK")
    connection.close()
    return elapsed / claims * 1e6


def look(store: SqliteStore, what: str) -> float:
    """Microseconds of one look."""
    start = time.perf_counter()
    LOOKS[what](store)
    return (time.perf_counter() - start) * 1e6


def fill_contents(file: Path, first: int, last: int, piece: int, pieces: int) -> None:
    """Give the messages with these ids contents of so many pieces, each of so many bytes."""
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("DELETE FROM content WHERE id >= ? AND id < ?", (first * 65536, (last + 1) * 65536))
        connection.execute("UPDATE outbox SET size_bytes = ? WHERE id BETWEEN ? AND ?", (piece * pieces, first, last))
        rows = ((outbox_id * 65536 + number, piece) for outbox_id in range(first, last + 1) for number in range(pieces))
        connection.executemany("INSERT INTO content (id, data) VALUES (?, randomblob(?))", rows)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def longest_wait(outbox: Outbox, store: SqliteStore, *options: str) -> float:
    """Milliseconds that one of many messages needed at most to be stored while ``prune`` ran with these options."""
    message = NewMessage(
        "bench", "bench@example.com", [Addressee("user@example.com")], "meanwhile", Content.of(b"x" * 2000),
        Schedule(DUE_AT, 2 * DUE_AT),
    )  # fmt: skip
    command = [PRX_EMAIL, "prune", *options]
    waits: list[float] = []
    with subprocess.Popen(command, env=outbox.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as prune:
        while prune.poll() is None:
            start = time.perf_counter()
            store.submit([message])
            waits.append((time.perf_counter() - start) * 1e3)
            time.sleep(0.011)
        said = prune.stdout.read().decode().strip() if prune.stdout else ""
    if prune.returncode:
        raise SystemExit(f"prune ended with status {prune.returncode}")
    print(f"    prune {' '.join(options)}: {said}; {len(waits)} messages stored, median {median(waits):.1f} ms")
    return max(waits)


def compare(
    verdicts: Verdicts, outboxes: dict[str, Outbox], stores: dict[str, SqliteStore], claims: int, rounds: int
) -> None:
    """Time each thing in both outboxes, in turns."""
    for store in stores.values():
        store.hold_all(None, DUE_AT)  # nothing is due
    for what, words in (("an empty drain", ("drain",)), ("stats --prometheus", ("stats", "--prometheus"))):
        times = in_turns({name: lambda one=one: one.run(*words).wall * 1e6 for name, one in outboxes.items()}, rounds)  # type: ignore[misc]  # noqa: B023
        _judge(verdicts, f"{what}, whole process", times, LOOK_LIMIT)
    for what in LOOKS:
        times = in_turns({name: lambda one=one: look(one, what) for name, one in stores.items()}, 5 * rounds)  # type: ignore[misc]  # noqa: B023
        _judge(verdicts, what, times, LOOK_LIMIT)
    for store in stores.values():
        store.release_all(None, DUE_AT)
    times = in_turns({name: lambda one=one: durable(one, claims) for name, one in stores.items()}, rounds)  # type: ignore[misc]
    _judge(verdicts, "claim + finalize", times, CLAIM_LIMIT)
    times = in_turns({name: lambda one=one: statement(one.file, claims) for name, one in outboxes.items()}, rounds)  # type: ignore[misc]
    _judge(verdicts, "the claim's statement alone", times, CLAIM_LIMIT)


def _judge(verdicts: Verdicts, what: str, times: dict[str, list[float]], limit: float) -> None:
    few, many = times["few"], times["many"]
    print(f"{what}: {median(few):.0f} us among few, {median(many):.0f} us among many")
    verdicts.at_most(f"{what}, many / few", ratio(many, few), limit)


def prune(verdicts: Verdicts, outbox: Outbox, store: SqliteStore) -> None:
    """Prune large contents, small ones, records, and nothing at all: rows were sent at the second of their id."""
    fill_contents(outbox.file, 1, LARGE, 262_144, 100)
    fill_contents(outbox.file, LARGE + 1, LARGE + SMALL, 2300, 1)
    for until, more in ((0, ()), (LARGE, ()), (LARGE + SMALL, ()), (LARGE + SMALL, ("--all",))):
        wait = longest_wait(outbox, store, "--older-than", "0s", "--now-ts", str(until), *more)
        verdicts.at_most("    the longest wait of a send meanwhile, in ms", wait, WAIT_LIMIT)


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, sent=1_000_000, due=2000, claims=40, rounds=9)
    verdicts = Verdicts()
    with workspace() as directory:
        outboxes = {name: Outbox(directory / name) for name in ("few", "many")}
        start = time.perf_counter()
        for name, sent in (("few", FEW), ("many", asked.sent)):
            build_table(outboxes[name].file, sent, asked.due)
        size = outboxes["many"].file.stat().st_size >> 20
        print(f"built in {time.perf_counter() - start:.0f} s, {size} MiB; the claim's plan:")
        print("".join(f"    {step}\n" for step in claim_plan(outboxes["many"].file)), end="")
        stores = {name: SqliteStore(one.file, message_id_domain="prx-email.local") for name, one in outboxes.items()}
        compare(verdicts, outboxes, stores, asked.claims, asked.rounds)
        prune(verdicts, outboxes["many"], stores["many"])
        for store in stores.values():
            store.close()
    verdicts.exit()


if __name__ == "__main__":
    main()
