"""Record attempts that have ended, inside the caller's transaction; nothing moves a message."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

from prx_email_cli.outbox.lifecycle import code_class
from prx_email_cli.outbox.sqlite.rows import write_rows

_RECORD = "INSERT INTO attempt ({columns}) VALUES {rows}"
# What prune deletes stays counted.
_COUNT = """
INSERT INTO attempted ({columns}) VALUES {rows}
    ON CONFLICT (account, outcome, code_class) DO UPDATE SET attempts = attempts + excluded.attempts
"""
_RECORD_LATEST = "UPDATE ledger SET last_attempt_at = max(coalesce(last_attempt_at, :at), :at)"


def record(connection: sqlite3.Connection, attempts: Sequence[dict[str, Any]]) -> None:
    """Write the rows of *attempts*, at least one, count them, and note when the latest ended."""
    write_rows(connection, _RECORD, attempts)
    groups = Counter((one["account"], one["outcome"], code_class(one["outcome"], one["code"])) for one in attempts)
    counts = [{"account": account, "outcome": outcome, "code_class": first, "attempts": many}
              for (account, outcome, first), many in groups.items()]  # fmt: skip
    write_rows(connection, _COUNT, counts)
    connection.execute(_RECORD_LATEST, {"at": max(one["finished_at"] for one in attempts)})
