"""Define what goes into the outbox and what a run takes out of it.  Times are Unix seconds.

Named tuples cost little to define and to make: cron starts this program every minute.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prx_email_cli.errors import ClaimLost, PrxEmailError, ValidationError
from prx_email_cli.outbox.hashing import sha256
from prx_email_cli.outbox.lifecycle import Outcome, Priority, RecipientKind, RecipientStatus, Settled, Verdict


class Schedule(NamedTuple):
    """When a message was made, when it is due, and when it expires; None for never."""

    created_at: int
    due_at: int
    expires_at: int | None = None

    @classmethod
    def at_once(cls, now: int) -> "Schedule":
        """Make a schedule that is due at *now* and never expires."""
        return cls(now, now)


class Content(NamedTuple):
    """A message's content as it is stored: with CRLF line ends and without a Message-ID.

    pieces: in order, readable again and again.  digest: SHA-256 of all of it, in hexadecimal digits.
    """

    pieces: Iterable[bytes]
    size_bytes: int
    digest: str

    @classmethod
    def of(cls, data: bytes) -> "Content":
        """Make a content that is held in memory."""
        return cls((data,), len(data), sha256(data).hexdigest())


class Addressee(NamedTuple):
    """A recipient of a new message."""

    address: str
    kind: RecipientKind = RecipientKind.TO


class Caller(NamedTuple):
    """Who enqueues a message: the user, on which machine, and by which command."""

    user: str
    uid: int
    host: str
    command: str


class Esmtp(NamedTuple):
    """What a message that came whole needs or wishes of an SMTP server.

    eight_bit: its content has 8-bit bytes (RFC 6152).  notify, returns, envelope_id: of a delivery status notification,
    as RFC 3461 writes NOTIFY, RET and ENVID.
    """

    eight_bit: bool = False
    notify: str | None = None
    returns: str | None = None
    envelope_id: str | None = None


class NewMessage(NamedTuple):
    """A message to be stored.

    sender: envelope sender, "" for the null one.  fingerprint: a digest of what the message says, whenever that is;
    needed with an idempotency_key.  caller: None where nobody is to be named.  own_message_id: the one in its content,
    if it came with one.  esmtp: None for a message that was composed here.
    """

    account: str
    sender: str
    recipients: list[Addressee]
    subject: str
    content: Content
    schedule: Schedule
    needs_smtputf8: bool = False
    idempotency_key: str | None = None
    fingerprint: str = ""
    priority: Priority = Priority.NORMAL
    caller: Caller | None = None
    own_message_id: str | None = None
    esmtp: Esmtp | None = None


class Submitted(NamedTuple):
    """The answer to a new message: stored, a duplicate of an earlier one with its key, or refused with an error."""

    outbox_id: int
    duplicate: bool = False
    error: PrxEmailError | None = None

    @classmethod
    def again(cls, message: NewMessage, earlier: int, fingerprint: str) -> "Submitted":
        """Answer to a *message* whose idempotency key the *earlier* one has, with that one's fingerprint."""
        if fingerprint == message.fingerprint:
            return cls(earlier, duplicate=True)
        key = message.idempotency_key
        error = f"idempotency key {key!r} was used for other content: outbox message {earlier}"
        return cls(0, error=ValidationError(error, hint="take a new key for a new message"))


