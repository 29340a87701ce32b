"""Define the rules of a message's life, pure: no clock, no database, no network.

Times are Unix seconds and always come from the caller.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_DOUBLINGS = 10
MAX_PAUSE_SECONDS = 25 * 3600  # between two drains, one a day at the least: a longer one was an absence
DOUBTFUL_LEAP_SECONDS = 86_400


class Status(StrEnum):
    """The status of a message; whether it is held, given up or uncertain is stored beside it."""

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


class Priority(StrEnum):
    """The class of a message, the first to be claimed first: all due messages of a class go before the next class."""

    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"


class RecipientStatus(StrEnum):
    """The status of one recipient; ``refused`` is for good."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class RecipientKind(StrEnum):
    """In which header a recipient is named; bcc in none."""

    TO = "to"
    CC = "cc"
    BCC = "bcc"


class Verdict(StrEnum):
    """The result of a finished attempt, by which store, report, log, exit status and notify go."""

    SENT = "sent"  # every recipient is accepted now
    DEFERRED = "deferred"
    GAVE_UP = "gave_up"


class Ending(StrEnum):
    """How a recorded attempt ended: with a verdict, or with the death of its run."""

    SENT = Verdict.SENT.value
    DEFERRED = Verdict.DEFERRED.value
    GAVE_UP = Verdict.GAVE_UP.value
    DIED = "died"


def code_class(ending: str, code: int | None) -> int:
    """Return the first digit of the reply's code: 2 for a sent message, whose code is not kept, 0 without a reply."""
    return code // 100 if code else 2 if ending == Ending.SENT else 0


class Reason(StrEnum):
    """Why a message was given up."""

    REFUSED = "refused"  # by the server, for good, for every recipient not yet accepted
    EXPIRED = "expired"
    TOO_OLD = "too long undelivered"
    CANCELLED = "cancelled"  # on a person's word
    DAMAGED = "damaged"  # what is stored is not what was submitted


class Scope(StrEnum):
    """Whom a failure concerns."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    ACCOUNT = "account"


class RetryPolicy(NamedTuple):
    """The retry keys of ``[outbox]``: backoff and give-up limit in seconds, and what to do with uncertain messages.

    give_up_after_attempts: no message is given up for its age before so many.
    """

    base_seconds: int = 5
    give_up_after_seconds: int = 120 * 3600
    give_up_after_attempts: int = 8
    hold_uncertain: bool = False


class RecipientResult(NamedTuple):
    """One recipient's new status after an attempt, with reply code and text where there was a reply.

    uncertain: the server accepted it, got the whole message, and did not answer.
    """

    status: RecipientStatus
    code: int | None = None
    response: str | None = None
    uncertain: bool = False

    def leaves_uncertain(self, before: bool) -> bool:  # noqa: FBT001 - one thing, and what the name asks for
        """Tell whether the recipient is uncertain now, if it was so *before*: it stays that until it is accepted."""
        return self.status is not RecipientStatus.ACCEPTED and (before or self.uncertain)


class Outcome(NamedTuple):
    """The end of one attempt, before the rules are applied.

    recipients: results by recipient number, of those that were tried.  error: code of the failure (network, auth,
    provider) and ``detail`` its text, both None without a failure.  code, enhanced: the reply code that decided, and
    its enhanced status code (RFC 3463), where there were any.  acceptance: the text of the provider's 250.  dialogue:
    commands and replies, without secrets and body.  damaged: the stored message is not the submitted one and was not
    sent.
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
        """Tell whether a recipient may have the message although no reply said so."""
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
    """The input of the rules: a message whose attempt has just ended.

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
    """The output of the rules: where a message stands; gave_up: the reason, None while drains go on trying."""

    status: Status
    retries: int
    next_attempt_at: int
    gave_up: Reason | None = None
    uncertain: bool = False
    held: bool = False

    @property
    def verdict(self) -> Verdict:
        """Return the verdict on the attempt."""
        if self.status is Status.SENT:
            return Verdict.SENT
        return Verdict.GAVE_UP if self.gave_up is not None else Verdict.DEFERRED


def delay_after(retries: int, base_seconds: int) -> int:
    """Compute the seconds to wait after *retries* failures: base * 2**min(retries, 10)."""
    return base_seconds << min(retries, MAX_DOUBLINGS)


def message_id(outbox_id: int, retries: int, domain: str) -> str:
    """Make the Message-ID of an attempt that follows *retries* failures."""
    return f"<outbox-{outbox_id}-{retries}@{domain}>"


def message_id_for_attempt(
    outbox_id: int,
    retries: int,
    domain: str,
    previous: str | None,
    uncertain: bool,  # noqa: FBT001 - a function in SQL, too, where nothing has a name
) -> str:
    """The Message-ID of the next attempt.

    After an uncertain attempt its Message-ID is repeated, so that a provider can drop the second copy; after a definite
    failure the attempt gets one of its own.
    """
    if uncertain and previous is not None:
        return previous
    return message_id(outbox_id, retries, domain)


def after_attempt(before: Standing, outcome: Outcome, policy: RetryPolicy, now: int) -> Settled:
    """Apply the rules to an attempt that ended with *outcome* at *now*.

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


def after_crash(retries: int, policy: RetryPolicy, now: int) -> Settled:
    """Apply the rules to a message whose run died during an attempt: it is due at once, and uncertain."""
    return Settled(Status.FAILED, retries + 1, now, uncertain=True, held=policy.hold_uncertain)


def _time_is_up(before: Standing, retries: int, policy: RetryPolicy, now: int) -> Reason | None:
    """Return the reason if a message with *retries* failures is too old or expired; None if not.

    Its age counts only the time in which drains were at work: a machine that was off for a week has not tried.
    """
    if before.expires_at is not None and now >= before.expires_at:
        return None if before.clock_in_doubt else Reason.EXPIRED
    if before.drained_seconds >= policy.give_up_after_seconds and retries >= policy.give_up_after_attempts:
        return Reason.TOO_OLD
    return None


def is_over(status: Status, gave_up: Reason | None) -> bool:
    """Tell whether no drain takes the message any more: it is sent, or given up and in nobody's hands."""
    return status is Status.SENT or (gave_up is not None and status is not Status.SENDING)


def counted_as(status: Status, gave_up: Reason | None) -> str:
    """Name what a message counts as: a cancelled one, or one that was never attempted, as why it was given up."""
    unsent = status is Status.PENDING or (status is not Status.SENDING and gave_up is Reason.CANCELLED)
    return gave_up if unsent and gave_up is not None else status


def drained_since(recorded_at: int | None, now: int) -> int:
    """Compute the seconds that a drain at *now* adds to drained time; *recorded_at*: the start of the drain before.

    0 for a pause longer than MAX_PAUSE_SECONDS (an absence, or the clock has jumped), and if the clock went back.
    """
    return 0 if recorded_at is None else max(0, min(now - recorded_at, MAX_PAUSE_SECONDS))


def clock_in_doubt(recorded_at: int | None, now: int) -> bool:
    """Tell whether the clock may have jumped ahead since *recorded_at*: no other drain has seen such a time yet."""
    return recorded_at is not None and now - recorded_at > DOUBTFUL_LEAP_SECONDS
