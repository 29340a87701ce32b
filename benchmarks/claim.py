"""What a claim costs in an outbox of 1,100,000 rows, against one of 1,000.

Twice: claim and finalize as a drain has them, each durable, so mostly waiting for the disk; and the claim statement
alone, rolled back, which hides nothing.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.common import Verdicts, in_turns, options, ratio, workspace
from benchmarks.tables import ACCOUNT, DUE_AT, bare_connection, build_table, claim_plan, claim_values
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Settled, Status
from prx_email_cli.outbox.messages import Claimed, ClaimNext, Finished
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.store import Run

LIMIT = 2.0
SMALL = {"sent": 500, "due": 500}


def _delivered(claimed: Claimed) -> Finished:
    accepted = {0: RecipientResult(RecipientStatus.ACCEPTED, 250, "250 2.0.0 Ok")}
    return Finished(claimed, Outcome(accepted, acceptance="2.0.0 Ok"), Settled(Status.SENT, 0, DUE_AT), DUE_AT)


def durable(run: Run, claims: int) -> float:
    """Microseconds of one claim and its finalize, each a transaction that reaches the disk."""
    start = time.perf_counter()
    for _ in range(claims):
        (claimed,) = run.advance([], [ClaimNext(ACCOUNT, DUE_AT, DUE_AT)]).claims
        if not claimed:
            raise SystemExit("nothing is due any more: ask for fewer claims or rounds")
        run.advance([_delivered(claimed[0])], [])
    return (time.perf_counter() - start) / claims * 1e6


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


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, sent=1_000_000, due=100_000, claims=40, rounds=9)
    with workspace() as directory:
        files = {"small": directory / "small.db", "large": directory / "large.db"}
        build_table(files["small"], **SMALL)
        start = time.perf_counter()
        build_table(files["large"], asked.sent, asked.due)
        size = files["large"].stat().st_size >> 20
        print(f"built in {time.perf_counter() - start:.0f} s, {size} MiB; the claim's plan:")
        print("".join(f"    {step}\n" for step in claim_plan(files["large"])), end="")
        stores = {name: SqliteStore(file, message_id_domain="prx-email.local") for name, file in files.items()}
        runs = {name: store.start_run(DUE_AT) for name, store in stores.items()}
        contestants: dict[str, Callable[[], float]] = {}
        for name, file in files.items():
            contestants[f"claim + finalize, {name}"] = lambda name=name: durable(runs[name], asked.claims)  # type: ignore[misc]
            contestants[f"claim alone, {name}"] = lambda file=file: statement(file, asked.claims)  # type: ignore[misc]
        times = in_turns(contestants, asked.rounds)
        for name, store in stores.items():
            runs[name].__exit__(None, None, None)
            store.close()
    verdicts = Verdicts()
    for what in ("claim + finalize", "claim alone"):
        small, large = times[f"{what}, small"], times[f"{what}, large"]
        print(f"{what}: {median(small):.0f} us in {sum(SMALL.values())} rows, {median(large):.0f} us in all the rows")
        verdicts.at_most(f"{what}, large / small", ratio(large, small), LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    main()
