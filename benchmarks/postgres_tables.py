"""Large outboxes in PostgreSQL, made fast: rows by SQL alone; and messages to submit and to settle."""

import psycopg

from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Settled, Status
from prx_email_cli.outbox.messages import Addressee, Claimed, Content, Finished, NewMessage, Schedule

ACCOUNT = "bench"
DUE_AT = 1_000_000  # Unix seconds: the due rows are due at that time or up to DUE_SPREAD seconds earlier
DUE_SPREAD = 10_000

_SENT = f"""
INSERT INTO outbox (id, account, status, next_attempt_at, first_due_at, created_at, sent_at, message_id, acceptance,
                    sender, subject, size_bytes)
SELECT i, '{ACCOUNT}', 'sent', i, i, i, i, '<outbox-' || i || '-0@prx-email.local>', '2.0.0 Ok', 'bench@example.com',
       'Message ' || i, 200
  FROM generate_series(1, %(sent)s) AS i
"""
_DUE = f"""
INSERT INTO outbox (id, account, next_attempt_at, first_due_at, created_at, sender, subject, size_bytes)
SELECT i, '{ACCOUNT}', {DUE_AT} - i %% {DUE_SPREAD}, {DUE_AT} - i %% {DUE_SPREAD}, {DUE_AT}, 'bench@example.com',
       'Message ' || i, 200
  FROM generate_series(1 + %(sent)s, %(sent)s + %(due)s) AS i
"""
_RECIPIENTS = """
INSERT INTO recipient (outbox_id, number, address, kind, status)
SELECT id, 0, 'user' || id || '@example.com', 'to', CASE status WHEN 'sent' THEN 'accepted' ELSE 'pending' END
  FROM outbox
"""
_ATTEMPTS = """
INSERT INTO attempt (outbox_id, retries, account, run_id, message_id, started_at, finished_at, outcome, code, response,
                     uncertain, counts)
SELECT id, retries, account, '1-1-bench', message_id, sent_at, sent_at, 'sent', 250, acceptance, FALSE, TRUE
  FROM outbox WHERE status = 'sent'
"""
_CONTENT = """
INSERT INTO content (id, data)
SELECT id * 65536, decode(repeat('20', 200), 'hex') FROM outbox WHERE status <> 'sent'
"""
_NEXT = "SELECT setval('outbox_id', %(sent)s + %(due)s + 1)"


def fill(url: str, sent: int, due: int) -> None:
    """Give the empty outbox at *url* messages that are sent, and ones that are due at DUE_AT; short contents.

    The server's statistics are as old as its own autovacuum leaves them.
    """
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")  # the foreign keys hold by what is inserted
        for statement in (_SENT, _DUE, _RECIPIENTS, _ATTEMPTS, _CONTENT, _NEXT):
            connection.execute(statement.encode(), {"sent": sent, "due": due} if "%(" in statement else None)


def message() -> NewMessage:
    """A message of 2 KB that is due at DUE_AT."""
    return NewMessage(
        ACCOUNT, "bench@example.com", [Addressee("user@example.com")], "subject", Content.of(b"x" * 2048),
        Schedule(DUE_AT, DUE_AT),
    )  # fmt: skip


def delivered(claimed: Claimed) -> Finished:
    """The result of a message that was accepted."""
    accepted = {0: RecipientResult(RecipientStatus.ACCEPTED, 250, "250 2.0.0 Ok")}
    return Finished(claimed, Outcome(accepted, acceptance="2.0.0 Ok"), Settled(Status.SENT, 0, DUE_AT), DUE_AT)
