"""The moves of a message's life as statements on a connection, each inside its caller's transaction."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prx_email_cli.errors import (
    ClaimLost,
    LimitUsedUp,
    NotAllowedForStatus,
    NotFound,
    PrxEmailError,
    RetryNotDue,
    ValidationError,
    as_ours,
)
from prx_email_cli.outbox.digest import content_digest, envelope_digest
from prx_email_cli.outbox.lifecycle import (
    RecipientStatus,
    RetryPolicy,
    Standing,
    Status,
    Verdict,
    after_crash,
    clock_in_doubt,
)
from prx_email_cli.outbox.messages import (
    Claimed,
    ClaimNext,
    ClaimOne,
    Finished,
    Limit,
    Moment,
    NewMessage,
    Submitted,
    Target,
)
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.schema import PIECES_PER_MESSAGE

PIECE_BYTES = 256 * 1024
_STATUS = {status.value: status for status in RecipientStatus}
RECORD_EVERY_SECONDS = 60  # a moment that a drain has recorded is good for so long: a follower looks every second
DIED = "the run that was delivering it died; the provider may have accepted it"


def submit_all(connection: sqlite3.Connection, messages: Sequence[NewMessage], above: int = 0) -> list[Submitted]:
    """Store new messages, or find the earlier ones with their idempotency keys; what became of each, in order.

    above: new ids are higher than this.
    """
    if any(message.may_fail or message.idempotency_key is not None for message in messages):
        return [_submit(connection, message, above) for message in messages]
    read = [_read(message) for message in messages]
    sound = [message for message in read if isinstance(message, NewMessage)]
    stored = iter(_submit_many(connection, sound, above))
    return [next(stored) if isinstance(message, NewMessage) else Submitted(0, error=message) for message in read]


def _read(message: NewMessage) -> NewMessage | PrxEmailError:
    """*message* with its content at hand, which can be read again; or what its content raises."""
    try:
        return message._replace(content=(b"".join(message.content),))
    except Exception as error:  # noqa: BLE001 - it is this message's alone
        return as_ours(error)


def _submit_many(connection: sqlite3.Connection, messages: Sequence[NewMessage], above: int) -> list[Submitted]:
    """Store messages together, or one by one when one of them is at fault."""
    connection.execute("SAVEPOINT submission")
    try:
        stored = [Submitted(outbox_id) for outbox_id in _insert_many(connection, messages, above)]
    except sqlite3.Error:
        raise  # the database's: the transaction is over
    except Exception:  # noqa: BLE001 - whatever it is, _submit finds out whose
        connection.execute("ROLLBACK TO submission")
        stored = []
    connection.execute("RELEASE submission")
    return stored if len(stored) == len(messages) else [_submit(connection, message, above) for message in messages]


def _submit(connection: sqlite3.Connection, message: NewMessage, above: int) -> Submitted:
    """Store one message.

    An error of its own (an attachment that grew, a key used for something else) undoes only this message.
    """
    connection.execute("SAVEPOINT submission")
    try:
        submitted = _submit_once(connection, message, above)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - it is this message's alone
        submitted = Submitted(0, error=as_ours(error))
    if submitted.duplicate or submitted.error is not None:
        connection.execute("ROLLBACK TO submission")
    connection.execute("RELEASE submission")
    return submitted


def _submit_once(connection: sqlite3.Connection, message: NewMessage, above: int) -> Submitted:
    """Store the message to know its fingerprint; the caller undoes that when an earlier one has the key."""
    key = message.idempotency_key
    outbox_id = insert(connection, message, above)
    if key is None:
        return Submitted(outbox_id)
    fingerprint = message.fingerprint()
    earlier = connection.execute(sql.FIND_KEY, (message.account, key)).fetchone()
    if earlier is None:
        connection.execute(sql.INSERT_KEY, (message.account, key, outbox_id, fingerprint))
        return Submitted(outbox_id)
    if earlier[1] != fingerprint:
        raise ValidationError(
            f"idempotency key {key!r} was used for other content: outbox message {earlier[0]}",
            hint="take a new key for a new message",
        )
    return Submitted(earlier[0], duplicate=True)


def insert(connection: sqlite3.Connection, message: NewMessage, above: int) -> int:
    """Store a new message, its content piece by piece; its id."""
    pieces = _pieces(message.content)
    head = next(pieces, b"")
    digest = hashlib.sha256(head)
    outbox_id = _next_id(connection, above)
    connection.execute(sql.INSERT_MESSAGE, _row(outbox_id, message, len(head), digest.hexdigest()))
    connection.executemany(sql.INSERT_RECIPIENT, _recipient_rows(outbox_id, message))
    first = outbox_id * PIECES_PER_MESSAGE
    connection.execute(sql.INSERT_PIECE, (first, head))
    size = len(head)
    for number, piece in enumerate(pieces, 1):
        connection.execute(sql.INSERT_PIECE, (first + number, piece))
        digest.update(piece)
        size += len(piece)
    if size > len(head):
        content = digest.hexdigest()
        connection.execute(sql.SET_SIZE, (size, content, _envelope_digest(outbox_id, message, content), outbox_id))
    return outbox_id


def _insert_many(connection: sqlite3.Connection, messages: Sequence[NewMessage], above: int) -> list[int]:
    """Store messages whose contents are small and at hand, one statement to a table: a batch is worth it."""
    first = _next_id(connection, above)
    contents = [b"".join(message.content) for message in messages]
    numbered = list(enumerate(messages, first))
    rows = (
        _row(outbox_id, message, len(content), content_digest(content))
        for (outbox_id, message), content in zip(numbered, contents, strict=True)
    )
    connection.executemany(sql.INSERT_MESSAGE, rows)
    recipients = (row for outbox_id, message in numbered for row in _recipient_rows(outbox_id, message))
    connection.executemany(sql.INSERT_RECIPIENT, recipients)
    pieces = (
        (outbox_id * PIECES_PER_MESSAGE + number, piece)
        for outbox_id, content in enumerate(contents, first)
        for number, piece in enumerate(_cut(content))
    )
    connection.executemany(sql.INSERT_PIECE, pieces)
    return [outbox_id for outbox_id, _ in numbered]


def _cut(content: bytes) -> list[bytes]:
    """*content* in pieces; an empty one has an empty piece."""
    if len(content) <= PIECE_BYTES:
        return [content]
    return [content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES)]


def _next_id(connection: sqlite3.Connection, above: int) -> int:
    last = connection.execute(sql.LAST_ID).fetchone()
    return max(int(last[0]) if last else 0, above) + 1


def _row(outbox_id: int, message: NewMessage, size_bytes: int, content: str) -> tuple[Any, ...]:
    return (outbox_id, message.account, message.sender, message.subject, message.created_at, message.due_at,
            message.expires_at, message.needs_smtputf8, size_bytes, content,
            _envelope_digest(outbox_id, message, content))  # fmt: skip


def _envelope_digest(outbox_id: int, message: NewMessage, content: str) -> str:
    addresses = enumerate(address for address, _ in message.recipients)
    return envelope_digest(outbox_id, message.sender, addresses, content)


def _recipient_rows(outbox_id: int, message: NewMessage) -> list[tuple[int, int, str, str]]:
    return [(outbox_id, number, address, kind) for number, (address, kind) in enumerate(message.recipients)]


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


def claim_next(
    connection: sqlite3.Connection, run_id: str, wish: ClaimNext, domain: str, *, unread: bool = False
) -> Claimed | None:
    """Claim the longest-due message that *wish* admits, None when there is none; *unread*: without its content."""
    if not within_limits(connection, wish):
        return None
    values = {
        "run": run_id, "domain": domain, "account": wish.account, "due_before": wish.due_before, "now": wish.now,
    }  # fmt: skip
    found = connection.execute(sql.CLAIM_NEXT_UNREAD if unread else sql.CLAIM_NEXT, values).fetchall()
    return claimed(found[0], wish.now) if found else None


def check_one(connection: sqlite3.Connection, wish: ClaimOne) -> str:
    """The account of a message that ``claim_one`` would give; raises what that would, and changes nothing."""
    found = connection.execute(sql.CLAIMABLE, _values(wish)).fetchone()
    if found is None:
        raise refusal(connection, wish.outbox_id, wish.now)
    account = str(found[0])
    for limit in wish.limits:
        if not _has_room(connection, account, limit, wish.now, (sql.RECIPIENTS_OF_ONE, {"id": wish.outbox_id})):
            what = "to {} recipients" if limit.of_recipients else "{} messages"
            raise LimitUsedUp(
                f"account {account} may send {what.format(limit.most)} in {limit.seconds} s, and has",
                hint="wait, or raise the limit in the config if the provider allows more",
            )
    return account


def claim_one(
    connection: sqlite3.Connection, run_id: str, wish: ClaimOne, domain: str, *, unread: bool = False
) -> Claimed:
    """Claim this message for a person's retry; *unread*: without its content.  Raises as ``Store.claim`` says."""
    check_one(connection, wish)
    values = {"run": run_id, "domain": domain, **_values(wish)}
    found = connection.execute(sql.CLAIM_ONE_UNREAD if unread else sql.CLAIM_ONE, values).fetchall()
    return claimed(found[0], wish.now, by_hand=True)


