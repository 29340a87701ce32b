"""What every look at an outbox costs with a million records, over the same look with a thousand.

Both outboxes have the same 700 unsent messages of each kind; all others are sent.  Each look is a whole process,
as a person or a monitor starts it, in turns, round by round.
"""

import sqlite3
import subprocess
import time
from pathlib import Path
from statistics import median

from benchmarks.common import PRX_EMAIL, Outbox, Verdicts, in_turns, options, ratio, workspace
from benchmarks.tables import ACCOUNT, DUE_AT, build_table

FEW, UNSENT = 1000, 700
LIMIT = 5.0
NOW = str(DUE_AT)
# What becomes of the unsent messages: the remainder of their id by 7 says which.
_KINDS = (
    "UPDATE outbox SET status = 'failed', retries = 3, last_error = '450 4.2.1 mailbox busy', error_code = 'provider',"
    " message_id = '<outbox-' || id || '-2@prx-email.local>' WHERE status <> 'sent' AND id % 7 > 1",
    "UPDATE outbox SET gave_up = 'refused', last_error = '550 no such user' WHERE status <> 'sent' AND id % 7 = 3",
    "UPDATE outbox SET held_at = 1 WHERE status <> 'sent' AND id % 7 = 4",
    "UPDATE outbox SET uncertain = 1 WHERE status <> 'sent' AND id % 7 = 5",
    "UPDATE outbox SET by_account = 1, last_error = '535 5.7.8 login refused', error_code = 'auth'"
    " WHERE status <> 'sent' AND id % 7 = 6",
    """
    INSERT INTO attempt (outbox_id, retries, account, run_id, message_id, started_at, finished_at, outcome, code,
                         response, uncertain, counts)
    SELECT id, 2, account, '1-1-bench', message_id, next_attempt_at, next_attempt_at, 'deferred', 450, last_error,
           uncertain, 0 FROM outbox WHERE status = 'failed'
    """,
    "INSERT INTO action (outbox_id, account, at, what, who) SELECT id, account, 1, 'held', 'me@here' FROM outbox"
    " WHERE held_at IS NOT NULL",
    "INSERT INTO attempted SELECT account, outcome, coalesce(code / 100, 0), count(*) FROM attempt GROUP BY 1, 2, 3",
    "UPDATE ledger SET last_attempt_at = (SELECT max(finished_at) FROM attempt)",
)
LOOKS: tuple[tuple[str, ...], ...] = (
    ("status",), ("check",), ("stats",), ("stats", "--prometheus"), ("log", "--limit", "50"),
    ("log", "--account", ACCOUNT, "--since", "1970-01-12T00:00:00Z", "--limit", "50"), ("messages",), ("show", "7"),
    ("show", "<outbox-7-0@prx-email.local>"), ("show", "<a@strangers.example>"), ("show", "no-such-key"),
    ("drain", "--limit", "1", "--account", "idle"), ("prune", "7", "--dry-run"), ("list",), ("list", "--json"),
    ("list", "--repeated"), ("list", "--account", ACCOUNT), ("list", "--account", "idle"),
    ("list", "--status", "pending"), ("list", "--status", "sending"), ("list", "--status", "sent"),
    ("list", "--status", "failed"), ("list", "--due"), ("list", "--gave-up"), ("list", "--uncertain"),
    ("list", "--held"), ("list", "--to", "user7@example.com"), ("list", "--from", "bench@example.com"),
    ("list", "--subject", "Message 7"), ("list", "--error", "mailbox busy"), ("list", "--cause", "1"),
    ("list", "--since", "1h"), ("list", "--until", "1h"), ("list", "--to", "user7@example.com", "--gave-up"),
    ("list", "--limit", "1"),
)  # fmt: skip
_MAY_END_WITH = (0, 1, 2, 66, 75)  # what is found wrong, or not found, is an answer, too


def build(directory: Path, sent: int) -> Outbox:
    """An outbox with *sent* messages and the unsent ones, and an account that sends nothing."""
    outbox = Outbox(directory)
    outbox.config.write_text(outbox.config.read_text() + "\n" + outbox.config.read_text().split("\n\n", 1)[1].replace(
        f"accounts.{ACCOUNT}", "accounts.idle"))  # fmt: skip
    outbox.config.write_text(f'default_account = "{ACCOUNT}"\n{outbox.config.read_text()}')
    build_table(outbox.file, sent, UNSENT)
    outbox.file.chmod(0o600)
    connection = sqlite3.connect(outbox.file)
    with connection:
        for statement in _KINDS:
            connection.execute(statement)
    connection.close()
    return outbox


def look(outbox: Outbox, words: tuple[str, ...]) -> float:
    """Seconds of one command."""
    start = time.perf_counter()
    done = subprocess.run(
        [PRX_EMAIL, *words], env=outbox.env, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode not in _MAY_END_WITH or b"bug" in done.stderr:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.decode()}")
    return time.perf_counter() - start


def main() -> None:
    """Measure each look."""
    asked = options(__doc__, records=1_000_000, rounds=3)
    verdicts = Verdicts()
    with workspace() as directory:
        outboxes = {name: build(directory / name, sent) for name, sent in (("few", FEW), ("many", asked.records))}
        for words in LOOKS:
            times = in_turns({name: lambda one=one: look(one, words) for name, one in outboxes.items()}, asked.rounds)  # type: ignore[misc]  # noqa: B023
            few, many = (median(times[name]) * 1e3 for name in ("few", "many"))
            verdicts.at_most(f"{' '.join(words)} ({few:.0f}, {many:.0f} ms)", ratio(times["many"], times["few"]), LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    main()
