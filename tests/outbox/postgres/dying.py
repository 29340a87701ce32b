"""How a run on PostgreSQL loses its lock without an end."""

from __future__ import annotations

from prx_email_cli.outbox.postgres.run import PostgresRun
from prx_email_cli.outbox.postgres.schema import LOCK
from prx_email_cli.outbox.store import Run


def kill(run: Run) -> None:
    """Free what the kernel and the server free when the process of a run is killed; its record stays."""
    assert isinstance(run, PostgresRun)
    if run.in_flight._record is not None:
        run.in_flight._record.close()
    run._store.change(lambda connection: connection.execute("SELECT pg_advisory_unlock(?, ?)", (LOCK, run._number)))
