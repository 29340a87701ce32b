"""What goes into the outbox and what comes out of it.  Times are Unix seconds."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from prx_email_cli.outbox.lifecycle import Outcome, RecipientStatus, Settled, Status


@dataclass(frozen=True)
class NewMessage:
    """A composed message on its way into the outbox.

    sender: envelope sender, "" for the null one.  recipients: (address, "to" | "cc" | "bcc").  content: pieces of the
    message with CRLF line ends and without a Message-ID.  due_at: not attempted before.
    """

    account: str
    sender: str
    recipients: list[tuple[str, str]]
    subject: str
    content: Iterable[bytes]
    created_at: int
    due_at: int
    expires_at: int | None = None
    needs_smtputf8: bool = False


@dataclass(frozen=True)
class Target:
    """One recipient of a claimed message: its number within the message, its address, and where it stands."""

    number: int
    address: str
    status: RecipientStatus


@dataclass(frozen=True)
class Claimed:
    """A message that this run, and nobody else, may now attempt.

    targets: whom this attempt addresses.  others: where the recipients stand that it does not.  head: the first piece
    of the content; the rest comes from ``Store.rest_of_content``.
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
    others: list[RecipientStatus]
    head: bytes


@dataclass(frozen=True)
class Finished:
    """A claimed message whose attempt is over, with its outcome and what the rules make of it."""

    claimed: Claimed
    outcome: Outcome
    settled: Settled
    finished_at: int


@dataclass(frozen=True)
class ClaimNext:
    """A drain's wish: the account's longest-due message with ``next_attempt_at <= due_before``."""

    account: str
    due_before: int
    now: int


@dataclass(frozen=True)
class Recipient:
    """A recipient as ``show`` tells of it."""

    address: str
    kind: str
    status: str
    code: int | None
    response: str | None


@dataclass(frozen=True)
class Attempt:
    """An attempt as ``show`` tells of it; outcome is None while it runs, else sent, deferred, gave_up or died."""

    started_at: int
    finished_at: int | None
    run_id: str
    message_id: str
    outcome: str | None
    code: int | None
    response: str | None
    uncertain: bool
    dialogue: str | None


@dataclass(frozen=True)
class Row:
    """A message as ``list`` and ``show`` tell of it; the last two only in ``show``."""

    outbox_id: int
    account: str
    status: str
    retries: int
    next_attempt_at: int | None
    message_id: str | None
    provider_message_id: str | None
    last_error: str | None
    subject: str
    to: list[str]
    size_bytes: int
    created_at: int
    sent_at: int | None
    held: bool
    gave_up: str | None
    uncertain: bool
    error_code: str | None = None
    recipients: list[Recipient] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(frozen=True)
class Filter:
    """Which rows ``list`` shows, newest first; None and False do not restrict.  due_at: due at that time."""

    status: Status | None = None
    account: str | None = None
    due_at: int | None = None
    gave_up: bool = False
    held: bool = False
    uncertain: bool = False
    limit: int = 50
