"""Messages and attempts in the tests of the outbox."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome, Priority, RecipientResult, RecipientStatus, RetryPolicy, Scope
from prx_email_cli.outbox.messages import Addressee, Claimed, ClaimNext, Content, Finished, Moment, NewMessage, Schedule
from prx_email_cli.outbox.sqlite.run import SqliteRun
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.store import Run

DOMAIN = "prx-email.local"
POLICY = RetryPolicy()
NOW = 1_700_000_000


def new_message(
    *recipients: str,
    account: str = "work",
    due_at: int = NOW,
    content: bytes | Content = b"Subject: s\r\n\r\nb\r\n",
    expires_at: int | None = None,
    priority: Priority = Priority.NORMAL,
) -> NewMessage:
    return NewMessage(
        account=account,
        sender="ops@example.com",
        recipients=[Addressee(address) for address in recipients or ("a@example.org",)],
        subject="s",
        content=content if isinstance(content, Content) else Content.of(content),
        schedule=Schedule(NOW, due_at, expires_at),
        priority=priority,
    )


def open_store(path: Path, **options: Any) -> SqliteStore:
    return SqliteStore(path, message_id_domain=DOMAIN, **{"withdraw_seconds": 0, **options})


def wish(now: int = NOW, account: str = "work", most: int = 1) -> ClaimNext:
    return ClaimNext(account, now, now, most=most)


def claim(run: Run, now: int = NOW) -> Claimed:
    """Claim the next message, which must be there."""
    ((claimed,),) = run.advance([], [wish(now)]).claims
    return claimed


def in_doubt(claimed: Claimed) -> dict[int, RecipientResult]:
    """The results of an attempt whose whole content may leave now, before any answer."""
    return {target.number: RecipientResult(RecipientStatus.PENDING, 250, uncertain=True) for target in claimed.targets}


def kill(run: Run) -> None:
    """Close the files of a run of SQLite's, as the kernel does when it is killed; they stay where they are."""
    assert isinstance(run, SqliteRun)
    os.close(run._lock._descriptor)
    if run.in_flight._record is not None:
        run.in_flight._record.close()


def ended(
    claimed: Claimed, *statuses: RecipientStatus, scope: Scope = Scope.MESSAGE, uncertain: bool = False, now: int = NOW,
    policy: RetryPolicy = POLICY,
) -> Finished:  # fmt: skip
    """An attempt after which *claimed*'s targets have *statuses* (by default: all are still pending).

    uncertain: the server took the message for those that have none, and did not answer.
    """
    results = {
        target.number: RecipientResult(status, 250 if status is RecipientStatus.ACCEPTED else 450, "said so")
        for target, status in zip(claimed.targets, statuses, strict=bool(statuses) and not uncertain)
    }
    if uncertain:
        doubtful = [target for target in claimed.targets if target.number not in results]
        results |= {target.number: RecipientResult(RecipientStatus.PENDING, uncertain=True) for target in doubtful}
    acceptance = "2.0.0 queued" if RecipientStatus.ACCEPTED in statuses else None
    if statuses and set(statuses) == {RecipientStatus.ACCEPTED}:
        return finish(claimed, Outcome(results, acceptance=acceptance), policy, Moment(now))
    outcome = Outcome(results, error="network", detail="why", scope=scope, acceptance=acceptance)
    return finish(claimed, outcome, policy, Moment(now))


def sent(claimed: Claimed) -> Finished:
    return ended(claimed, *[RecipientStatus.ACCEPTED] * len(claimed.targets))
