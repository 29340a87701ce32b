"""The rules of a message's life, pure: no clock, no database, no network.

Section 3 of the design, readable in one page.  Times are Unix seconds and always come from the caller.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_DOUBLINGS = 10
MAX_PAUSE_SECONDS = 25 * 3600  # between two drains, one a day at the least: a longer one was an absence
DOUBTFUL_LEAP_SECONDS = 86_400


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


class RecipientKind(StrEnum):
    """In which header a recipient is named; bcc in none."""

    TO = "to"
    CC = "cc"
    BCC = "bcc"


class Verdict(StrEnum):
    """What a finished attempt came to: the one truth for store, report, log, exit status and notify."""

    SENT = "sent"  # every recipient is accepted now
    DEFERRED = "deferred"
    GAVE_UP = "gave_up"


class Ending(StrEnum):
    """How a recorded attempt ended: with a verdict, or with the death of its run."""

    SENT = Verdict.SENT.value
    DEFERRED = Verdict.DEFERRED.value
    GAVE_UP = Verdict.GAVE_UP.value
    DIED = "died"


class Reason(StrEnum):
    """Why a message was given up."""

    REFUSED = "refused"  # by the server, for good, for everybody who has not got it
    EXPIRED = "expired"
    TOO_OLD = "too long undelivered"
    CANCELLED = "cancelled"  # on a person's word
    DAMAGED = "damaged"  # what is stored is not what was submitted


class Scope(StrEnum):
    """What a failure says something about."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    ACCOUNT = "account"


class RetryPolicy(NamedTuple):
    """``[outbox]``: base backoff and give-up limit, both in seconds; whether uncertain messages wait for a person.

    give_up_after_attempts: nothing is given up for its age before so many.
    """

    base_seconds: int = 5
    give_up_after_seconds: int = 120 * 3600
    give_up_after_attempts: int = 8
    hold_uncertain: bool = False


class RecipientResult(NamedTuple):
    """What became of one recipient in one attempt: its new status, with reply code and text where there was a reply.

    uncertain: the server accepted it, took the whole message, and did not answer: it may have the message.
    """

    status: RecipientStatus
    code: int | None = None
    response: str | None = None
    uncertain: bool = False


class Outcome(NamedTuple):
    """What one attempt came to.

    recipients: results by recipient number, of those that were tried.  error: code of the failure (network, auth,
    provider) and ``detail`` its text, both None when all went well.  code, enhanced: the reply code that decided, and
    its enhanced status code (RFC 3463), where there were any.  acceptance: the text of the provider's 250.  dialogue:
    what was said, without secrets and body.  damaged: what is stored is not what was submitted, so it was not sent.
    """

    recipients: dict[int, RecipientResult]
    error: str | None = None
    detail: str | None = None
    code: int | None = None
    enhanced: str | None = None
    scope: Scope = Scope.MESSAGE
    acceptance: str | None = None
    dialogue: str = ""
    damaged: bool = False

    @property
    def uncertain(self) -> bool:
        """Whether a recipient may have the message although no answer said so."""
        return any(result.uncertain for result in self.recipients.values())

    @property
    def counts(self) -> bool:
        """Whether the provider's limits count the attempt: it took the message, or may have."""
        return self.uncertain or self.acceptance is not None

    @property
    def reached(self) -> int:
        """How many recipients have the message from this attempt, or may have it."""
        return sum(one.uncertain or one.status is RecipientStatus.ACCEPTED for one in self.recipients.values())

    @property
    def response(self) -> str | None:
        """The answer that history keeps: the provider's acceptance, or why the attempt failed."""
        return self.acceptance or self.detail


class Standing(NamedTuple):
    """What the rules need to know of a message whose attempt has just ended.

    recipients: the statuses of all of them, after the attempt.  uncertain: whether one of them may have the message.
    drained_seconds: how long drains have been at work since it was first attempted.  clock_in_doubt: the clock may have
    jumped ahead, so it expires nothing yet.
    """

    retries: int
    next_attempt_at: int
    expires_at: int | None
    uncertain: bool
    recipients: Sequence[RecipientStatus]
    drained_seconds: int = 0
    clock_in_doubt: bool = False


class Settled(NamedTuple):
    """What a finished attempt leaves behind; gave_up is the reason, None while drains go on trying."""

    status: Status
    retries: int
    next_attempt_at: int
    gave_up: Reason | None = None
    uncertain: bool = False
    held: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the attempt came to."""
        if self.status is Status.SENT:
            return Verdict.SENT
        return Verdict.GAVE_UP if self.gave_up is not None else Verdict.DEFERRED


def delay_after(retries: int, base_seconds: int) -> int:
    """Seconds to wait after the failure that made it *retries* in all: base * 2**min(retries, 10)."""
    return base_seconds << min(retries, MAX_DOUBLINGS)


def message_id(outbox_id: int, retries: int, domain: str) -> str:
    """The Message-ID of an attempt that starts with *retries* failures behind it."""
    return f"<outbox-{outbox_id}-{retries}@{domain}>"


def message_id_for_attempt(
    outbox_id: int,
    retries: int,
    domain: str,
    previous: str | None,
    uncertain: bool,  # noqa: FBT001 - a function in SQL, too, where nothing has a name
) -> str:
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
    past its expiry or *policy*'s limits for a reason that is its own; deferred otherwise.  An account failure gives
    nothing up.  Due times only move later, also when the clock has stepped back.
    """
    if not outcome.damaged and all(status is RecipientStatus.ACCEPTED for status in before.recipients):
        return Settled(Status.SENT, before.retries, before.next_attempt_at)
    retries = before.retries + 1
    next_attempt_at = max(before.next_attempt_at, now + delay_after(retries, policy.base_seconds))
    gave_up: Reason | None = None
    if outcome.damaged:
        gave_up = Reason.DAMAGED
    elif RecipientStatus.PENDING not in before.recipients:
        gave_up = Reason.REFUSED
    elif outcome.scope is not Scope.ACCOUNT:
        gave_up = _time_is_up(before, retries, policy, now)
    held = outcome.uncertain and policy.hold_uncertain
    return Settled(Status.FAILED, retries, next_attempt_at, gave_up, before.uncertain, held)


def after_crash(before: Standing, policy: RetryPolicy, now: int) -> Settled:
    """Where a message stands whose run died during an attempt: due at once, and uncertain."""
    return Settled(Status.FAILED, before.retries + 1, now, uncertain=True, held=policy.hold_uncertain)


def _time_is_up(before: Standing, retries: int, policy: RetryPolicy, now: int) -> Reason | None:
    """Why the time of a message with *retries* failures is up, None while it is not.

    Its age is the time in which drains could have delivered it: a machine that was off for a week has not tried.
    """
    if before.expires_at is not None and now >= before.expires_at:
        return None if before.clock_in_doubt else Reason.EXPIRED
    if before.drained_seconds >= policy.give_up_after_seconds and retries >= policy.give_up_after_attempts:
        return Reason.TOO_OLD
    return None


def drained_since(recorded_at: int | None, now: int) -> int:
    """Seconds of drained time that a drain at *now* adds to the count, the one before having begun at *recorded_at*.

    A longer pause than MAX_PAUSE_SECONDS was an absence, or the clock has jumped; one that goes back adds nothing.
    """
    return 0 if recorded_at is None else max(0, min(now - recorded_at, MAX_PAUSE_SECONDS))


def clock_in_doubt(recorded_at: int | None, now: int) -> bool:
    """Whether the clock may have jumped ahead since *recorded_at*: no other drain has seen such a time yet."""
    return recorded_at is not None and now - recorded_at > DOUBTFUL_LEAP_SECONDS
