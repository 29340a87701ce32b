"""Rewrite the tables, so that nothing of what was deleted is left in them."""

import time

from psycopg.errors import Diagnostic

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.postgres.dialect import PostgresConnection

# Reads how large the outbox's tables are, with their indexes.
_BYTES = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
 WHERE relkind = 'r' AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
"""

# Reads the number of the next transaction: what was deleted until now was deleted by an earlier one.
_NOW = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"

# Counts the sessions that still see what was deleted before the transaction of this number.
_STILL_SEEING = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND age(backend_xmin) > age(CAST(? AS TEXT)::xid8::xid)
"""

# Rewrites the tables that hold what people wrote, or their names; each waits until nobody uses it.
_REWRITE = "VACUUM (FULL) outbox, recipient, attempt, idempotency, known, content, account_state, action"
_LOOK_SECONDS = 0.05


def bytes_used(connection: PostgresConnection) -> int:
    """Return the size of the outbox's tables in bytes."""
    return int(connection.execute(_BYTES).fetchone()[0])


def rewrite(connection: PostgresConnection, patience_seconds: float) -> bool:
    """Rewrite the tables; tell whether what was deleted is gone from them: nobody was left who could see it.

    patience_seconds: how long to wait for those who can.  Raises StorageError where this role may not.
    """
    deadline, now = time.monotonic() + patience_seconds, connection.execute(_NOW).fetchone()[0]
    while (seeing := connection.execute(_STILL_SEEING, (now,)).fetchone()[0]) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    skipped: list[str] = []

    def note(said: Diagnostic) -> None:
        if said.severity_nonlocalized == "WARNING":
            skipped.append(said.message_primary or "")

    connection.connection.add_notice_handler(note)
    try:
        connection.execute_as_it_is(_REWRITE)
    finally:
        connection.connection.remove_notice_handler(note)
    if skipped:
        hint = "say it as the role that owns the tables"
        raise StorageError(f"the outbox was not rewritten: {skipped[0]}", hint=hint)
    return not seeing
