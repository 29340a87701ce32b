"""The outbox in one SQLite file, which any number of processes may use at once."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prx_email_cli.errors import ClaimLost, NotAllowedForStatus, NotFound, OutboxBusy, RetryNotDue
from prx_email_cli.outbox import reading, sql
from prx_email_cli.outbox.group_commit import GroupCommit
from prx_email_cli.outbox.lifecycle import (
    RecipientStatus,
    RetryPolicy,
    Standing,
    Status,
    after_crash,
    message_id_for_attempt,
)
from prx_email_cli.outbox.model import Claimed, ClaimNext, Filter, Finished, NewMessage, Row, Target
from prx_email_cli.outbox.opening import open_database, storage_errors
from prx_email_cli.outbox.schema import PIECES_PER_MESSAGE

PIECE_BYTES = 256 * 1024
FINALIZE_PATIENCE = 60  # busy timeouts: what the provider accepted must be recorded, however long a lock lasts

T = TypeVar("T")
DIED = "the run that was delivering it died; the provider may have accepted it"


class SqliteStore:
    """See ``Store`` for what each method promises."""

    def __init__(self, path: Path, *, message_id_domain: str, busy_timeout_seconds: float = 5) -> None:
        self.path = path
        self._domain = message_id_domain
        self._connection = open_database(path, busy_timeout_seconds)
        self._connection.create_function("outbox_message_id", 5, message_id_for_attempt)
        self._commits = GroupCommit(self._connection)

    def close(self) -> None:
        """Release the database."""
        self._connection.close()

    def enqueue(self, messages: Sequence[NewMessage]) -> list[int]:
        """Store *messages* in one transaction; their new ids, in order."""
        return self._change(lambda connection: [_insert(connection, message) for message in messages])

    def claim_next(self, run_id: str, wish: ClaimNext) -> Claimed | None:
        """Claim the longest-due message, None when nothing is due."""
        return self._change(lambda connection: self._claim_next(connection, run_id, wish))

    def claim(self, run_id: str, outbox_id: int, now: int, *, force: bool = False) -> Claimed:
        """Claim this message for a person's retry; also its refused recipients are tried again."""

        def make(connection: sqlite3.Connection) -> Claimed:
            values = {"run": run_id, "domain": self._domain, "id": outbox_id, "now": now, "force": force}
            claimed = connection.execute(sql.CLAIM_ONE, values).fetchall()
            if not claimed:
                raise _refusal(connection, outbox_id, now)
            return _claimed(connection, claimed[0], now, by_hand=True)

        return self._change(make)

    def check_claim(self, outbox_id: int, now: int, *, force: bool = False) -> str:
        """The account of a message that ``claim`` would give; raises what ``claim`` would, and changes nothing."""
        with self._reading() as connection:
            found = connection.execute(sql.CLAIMABLE, {"id": outbox_id, "now": now, "force": force}).fetchone()
            if found is None:
                raise _refusal(connection, outbox_id, now)
            return str(found[0])

    def finalize(self, run_id: str, finished: Finished, then: ClaimNext | None = None) -> Claimed | None:
        """Record a finished attempt and, in the same transaction, claim the next message."""

        def make(connection: sqlite3.Connection) -> Claimed | None:
            _finalize(connection, run_id, finished)
            return self._claim_next(connection, run_id, then) if then is not None else None

        for _ in range(FINALIZE_PATIENCE):
            try:
                return self._change(make)
            except OutboxBusy:
                continue
        return self._change(make)

    def recover(self, is_dead: Callable[[str], bool], policy: RetryPolicy, now: int) -> list[int]:
        """Move the ``sending`` rows of dead runs to ``failed``; costs one read when there are none."""
        with self._reading() as connection:
            runs = [run for (run,) in connection.execute(sql.RUNS_SENDING) if is_dead(run)]
        recovered: list[int] = []
        for run in runs:
            recovered += self._change(partial(_recover_run, run=run, policy=policy, now=now))
        return recovered

    def rest_of_content(self, outbox_id: int) -> Iterator[bytes]:
        """The pieces of a message's content after its head."""
        for number in range(1, PIECES_PER_MESSAGE):
            with self._reading() as connection:
                piece = connection.execute(sql.PIECE, (outbox_id * PIECES_PER_MESSAGE + number,)).fetchone()
            if piece is None:
                return
            yield piece[0]

    def accounts_due(self, now: int) -> list[str]:
        """Names of the accounts that have something a drain would take now."""
        return [name for name in self._accounts() if self.count_due(name, now, limit=1)]

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        """How many messages of *account* a drain would take now, counting no further than *limit*."""
        with self._reading() as connection:
            values = {"account": account, "now": now, "limit": -1 if limit is None else limit}
            return int(connection.execute(sql.COUNT_DUE, values).fetchone()[0])

    def next_due_at(self) -> int | None:
        """When the next message is due for a drain, None when none ever is."""
        names = self._accounts()
        with self._reading() as connection:
            dues = [connection.execute(sql.NEXT_DUE_AT, {"account": name}).fetchone()[0] for name in names]
        return min((due for due in dues if due is not None), default=None)

    def rows(self, wanted: Filter) -> list[Row]:
        """The rows that match, newest first."""
        with self._reading() as connection:
            return reading.rows(connection, wanted)

    def row(self, outbox_id: int) -> Row:
        """One message with recipients and attempts."""
        with self._reading() as connection:
            return reading.row(connection, outbox_id)

    def stats(self, now: int) -> dict[str, object]:
        """Counts and ages for monitoring."""
        with self._reading() as connection:
            return reading.stats(connection, now)

    def _accounts(self) -> list[str]:
        names: list[str] = []
        with self._reading() as connection:
            while True:
                found = connection.execute(sql.NEXT_ACCOUNT, {"after": names[-1] if names else ""}).fetchone()
                if found is None:
                    return names
                names.append(found[0])

    def _change(self, make: Callable[[sqlite3.Connection], T]) -> T:
        with storage_errors(self.path):
            return self._commits.run(make)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with storage_errors(self.path), self._commits.lock:
            yield self._connection

    def _claim_next(self, connection: sqlite3.Connection, run_id: str, wish: ClaimNext) -> Claimed | None:
        values = {
            "run": run_id,
            "domain": self._domain,
            "account": wish.account,
            "due_before": wish.due_before,
            "now": wish.now,
        }
        claimed = connection.execute(sql.CLAIM_NEXT, values).fetchall()
        return _claimed(connection, claimed[0], wish.now) if claimed else None


