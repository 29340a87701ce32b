"""Large outboxes, made fast: rows by SQL alone, with everything the product's own tables demand of them."""

import sqlite3
from pathlib import Path

from prx_email_cli.outbox.lifecycle import message_id_for_attempt
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.store import SqliteStore

ACCOUNT = "bench"
DUE_AT = 1_000_000  # Unix seconds: the due rows are due at that time or up to DUE_SPREAD seconds earlier
DUE_SPREAD = 10_000
_DOMAIN = "prx-email.local"

_SENT = f"""
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :sent)
INSERT INTO outbox (account, status, next_attempt_at, first_due_at, created_at, sent_at, message_id, acceptance, sender,
                    subject, size_bytes)
SELECT '{ACCOUNT}', 'sent', i, i, i, i, '<outbox-' || i || '-0@{_DOMAIN}>', '2.0.0 Ok', 'bench@example.com',
       'Message ' || i, 200
  FROM n WHERE :sent > 0
"""
_DUE = f"""
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :due)
INSERT INTO outbox (account, next_attempt_at, first_due_at, created_at, sender, subject, size_bytes)
SELECT '{ACCOUNT}', {DUE_AT} - i % {DUE_SPREAD}, {DUE_AT} - i % {DUE_SPREAD}, {DUE_AT}, 'bench@example.com',
       'Message ' || i, 200
  FROM n WHERE :due > 0
"""
_RECIPIENTS = """
INSERT INTO recipient (outbox_id, number, address, kind, status)
SELECT id, 0, 'user' || id || '@example.com', 'to', CASE status WHEN 'sent' THEN 'accepted' ELSE 'pending' END
  FROM outbox ORDER BY id
"""
_ATTEMPTS = """
INSERT INTO attempt (outbox_id, retries, account, run_id, message_id, started_at, finished_at, outcome, code, response,
                     uncertain, counts)
SELECT id, retries, account, '1-1-bench', message_id, sent_at, sent_at, 'sent', 250, acceptance, 0, 1
  FROM outbox WHERE status = 'sent' ORDER BY id
"""
_CONTENT = "INSERT INTO content (id, data) SELECT id * 65536, zeroblob(size_bytes) FROM outbox ORDER BY id"


def build_table(path: Path, sent: int, due: int) -> None:
    """A new outbox at *path* with *sent* rows that are sent and *due* ones that are due at DUE_AT.

    Contents are short, so that a million rows fit on any disk; no claim looks at another message's content.
    """
    SqliteStore(path, message_id_domain=_DOMAIN).close()
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = OFF")  # nothing to lose yet; opening the store turns WAL on again
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for statement in (_SENT, _DUE, _RECIPIENTS, _ATTEMPTS, _CONTENT):
            connection.execute(statement, {"sent": sent, "due": due})
        connection.execute("COMMIT")
    finally:
        connection.close()


def claim_values(now: int = DUE_AT) -> dict[str, object]:
    """The parameters of the product's own claim."""
    return {"run": "1-1-bench", "domain": _DOMAIN, "account": ACCOUNT, "due_before": now, "now": now, "most": 1,
            "numbers": "[1]"}  # fmt: skip


def bare_connection(path: Path) -> sqlite3.Connection:
    """A connection of its own that can run the product's statements one by one."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.create_function("outbox_message_id", 5, message_id_for_attempt)
    return connection


def claim_plan(path: Path) -> list[str]:
    """How SQLite runs the product's claim on the outbox at *path*, a line for each step."""
    connection = bare_connection(path)
    try:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {sql.CLAIM_NEXT}", claim_values()).fetchall()
    finally:
        connection.close()
    return [str(step[3]) for step in steps]