def _values(wish: ClaimOne) -> dict[str, Any]:
    return {"id": wish.outbox_id, "now": wish.now, "force": wish.force}


def claimed(row: tuple[Any, ...], now: int, *, by_hand: bool = False) -> Claimed:
    """The message whose claim returned *row*; *by_hand* it also addresses the recipients that were refused."""
    (outbox_id, account, retries, next_attempt_at, first_due_at, expires_at, uncertain, message_id, sender, subject,
     needs_smtputf8, size_bytes, drained_seconds, envelope, content, recipients, head) = row  # fmt: skip
    try:
        everyone = _everyone(recipients)
    except (ValueError, KeyError, TypeError):  # not what this program wrote: nothing has such a digest
        everyone, envelope = [], ""
    wanted = (RecipientStatus.PENDING, RecipientStatus.REFUSED) if by_hand else (RecipientStatus.PENDING,)
    return Claimed(
        outbox_id=outbox_id, account=account, retries=retries,
        next_attempt_at=next_attempt_at, first_due_at=first_due_at, expires_at=expires_at, uncertain=bool(uncertain),
        message_id=message_id, sender=_text(sender), subject=_text(subject), needs_smtputf8=bool(needs_smtputf8),
        size_bytes=size_bytes, started_at=now, head=head,
        targets=[target for target in everyone if target.status in wanted],
        others=[target for target in everyone if target.status not in wanted], drained_seconds=drained_seconds,
        envelope_digest=envelope, content_digest=content,
    )  # fmt: skip