def _insert(connection: sqlite3.Connection, message: NewMessage) -> int:
    pieces = _pieces(message.content)
    head = next(pieces, b"")
    values = {
        "account": message.account, "sender": message.sender, "subject": message.subject,
        "created_at": message.created_at, "due_at": message.due_at, "expires_at": message.expires_at,
        "needs_smtputf8": message.needs_smtputf8, "size_bytes": len(head),
    }  # fmt: skip
    outbox_id = connection.execute(sql.INSERT_MESSAGE, values).lastrowid or 0
    for number, (address, kind) in enumerate(message.recipients):
        connection.execute(sql.INSERT_RECIPIENT, (outbox_id, number, address, kind))
    first = outbox_id * PIECES_PER_MESSAGE
    connection.execute(sql.INSERT_PIECE, (first, head))
    size = len(head)
    for number, piece in enumerate(pieces, 1):
        connection.execute(sql.INSERT_PIECE, (first + number, piece))
        size += len(piece)
    if size > len(head):
        connection.execute(sql.SET_SIZE, (size, outbox_id))
    return outbox_id


def _pieces(content: Iterable[bytes]) -> Iterator[bytes]:
    """*content* cut into pieces of PIECE_BYTES, the last one shorter."""
    buffer = bytearray()
    for chunk in content:
        buffer += chunk
        while len(buffer) > PIECE_BYTES:
            yield bytes(buffer[:PIECE_BYTES])
            del buffer[:PIECE_BYTES]
    if buffer:
        yield bytes(buffer)