class Exported(NamedTuple):
    """A stored message as its next attempt would send it; a sent one as it was sent last.

    message_id: with angle brackets; has_it: it stands in the content.  content: as it is stored, readable again and
    again.
    """

    outbox_id: int
    message_id: str
    sender: str
    created_at: int
    content: Iterable[bytes]
    has_it: bool = False

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes that follow DATA, but for what SMTP adds to dots."""
        if not self.has_it:
            yield f"Message-ID: {self.message_id}\r\n".encode()
        end = b""
        for piece in self.content:
            end = (end + piece)[-2:]
            yield piece
        if end != b"\r\n":
            yield b"\r\n"


class Target(NamedTuple):
    """One recipient of a claimed message: its number within the message, its address and its status.

    uncertain: an earlier attempt may have reached it.  response: why it is refused, None unless it is.
    """

    number: int
    address: str
    status: RecipientStatus
    uncertain: bool = False
    response: str | None = None


def addressed(everyone: list[Target], *, by_hand: bool) -> tuple[list[Target], list[Target]]:
    """Divide the recipients into those that an attempt addresses, *by_hand* also refused ones, and the others."""
    wanted = (RecipientStatus.PENDING, RecipientStatus.REFUSED) if by_hand else (RecipientStatus.PENDING,)
    return [one for one in everyone if one.status in wanted], [one for one in everyone if one.status not in wanted]


class Claimed(NamedTuple):
    """A message that this run, and nobody else, may now attempt.

    targets: the recipients of this attempt.  others: all other recipients.  head: the content's beginning, empty for a
    large content, None where it or the recipients cannot be read; the rest comes from ``Run.content``.
    drained_seconds: how long drains have been at work since it was first attempted; drained_from: how long they had
    been then, None before its time.  envelope_digest, content_digest: as submitted, None for a message older than
    these.  claim: the claim's number, which no other claim of the run ever has.  has_message_id: in its content.
    """

    outbox_id: int
    account: str
    retries: int
    next_attempt_at: int
    first_due_at: int
    expires_at: int | None
    uncertain: bool
    message_id: str
    sender: str
    subject: str
    needs_smtputf8: bool
    size_bytes: int
    started_at: int
    targets: list[Target]
    others: list[Target]
    head: bytes | None
    drained_seconds: int = 0
    drained_from: int | None = None
    envelope_digest: str | None = None
    content_digest: str | None = None
    claim: int = 0
    has_message_id: bool = False
    esmtp: Esmtp | None = None


class Finished(NamedTuple):
    """A finished attempt: the claimed message, the outcome, and where the rules leave the message.

    milliseconds: from the attempt's start to its end.  connection: its number within the run, 0 for none.
    """

    claimed: Claimed
    outcome: Outcome
    settled: Settled
    finished_at: int
    milliseconds: int = 0
    connection: int = 0

    @property
    def verdict(self) -> Verdict:
        """What the attempt came to."""
        return self.settled.verdict

    @property
    def detail(self) -> str | None:
        """Return why the message is not sent: this attempt's failure, else earlier refusals.  None if it is sent."""
        if self.outcome.detail is not None or self.verdict is Verdict.SENT:
            return self.outcome.detail
        refused = [f"{other.address}: {other.response or 'refused'}" for other in self.claimed.others
                   if other.status is RecipientStatus.REFUSED]  # fmt: skip
        more = f" (and {len(refused) - 1} more recipients)" if len(refused) > 1 else ""
        return refused[0] + more if refused else None

    @property
    def error(self) -> str | None:
        """Return the error code that goes with ``detail``."""
        return self.outcome.error or ("provider" if self.detail is not None else None)


class Moment(NamedTuple):
    """The start of a drain.  clock_in_doubt: whether the clock may have jumped ahead since the drain before."""

    now: int
    clock_in_doubt: bool = False


class Limit(NamedTuple):
    """At most so many messages, or so many recipients of messages, in any span of so many seconds."""

    most: int
    seconds: int
    of_recipients: bool = False

    def admits(self, taken: int, recipients: int = 1) -> bool:
        """Whether a message with so many recipients may follow *taken* in the span.

        One with more recipients than the limit goes when nothing else was taken, or it would wait for ever.
        """
        if not self.of_recipients:
            return taken < self.most
        return taken == 0 or taken + recipients <= self.most


class ClaimOne(NamedTuple):
    """Wish for the message with this id, if it is due and not held (or *force*), and if the limits allow."""

    outbox_id: int
    now: int
    force: bool = False
    limits: tuple[Limit, ...] = ()


class ClaimNext(NamedTuple):
    """Wish for up to *most* of the account's due messages, the highest class first, if the limits allow.

    due_before: ``next_attempt_at`` must be this or earlier.
    """

    account: str
    due_before: int
    now: int
    limits: tuple[Limit, ...] = ()
    most: int = 1


Wish = ClaimNext | ClaimOne


class Advanced(NamedTuple):
    """The answer to ``Run.advance``.

    lost: for each finished attempt, in order, the error if it was not recorded, else None.  claims: for each wish, in
    order, the claimed messages: by priority, and within a class the longest due first.
    """

    lost: list[ClaimLost | None]
    claims: list[list[Claimed]]


class Recovered(NamedTuple):
    """The answer to ``Run.recover``: what became of the messages that dead runs had claimed.

    uncertain: ids of messages that may have been sent.  finished: attempts that were answered, now recorded.
    given_back: ids of messages whose claims were undone.
    """

    uncertain: list[int]
    finished: list[Finished]
    given_back: list[int]
