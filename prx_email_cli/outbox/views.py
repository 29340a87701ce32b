"""Define what ``list``, ``show``, ``stats``, ``doctor`` and ``messages`` read.  Times are Unix seconds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.outbox.lifecycle import Ending, Priority, Reason, RecipientKind, RecipientStatus, Status

if TYPE_CHECKING:
    from pathlib import Path

    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.messages import Caller, Limit

MOST_SEARCHED = 100_000  # of messages that may be sent ones, of which there are millions


@dataclass(frozen=True)
class Recipient:
    """A recipient as ``show`` prints it."""

    address: str
    kind: RecipientKind
    status: RecipientStatus
    code: int | None
    response: str | None
    uncertain: bool


@dataclass(frozen=True)
class Attempt:
    """An attempt as ``show`` tells of it; outcome is None while it runs."""

    started_at: int
    finished_at: int | None
    run_id: str
    message_id: str
    outcome: Ending | None
    code: int | None
    enhanced: str | None
    response: str | None
    uncertain: bool
    dialogue: str | None


class Action(NamedTuple):
    """What a person did.  outbox_id: to this message; None: to the account, which is "" for all.  who: as user@host."""

    outbox_id: int | None
    account: str
    at: int
    what: str
    who: str
    detail: str | None


class Particulars(NamedTuple):
    """What only ``show`` tells of a message.

    sender: of the envelope.  due_at: from when on it may be attempted, also if it is over.  by_account: its latest
    attempt failed by the account.  drained_seconds: how long drains have been at work since it was first attempted.
    run_id: the run that has it in hand.  caller: who enqueued it, None where that was not recorded.
    """

    sender: str
    due_at: int
    first_due_at: int
    expires_at: int | None = None
    by_account: bool = False
    drained_seconds: int = 0
    run_id: str | None = None
    idempotency_key: str | None = None
    caller: "Caller | None" = None


@dataclass(frozen=True)
class Row:
    """A message as ``list`` and ``show`` print it; the last four fields are for ``show`` alone.

    run_died: it is ``sending``, but its run is dead, and the next drain settles it.  repeated: it may have arrived
    twice, because another attempt that may have reached somebody followed an uncertain one.  pruned_at, anonymised_at:
    when its content and its names were dropped.  dismissed_at: when a person had seen that it was given up.
    """

    outbox_id: int
    account: str
    status: Status
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
    gave_up: Reason | None
    uncertain: bool
    error_code: str | None = None
    priority: Priority = Priority.NORMAL
    run_died: bool = False
    repeated: bool = False
    pruned_at: int | None = None
    anonymised_at: int | None = None
    dismissed_at: int | None = None
    recipients: list[Recipient] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    particulars: Particulars | None = None


class Fact(StrEnum):
    """What may be so of a message, and by which a filter leaves it out."""

    SENT = "sent"
    SENDING = "sending"
    HELD = "held"
    GAVE_UP = "gave_up"
    CANCELLED = "cancelled"
    DISMISSED = "dismissed"


@dataclass(frozen=True)
class Filter:
    """Which messages are meant; (), None and False do not restrict.

    due_at: due at that time.  recipient, sender, subject, error: patterns, see ``pattern.resembles``; sender: of the
    envelope.  failures: failed for one of these reasons.  since, until: stored in that time.  without: none of which
    one of these facts is so.  whole: look at every message, though that may take long; see ``is_bounded``.
    """

    statuses: tuple[Status, ...] = ()
    account: str | None = None
    due_at: int | None = None
    gave_up: bool = False
    held: bool = False
    uncertain: bool = False
    limit: int = 50
    repeated: bool = False
    recipient: str | None = None
    sender: str | None = None
    subject: str | None = None
    error: str | None = None
    failures: "tuple[Failure, ...]" = ()
    since: int | None = None
    until: int | None = None
    without: tuple[Fact, ...] = ()
    whole: bool = False

    @property
    def only_unsent(self) -> bool:
        """Whether no sent message can match: there are few others."""
        unsent = self.due_at is not None or self.gave_up or self.held or self.uncertain
        failed = bool(self.failures) or self.error is not None or Fact.SENT in self.without
        return unsent or failed or Status.SENT not in (self.statuses or Status)

    @property
    def searches(self) -> bool:
        """Whether messages must be read one by one to find those that match."""
        return any(one is not None for one in (self.recipient, self.sender, self.subject, self.since, self.until))

    @property
    def is_bounded(self) -> bool:
        """Whether only the MOST_SEARCHED messages stored last are looked at."""
        return self.searches and not (self.only_unsent or self.repeated or self.whole)


class Drop(StrEnum):
    """What ``prune`` takes from a message: its content; also all names in its record; or all of it."""

    CONTENT = "content"
    NAMES = "names"
    RECORD = "record"


class Pruning(NamedTuple):
    """Which messages ``prune`` takes something from: those that ended by *before*, in Unix seconds.

    sent_only: none that were given up.  settled_only: none that are uncertain or held.  to: only with this recipient.
    ids: only these.  wanted: only those that match; its ``limit`` and bounds do not count.
    """

    before: int
    now: int
    drop: Drop = Drop.CONTENT
    sent_only: bool = False
    to: str | None = None
    settled_only: bool = False
    ids: tuple[int, ...] = ()
    wanted: Filter = Filter(whole=True)

    @property
    def of_known(self) -> bool:
        """Tell whether known messages are deleted, too: where names are to go they hold the same ones.

        They are not where messages are chosen by what only a message of this outbox has.
        """
        of_account = Filter(account=self.wanted.account, whole=True)
        chosen = self.sent_only or self.ids or self.wanted != of_account
        return (self.drop is Drop.NAMES or self.to is not None) and not chosen


class Keeping(NamedTuple):
    """What is kept of messages that ended, at *now*: contents and records since these times; all of them if None."""

    now: int
    content_before: int | None
    records_before: int | None


class Pruned(NamedTuple):
    """How many messages ``prune`` took something from, and how many known messages it deleted."""

    messages: int
    known: int = 0


class Prunable(NamedTuple):
    """What ``prune`` would take: ids of messages, and the number of known ones.

    unfinished: ids of the messages to the same recipient that have not ended, which stay as they are.
    """

    ids: list[int]
    known: int
    unfinished: list[int]


class Verified(NamedTuple):
    """What ``outbox verify`` found: messages by status, how many contents and envelopes it compared, and faults.

    dropped: messages without content.
    """

    messages: dict[str, int]
    contents: int
    dropped: int
    envelopes: int
    faults: list[str]


class Copied(NamedTuple):
    """A file that was made of an outbox: how many messages are in it, and how many of them have not ended."""

    file: "Path"
    bytes: int
    messages: int
    unfinished: int


class Migrated(NamedTuple):
    """Tables that were brought up to date: from which version, 0 where there were none, to which."""

    before: int
    after: int


class Replaced(NamedTuple):
    """The outbox that was put in the place of another one.

    kept: where that is now, None if there was none.  guarded: nothing is sent until a person accepts the backup.
    only_in_kept: ids of messages that have not ended and are in no other outbox than the one that was kept.
    """

    messages: int
    unfinished: int
    kept: "Path | None"
    guarded: bool
    only_in_kept: list[int]


@dataclass(frozen=True)
class Stats:
    """The counts that ``stats`` prints, in the order of its JSON.

    pending to failed: messages by status, but for those that a person cancelled and those that expired unattempted.
    oldest_due_age_seconds: since the oldest undelivered message was due first, whenever it is tried again; None when no
    message waits that was ever due.  last_attempt_at: when the latest attempt ended, even if its record is deleted.
    accounts: the counts by status of each account.
    """

    pending: int
    sending: int
    sent: int
    failed: int
    cancelled: int
    expired: int
    total: int
    due: int
    oldest_due_age_seconds: int | None
    gave_up: int
    held: int
    uncertain: int
    last_attempt_at: int | None
    accounts: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Failure:
    """Unsent messages whose latest failure has the same words.

    by_account: it concerned the account, not the messages.  many: how many.  oldest_at: when the first of them was due
    first.  outbox_id: the latest of them.  uncertain: they may have been accepted, and are held until a person decides.
    """

    account: str
    by_account: bool
    error_code: str | None
    last_error: str | None
    gave_up: Reason | None
    many: int
    oldest_at: int
    outbox_id: int
    uncertain: bool = False


@dataclass(frozen=True)
class Figures:
    """What monitoring asks of one account's messages.

    waiting, scheduled: undelivered ones that drains are to deliver, and were due before or never yet.  held_uncertain:
    held ones that may have been accepted, which wait for a person.  oldest_age_seconds: since the oldest of those
    *waiting* was due first, None without one.  gave_up: by reason.  attempts: ended since the outbox was made, by
    outcome and ``lifecycle.code_class``.
    """

    waiting: int = 0
    scheduled: int = 0
    held: int = 0
    uncertain: int = 0
    held_uncertain: int = 0
    oldest_age_seconds: int | None = None
    gave_up: dict[Reason, int] = field(default_factory=dict)
    attempts: dict[tuple[Ending, int], int] = field(default_factory=dict)


class Usage(NamedTuple):
    """How much of a limit is taken; free_at: when there is room again, in Unix seconds; None while there is some."""

    limit: "Limit"
    taken: int
    free_at: int | None


def tally(counts: Iterable[tuple[str, str, int]]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Sum up *counts*, each of an account and of what its messages count as, by account and for all accounts."""
    accounts: dict[str, dict[str, int]] = {}
    totals = dict.fromkeys(("pending", "sending", "sent", "failed", "cancelled", "expired"), 0)
    for account, counted, count in counts:
        of_account = accounts.setdefault(account, dict.fromkeys(totals, 0))
        of_account[counted] += count
        totals[counted] += count
    return accounts, totals


@dataclass(frozen=True)
class Known:
    """A known message, its account and when it was imported; its text is "" in a list."""

    account: str
    learned_at: int
    message: "KnownMessage"


@dataclass(frozen=True)
class Health:
    """What ``doctor`` checks of an outbox.

    faults: what the database's own check found, empty when it is intact.  repair: what a person can do about such
    faults.  newest_at: the latest moment recorded, None in an empty outbox.  unsent_for_seconds: since the first time
    that the longest-waiting message was due, None when none waits.  waiting_for_a_person: uncertain messages that are
    held.
    """

    faults: list[str]
    repair: str
    schema_version: int
    newest_at: int | None
    unsent_for_seconds: int | None
    sending_runs: list[str]
    waiting_for_a_person: int
    gave_up: int