def _claimed(connection: sqlite3.Connection, claimed: tuple[Any, ...], now: int, *, by_hand: bool = False) -> Claimed:
    (outbox_id, account, retries, next_attempt_at, first_due_at, expires_at, uncertain, message_id, sender, subject,
     needs_smtputf8, size_bytes) = claimed  # fmt: skip
    everyone = [
        Target(number, address, RecipientStatus(status))
        for number, address, status in connection.execute(sql.TARGETS, (outbox_id,))
    ]
    wanted = (RecipientStatus.PENDING, RecipientStatus.REFUSED) if by_hand else (RecipientStatus.PENDING,)
    head = connection.execute(sql.PIECE, (outbox_id * PIECES_PER_MESSAGE,)).fetchone()
    return Claimed(
        outbox_id=outbox_id, account=account, retries=retries,
        next_attempt_at=next_attempt_at, first_due_at=first_due_at, expires_at=expires_at, uncertain=bool(uncertain),
        message_id=message_id, sender=sender, subject=subject, needs_smtputf8=bool(needs_smtputf8),
        size_bytes=size_bytes, started_at=now, head=head[0] if head else b"",
        targets=[target for target in everyone if target.status in wanted],
        others=[target.status for target in everyone if target.status not in wanted],
    )  # fmt: skip


def _refusal(connection: sqlite3.Connection, outbox_id: int, now: int) -> NotFound | NotAllowedForStatus | RetryNotDue:
    """Why a message could not be claimed for a retry, in the order in which the contract asks."""
    found = connection.execute(sql.STATUS_OF, (outbox_id,)).fetchone()
    if found is None:
        return NotFound("outbox record not found", hint="prx-email list shows the ids")
    status, due = found
    if status not in (Status.PENDING, Status.FAILED):
        return NotAllowedForStatus(
            f"outbox message {outbox_id} is {status}: only pending and failed ones are retried",
            hint=f"prx-email show {outbox_id} tells what happened to it",
        )
    return RetryNotDue("retry_not_due", hint=f"due in {due - now} s; --force tries it now")


def _finalize(connection: sqlite3.Connection, run_id: str, finished: Finished) -> None:
    claimed, outcome, settled = finished.claimed, finished.outcome, finished.settled
    sent = settled.status is Status.SENT
    values = {
        "id": claimed.outbox_id, "run": run_id, "claimed_retries": claimed.retries, "status": settled.status,
        "retries": settled.retries, "next_attempt_at": settled.next_attempt_at, "gave_up": settled.gave_up,
        "uncertain": settled.uncertain, "held_at": finished.finished_at if settled.held else None,
        "sent_at": finished.finished_at if sent else None, "acceptance": outcome.acceptance,
        "last_error": outcome.detail, "error_code": outcome.error,
    }  # fmt: skip
    if connection.execute(sql.FINALIZE, values).rowcount != 1:
        raise ClaimLost(
            f"outbox message {claimed.outbox_id} is no longer this run's: its result was not recorded",
            hint=f"prx-email show {claimed.outbox_id} tells who has it",
        )
    for number, result in outcome.recipients.items():
        connection.execute(
            sql.SETTLE_RECIPIENT, (result.status, result.code, result.response, claimed.outbox_id, number)
        )
    verdict = "sent" if sent else "gave_up" if settled.gave_up else "deferred"
    connection.execute(
        sql.RECORD_ATTEMPT,
        (claimed.outbox_id, claimed.retries, run_id, claimed.message_id, claimed.started_at, finished.finished_at,
         verdict, outcome.code, outcome.acceptance or outcome.detail, outcome.uncertain, outcome.dialogue),
    )  # fmt: skip


def _recover_run(connection: sqlite3.Connection, run: str, policy: RetryPolicy, now: int) -> list[int]:
    recovered = []
    for outbox_id, retries, due, first_due, expires, uncertain, message_id, claimed_at in connection.execute(
        sql.ROWS_OF_RUN, (run,)
    ).fetchall():
        settled = after_crash(Standing(retries, due, first_due, expires, bool(uncertain), ()), policy, now)
        values = {
            "id": outbox_id, "run": run, "retries": settled.retries, "now": now, "held": settled.held,
            "next_attempt_at": settled.next_attempt_at, "last_error": DIED,
        }  # fmt: skip
        if connection.execute(sql.RECOVER, values).rowcount == 1:
            died = (outbox_id, retries, run, message_id, claimed_at, now, "died", None, DIED, True, None)
            connection.execute(sql.RECORD_ATTEMPT, died)
            recovered.append(outbox_id)
    return recovered