def _everyone(recipients: bytes) -> list[Target]:
    """All recipients of a claimed message, by number.  Raises ValueError, KeyError, TypeError for a damaged row."""
    import json

    return sorted(
        Target(number, address, _STATUS[status], bool(uncertain), response)
        for number, address, status, uncertain, response in json.loads(_text(recipients))
    )


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def refusal(connection: sqlite3.Connection, outbox_id: int, now: int) -> PrxEmailError:
    """Why a message could not be claimed for a retry, in the order in which the contract asks."""
    found = connection.execute(sql.STATUS_OF, (outbox_id,)).fetchone()
    if found is None:
        return NotFound("outbox record not found", hint=f"there is no {outbox_id}: prx-email list shows the ids")
    status, due, pruned_at, held_at = found
    if status not in (Status.PENDING, Status.FAILED):
        return NotAllowedForStatus(
            f"outbox message {outbox_id} is {status}: only pending and failed ones are retried",
            hint=f"prx-email show {outbox_id} tells what happened to it",
        )
    if pruned_at is not None:
        return NotAllowedForStatus(
            f"the content of outbox message {outbox_id} was pruned", hint="send it anew from where it came"
        )
    if held_at is not None:
        return NotAllowedForStatus(
            f"outbox message {outbox_id} is held",
            hint=f"prx-email release {outbox_id} lets drains take it again; --force tries it now",
        )
    return RetryNotDue(
        "retry_not_due", hint=f"outbox message {outbox_id} is due in {due - now} s; --force tries it now"
    )


