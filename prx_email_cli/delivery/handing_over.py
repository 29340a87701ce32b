"""Hand one claimed message to an open connection, and make an outcome of every way that can end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from prx_email_cli.delivery.verify import damage_of, damaged_outcome, verified
from prx_email_cli.errors import OutboxDamaged, PrxEmailError
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Scope
from prx_email_cli.outbox.messages import Claimed
from prx_email_cli.redaction import redact
from prx_email_cli.smtp.envelope import Envelope, Fate, Recipient, Result
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.replies import Category
from prx_email_cli.smtp.session import Session
from prx_email_cli.smtp.transaction import Transaction

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Run

_STATUSES = {
    Fate.ACCEPTED: RecipientStatus.ACCEPTED,
    Fate.DEFERRED: RecipientStatus.PENDING,
    Fate.REFUSED: RecipientStatus.REFUSED,
    Fate.UNCERTAIN: RecipientStatus.PENDING,
}
_IN_DOUBT = RecipientResult(RecipientStatus.PENDING, uncertain=True)


def hand_over(session: Session, claimed: Claimed, run: Run) -> tuple[Outcome, bool]:
    """Return the outcome, and whether nothing was said of the message because the connection had ended before.

    Not even an error of this program's own leaves a message without an outcome.
    """
    damage = damage_of(claimed)
    if damage is not None:
        return damage, False
    head = claimed.head or b""
    whole = len(head) == claimed.size_bytes
    rest = () if whole else verified(claimed, run.content(claimed))
    transaction = Transaction(envelope_of(claimed, chain((head,), rest)), session.profile, session.patience)
    left_alone = False
    run.about_to_end(claimed, {target.number: _IN_DOUBT for target in claimed.targets})
    try:
        result = session.carry_out(transaction)
        outcome, left_alone = outcome_of(result), result.left_alone
    except OutboxDamaged as error:  # DATA is under way, and only closing keeps the server from taking what came so far
        session.abandon()
        outcome = damaged_outcome(error.message, str(transaction.broken_off(error.message).transcript))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        session.abandon()
        session.interrupted = isinstance(error, KeyboardInterrupt)
        outcome = _broken_off(transaction, error)
    if not left_alone:
        session.last = claimed.outbox_id
    return outcome, left_alone


def _broken_off(transaction: Transaction, error: BaseException) -> Outcome:
    code = error.code if isinstance(error, PrxEmailError) else PrxEmailError.code
    detail = redact(f"this program failed {transaction.place}: {error}")
    if isinstance(error, KeyboardInterrupt):
        code, detail = Category.NETWORK.value, f"interrupted {transaction.place}"
    return outcome_of(transaction.broken_off(detail))._replace(error=code, detail=detail)


def envelope_of(claimed: Claimed, content: Iterable[bytes]) -> Envelope:
    """Return what a transaction takes to send *claimed* with *content*."""
    recipients = [Recipient(target.number, target.address) for target in claimed.targets]
    return Envelope(claimed.sender, recipients, claimed.message_id, claimed.size_bytes, content, claimed.needs_smtputf8)


def outcome_of(result: Result) -> Outcome:
    """Return the outcome of an attempt whose transaction gave *result*."""
    trouble = result.trouble
    reply = trouble.reply if trouble else None
    return Outcome(
        recipients={number: RecipientResult(_STATUSES[one.fate], one.code, one.text, one.fate is Fate.UNCERTAIN)
                    for number, one in result.recipients.items()},
        error=trouble.category.value if trouble else None,
        detail=trouble.text if trouble else None,
        code=reply.code if reply else None,
        enhanced=(reply.enhanced or None) if reply else None,
        scope=Scope(trouble.scope) if trouble else Scope.MESSAGE,
        acceptance=result.acceptance,
        dialogue=str(result.transcript),
    )  # fmt: skip


def outcome_without_session(failure: SessionFailed) -> Outcome:
    """Return the outcome of the one attempt that shows that no session can be opened."""
    reply = failure.reply
    return Outcome(
        {},
        error=failure.category.value,
        detail=f"{failure.message} ({failure.hint})" if failure.hint else failure.message,
        code=reply.code if reply else None,
        enhanced=(reply.enhanced or None) if reply else None,
        scope=Scope.ACCOUNT,
        dialogue=failure.dialogue,
    )
