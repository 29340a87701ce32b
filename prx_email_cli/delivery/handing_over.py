"""Hand one claimed message to an open connection, and make an outcome of every way that can end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.delivery.verify import damage_of, damaged_outcome, verified
from prx_email_cli.errors import OutboxDamaged, PrxEmailError, StorageError
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Scope
from prx_email_cli.outbox.messages import Claimed
from prx_email_cli.redaction import redact
from prx_email_cli.smtp import envelope as smtp
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


class Noting:
    """Notes for a run that a claimed message may end.  noted: whether that was done."""

    def __init__(self, claimed: Claimed, run: Run) -> None:
        self._claimed, self._run, self.noted = claimed, run, False

    def about_to_end(self, results: Mapping[int, smtp.RecipientResult]) -> None:
        """Note that the bytes that complete the content may leave now.  Raises OSError."""
        try:
            self._run.about_to_end(self._claimed, {number: _result(one) for number, one in results.items()})
        except StorageError as error:
            raise OSError(error.message) from None
        self.noted = True


class Flying(NamedTuple):
    """A claimed message that is handed to a server.  started: when that began, in ticks."""

    claimed: Claimed
    transaction: Transaction
    noting: Noting
    started: float

    def failed(self, error: BaseException) -> Outcome:
        """Return what stands when this program fails midway, for instance in reading the content."""
        if isinstance(error, OutboxDamaged):
            return damaged_outcome(error.message, str(self.transaction.broken_off(error.message).transcript))
        code = error.code if isinstance(error, PrxEmailError) else PrxEmailError.code
        return self._broken_off(code, redact(f"this program failed {self.transaction.place}: {error}"))

    def interrupted(self) -> Outcome:
        """Return what stands when a signal breaks the attempt off."""
        return self._broken_off(Category.NETWORK.value, f"interrupted {self.transaction.place}")

    def _broken_off(self, code: str, detail: str) -> Outcome:
        return outcome_of(self.transaction.broken_off(detail))._replace(error=code, detail=detail)


def take_off(claimed: Claimed, session: Session, run: Run, now: float) -> Flying | Outcome:
    """Prepare a claimed message for *session*; the outcome of one that is damaged.  now: in ticks."""
    damage = damage_of(claimed)
    if damage is not None:
        return damage
    head = claimed.head or b""
    rest = () if len(head) == claimed.size_bytes else verified(claimed, run.content(claimed))
    noting = Noting(claimed, run)
    envelope = envelope_of(claimed, chain((head,), rest))
    if envelope.eight_bit and not session.profile.offers("8bitmime"):
        envelope = _in_seven_bits(envelope)
    transaction = Transaction(envelope, session.profile, session.patience, noting.about_to_end)
    return Flying(claimed, transaction, noting, now)


def envelope_of(claimed: Claimed, content: Iterable[bytes]) -> Envelope:
    """Return what a transaction takes to send *claimed* with *content*."""
    recipients = [Recipient(target.number, target.address) for target in claimed.targets]
    message_id = "" if claimed.has_message_id else claimed.message_id
    return Envelope(
        claimed.sender,
        recipients,
        message_id,
        claimed.size_bytes,
        content,
        claimed.needs_smtputf8,
        *(claimed.esmtp or ()),
    )


def _in_seven_bits(envelope: Envelope) -> Envelope:
    """Encode the content anew for a server without 8BITMIME; not where a signature would break."""
    from prx_email_cli.mail.seven_bit import seven_bit  # on use

    whole = b"".join(envelope.content)
    encoded = seven_bit(whole)
    if encoded is None:
        return envelope._replace(content=(whole,))
    return envelope._replace(content=(encoded,), size=len(encoded), eight_bit=False)


def outcome_of(result: Result) -> Outcome:
    """Return the outcome of an attempt whose transaction gave *result*."""
    trouble = result.trouble
    reply = trouble.reply if trouble else None
    return Outcome(
        recipients={number: _result(one) for number, one in result.recipients.items()},
        error=trouble.category.value if trouble else None,
        detail=trouble.text if trouble else None,
        code=reply.code if reply else None,
        enhanced=(reply.enhanced or None) if reply else None,
        scope=Scope(trouble.scope) if trouble else Scope.MESSAGE,
        acceptance=result.acceptance,
        dialogue=str(result.transcript),
    )  # fmt: skip


def _result(one: smtp.RecipientResult) -> RecipientResult:
    return RecipientResult(_STATUSES[one.fate], one.code, one.text, one.fate is Fate.UNCERTAIN)


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