def finalize(connection: sqlite3.Connection, run_id: str, finished: Finished) -> None:
    """Record a finished attempt, if it is still *run_id*'s to record; raises ClaimLost otherwise."""
    claimed, outcome, settled = finished.claimed, finished.outcome, finished.settled
    sent = finished.verdict is Verdict.SENT
    values = {
        "id": claimed.outbox_id, "run": run_id, "claimed_retries": claimed.retries, "status": settled.status,
        "retries": settled.retries, "next_attempt_at": settled.next_attempt_at, "gave_up": settled.gave_up,
        "uncertain": settled.uncertain, "held": settled.held, "now": finished.finished_at,
        "sent_at": finished.finished_at if sent else None, "acceptance": outcome.acceptance,
        "last_error": finished.detail, "error_code": finished.error,
    }  # fmt: skip
    if connection.execute(sql.FINALIZE, values).rowcount != 1:
        raise ClaimLost(
            f"outbox message {claimed.outbox_id} is no longer this run's: its result was not recorded",
            hint=f"prx-email show {claimed.outbox_id} tells who has it",
        )
    for number, result in outcome.recipients.items():
        connection.execute(
            sql.SETTLE_RECIPIENT,
            {"id": claimed.outbox_id, "number": number, "status": result.status, "code": result.code,
             "response": result.response, "uncertain": result.uncertain},
        )  # fmt: skip
    connection.execute(sql.RECORD_ATTEMPT, {
        "outbox_id": claimed.outbox_id, "retries": claimed.retries, "account": claimed.account, "run_id": run_id,
        "message_id": claimed.message_id, "started_at": claimed.started_at, "finished_at": finished.finished_at,
        "outcome": finished.verdict, "code": outcome.code, "enhanced": outcome.enhanced,
        "response": outcome.acceptance or outcome.detail, "uncertain": outcome.uncertain,
        "counts": outcome.uncertain or outcome.acceptance is not None, "dialogue": outcome.dialogue,
        "recipients": sum(result.uncertain or result.status is RecipientStatus.ACCEPTED
                          for result in outcome.recipients.values()),
    })  # fmt: skip


def within_limits(connection: sqlite3.Connection, wish: ClaimNext) -> bool:
    """Whether the provider's limits leave room for one more message; asked inside the claim's transaction."""
    values = {"account": wish.account, "due_before": wish.due_before, "now": wish.now}
    recipients = (sql.RECIPIENTS_OF_NEXT, values)
    return all(_has_room(connection, wish.account, limit, wish.now, recipients) for limit in wish.limits)


def _has_room(
    connection: sqlite3.Connection, account: str, limit: Limit, now: int, recipients: tuple[str, dict[str, Any]]
) -> bool:
    """Whether *limit* has room for the message whose recipients that statement counts.

    One with more recipients than the limit goes when nothing else has been counted, or it would wait for ever.
    """
    values = {"account": account, "since": now - limit.seconds}
    if not limit.of_recipients:
        return bool(connection.execute(sql.COUNT_TAKEN, values).fetchone()[0] < limit.most)
    taken = connection.execute(sql.COUNT_RECIPIENTS_TAKEN, values).fetchone()[0]
    return taken == 0 or bool(taken + connection.execute(*recipients).fetchone()[0] <= limit.most)


def ids(cursor: sqlite3.Cursor) -> list[int]:
    """The ids that a statement returned."""
    return [outbox_id for (outbox_id,) in cursor.fetchall()]


def tell(connection: sqlite3.Connection, outbox_id: int, now: int) -> bool:
    """Whether it is this caller who tells that the message was given up."""
    return connection.execute(sql.TELL, {"id": outbox_id, "now": now}).rowcount == 1


def begin_drain(connection: sqlite3.Connection, now: int) -> Moment:
    """Record that a drain begins at *now*, and whether its clock is to be trusted."""
    recorded_at = connection.execute(sql.RECORDED_AT).fetchone()[0]
    connection.execute(sql.RECORD_MOMENT, {"now": now, "least": RECORD_EVERY_SECONDS})
    return Moment(now, clock_in_doubt(recorded_at, now))


def recover_run(connection: sqlite3.Connection, run: str, policy: RetryPolicy, now: int) -> list[int]:
    """Settle what a dead run left in ``sending``; the ids."""
    recovered = []
    for outbox_id, account, retries, due, expires, uncertain, message_id, claimed_at in connection.execute(
        sql.ROWS_OF_RUN, (run,)
    ).fetchall():
        settled = after_crash(Standing(retries, due, expires, bool(uncertain), ()), policy, now)
        values = {
            "id": outbox_id, "run": run, "retries": settled.retries, "now": now, "held": settled.held,
            "next_attempt_at": settled.next_attempt_at, "last_error": DIED,
        }  # fmt: skip
        if connection.execute(sql.RECOVER, values).rowcount == 1:
            doubtful = connection.execute(sql.DOUBT_RECIPIENTS, {"id": outbox_id}).rowcount
            connection.execute(sql.RECORD_ATTEMPT, {
                "outbox_id": outbox_id, "retries": retries, "account": account, "run_id": run,
                "message_id": message_id, "started_at": claimed_at, "finished_at": now, "outcome": "died",
                "code": None, "enhanced": None, "response": DIED, "uncertain": True, "counts": True, "dialogue": None,
                "recipients": doubtful,
            })  # fmt: skip
            recovered.append(outbox_id)
    return recovered
