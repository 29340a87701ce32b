"""Make a claimed message of the row that a claim returned; a damaged row fails its digest or cannot be claimed."""

import json
from typing import Any

from prx_email_cli.errors import OutboxDamaged
from prx_email_cli.outbox.lifecycle import RecipientStatus
from prx_email_cli.outbox.messages import Claimed, Esmtp, Target, addressed

_STATUS = {status.value: status for status in RecipientStatus}


def claimed(row: tuple[Any, ...], *, by_hand: bool = False) -> Claimed:
    """Make the message of a claimed *row*; claimed *by_hand* it also addresses the refused recipients.

    Raises OutboxDamaged when the row's numbers are not numbers.
    """
    (outbox_id, account, retries, next_attempt_at, first_due_at, expires_at, uncertain, message_id, claim, claimed_at,
     sender, subject, needs_smtputf8, size_bytes, drained, drained_from, envelope, content, has_message_id, esmtp,
     recipients, head) = row  # fmt: skip
    if not all(isinstance(value, int) for value in (retries, next_attempt_at, first_due_at, size_bytes)):
        raise OutboxDamaged("its record is damaged")
    try:
        everyone = _everyone(recipients)
    except (ValueError, KeyError, TypeError):  # not what this program wrote: nothing has such a digest
        everyone, envelope = [], b""
    targets, others = addressed(everyone, by_hand=by_hand)
    return Claimed(
        outbox_id=outbox_id, account=account, retries=retries,
        next_attempt_at=next_attempt_at, first_due_at=first_due_at, expires_at=expires_at, uncertain=bool(uncertain),
        message_id=message_id, sender=_text(sender), subject=_text(subject), needs_smtputf8=bool(needs_smtputf8),
        size_bytes=size_bytes, started_at=claimed_at, head=head, claim=claim, targets=targets, others=others,
        drained_seconds=0 if drained_from is None else drained - drained_from, drained_from=drained_from,
        envelope_digest=None if envelope is None else _text(envelope),
        content_digest=None if content is None else _text(content), has_message_id=bool(has_message_id),
        esmtp=None if esmtp is None else _esmtp(_text(esmtp)),
    )  # fmt: skip


def _everyone(recipients: bytes | None) -> list[Target]:
    """Return all recipients of a claimed message, by number.  Raises ValueError, KeyError, TypeError for damage."""
    return sorted(
        Target(number, address, _STATUS[status], bool(uncertain), response)
        for number, address, status, uncertain, response in json.loads(_text(recipients) or "[]")
    )


def _esmtp(stored: str) -> Esmtp:
    """Read what a message needs of a server; nothing where damage hides it: the content is verified without it."""
    try:
        return Esmtp(*json.loads(stored))
    except (ValueError, TypeError):
        return Esmtp()


def _text(stored: bytes | None) -> str:
    return (stored or b"").decode("utf-8", "surrogateescape")
