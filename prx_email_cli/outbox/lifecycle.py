"""The rules of a message's life, pure: no clock, no database, no network.

Section 3 of the design, readable in one page.  Times are Unix seconds and always come from the caller.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_DOUBLINGS = 10


class Status(StrEnum):
    """The four states; everything else is a fact beside the state."""

    PENDING = "pending"  # acknowledged, not yet attempted
    SENDING = "sending"  # one living run owns it
    SENT = "sent"  # every recipient accepted
    FAILED = "failed"  # beside it: due again when, given up?, uncertain?


MOVES = {
    (Status.PENDING, Status.SENDING),
    (Status.FAILED, Status.SENDING),
    (Status.SENDING, Status.SENT),
    (Status.SENDING, Status.FAILED),
}


class RecipientStatus(StrEnum):
    """What the provider said of one recipient; ``refused`` is for good."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Scope(StrEnum):
    """What a failure says something about."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    ACCOUNT = "account"


class RetryPolicy(NamedTuple):
    """``[outbox]``: base backoff and give-up limit, both in seconds; whether uncertain messages wait for a person."""

    base_seconds: int = 5
    give_up_after_seconds: int = 120 * 3600
    hold_uncertain: bool = False


class RecipientResult(NamedTuple):
    """What became of one recipient in one attempt: its new status, with reply code and text where there was a reply."""

    status: RecipientStatus
    code: int | None = None
    response: str | None = None


class Outcome(NamedTuple):
    """What one attempt came to.

    recipients: results by recipient number, of those that were tried.  error: code of the failure (network, auth,
    provider) and ``detail`` its text, both None when all went well.  code, enhanced: the reply code that decided, and
    its enhanced status code (RFC 3463), where there were any.  uncertain: the whole message was on the wire and no
    answer came.  acceptance: the text of the provider's 250.  dialogue: what was said, without secrets and body.
    """

    recipients: dict[int, RecipientResult]
    error: str | None = None
    detail: str | None = None
    code: int | None = None
    enhanced: str | None = None
    scope: Scope = Scope.MESSAGE
    uncertain: bool = False
    acceptance: str | None = None
    dialogue: str = ""


class Standing(NamedTuple):
    """What the rules need to know of a message whose attempt has just ended."""

    retries: int
    next_attempt_at: int
    first_due_at: int
    expires_at: int | None
    uncertain: bool
    recipients: Sequence[RecipientStatus]  # of all its recipients, after the attempt


class Settled(NamedTuple):
    """What a finished attempt leaves behind; gave_up is the reason, None while drains go on trying."""

    status: Status
    retries: int
    next_attempt_at: int
    gave_up: str | None = None
    uncertain: bool = False
    held: bool = False


def delay_after(retries: int, base_seconds: int) -> int:
    """Seconds to wait after the failure that made it *retries* in all: base * 2**min(retries, 10)."""
    return base_seconds << min(retries, MAX_DOUBLINGS)


def message_id(outbox_id: int, retries: int, domain: str) -> str:
    """The Message-ID of an attempt that starts with *retries* failures behind it."""
    return f"<outbox-{outbox_id}-{retries}@{domain}>"


def message_id_for_attempt(outbox_id: int, retries: int, domain: str, previous: str | None, uncertain: bool) -> str:
    """The Message-ID of the next attempt.

    While an earlier copy may have been accepted, that copy's Message-ID is repeated, so that a provider can drop the
    second one; after a definite failure the attempt gets one of its own.
    """
    if uncertain and previous is not None:
        return previous
    return message_id(outbox_id, retries, domain)


def after_attempt(before: Standing, outcome: Outcome, policy: RetryPolicy, now: int) -> Settled:
    """Where a message stands once an attempt has come to *outcome* at *now*.

    ``sent`` when every recipient is accepted; given up when only refused ones remain, or when it stayed undelivered
    past its expiry or *policy*'s limit for a reason that is its own; deferred otherwise.  An account failure gives
    nothing up.  Due times only move later, also when the clock has stepped back.
    """
    if all(status is RecipientStatus.ACCEPTED for status in before.recipients):
        return Settled(Status.SENT, before.retries, before.next_attempt_at)
    retries = before.retries + 1
    next_attempt_at = max(before.next_attempt_at, now + delay_after(retries, policy.base_seconds))
    uncertain = before.uncertain or outcome.uncertain
    gave_up = None
    if RecipientStatus.PENDING not in before.recipients:
        gave_up = "refused"
    elif outcome.scope is not Scope.ACCOUNT:
        gave_up = _time_is_up(before, policy, now)
    held = outcome.uncertain and policy.hold_uncertain
    return Settled(Status.FAILED, retries, next_attempt_at, gave_up, uncertain, held)


def after_crash(before: Standing, policy: RetryPolicy, now: int) -> Settled:
    """Where a message stands whose run died during an attempt: due at once, and uncertain."""
    return Settled(Status.FAILED, before.retries + 1, now, uncertain=True, held=policy.hold_uncertain)


def _time_is_up(before: Standing, policy: RetryPolicy, now: int) -> str | None:
    if before.expires_at is not None and now >= before.expires_at:
        return "expired"
    if now >= before.first_due_at + policy.give_up_after_seconds:
        return "too long undelivered"
    return None
