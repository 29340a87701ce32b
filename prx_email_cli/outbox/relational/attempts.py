"""Record attempts that have ended, inside the caller's transaction; nothing moves a message."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prx_email_cli.outbox.lifecycle import code_class
from prx_email_cli.outbox.relational.database import Connection
from prx_email_cli.outbox.relational.rows import write_rows

_RECORD = "INSERT INTO attempt ({columns}) VALUES {rows}"


def record(connection: Connection, attempts: Sequence[dict[str, Any]]) -> None:
    """Write the rows of *attempts*, at least one, count them, and note when the latest ended."""
    write_rows(connection, _RECORD, attempts)
    groups = Counter((one["account"], one["outcome"], code_class(one["outcome"], one["code"])) for one in attempts)
    latest = max(one["finished_at"] for one in attempts)
    counts = [{"account": account, "outcome": outcome, "code_class": first, "attempts": many}
              for (account, outcome, first), many in sorted(groups.items())]  # fmt: skip
    connection.count_attempts(counts, latest)
