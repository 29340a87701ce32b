"""A message of the outbox in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from prx_email_cli.errors import NotFound
from prx_email_cli.outbox import lifecycle, messages
from prx_email_cli.outbox.lifecycle import Ending, Reason, RecipientStatus, Status
from prx_email_cli.outbox.messages import Finished, NewMessage
from prx_email_cli.outbox.pattern import resembles
from prx_email_cli.outbox.views import Attempt, Fact, Failure, Figures, Filter, Particulars, Row

# What fits on one line is written on one:
# fmt: off


class MemoryWatch:
    """Nobody else has this outbox: a follower is told to look each time."""

    round_seconds = 10.0

    def fileno(self) -> None: ...
    def take(self) -> None: ...
    def changed(self) -> bool: return True
    def close(self) -> None: ...


@dataclass
class Message:
    """One message.  row: as it is shown, but for when it is due and the attempt under way.

    content: None once pruned.  finished: its attempts that may count for the limits.
    """

    new: NewMessage
    row: Row
    content: bytes | None
    due: int
    drained_from: int | None = None
    told: bool = False
    spread: bool = False  # since its last attempt
    under_way: Attempt | None = None
    finished: list[Finished] = field(default_factory=list)
    origin: str = ""  # the account to which its key belongs

    def __post_init__(self) -> None: self.origin = self.new.account

    def give_up(self, why: Reason) -> None: self.told, self.row = True, replace(self.row, gave_up=why)
    def idle(self) -> bool: return self.row.status in (Status.PENDING, Status.FAILED)
    def waits(self) -> bool: return self.idle() and not self.row.held and self.row.gave_up is None
    def expired(self, now: int) -> bool: return (at := self.new.schedule.expires_at) is not None and at <= now
    def undelivered(self) -> bool: return not (self.row.held or self.row.gave_up or self.row.status == Status.SENT)
    def is_over(self) -> bool: return lifecycle.is_over(self.row.status, self.row.gave_up)

    def shown(self, drained_seconds: int = 0) -> Row:
        row = replace(self.row, next_attempt_at=None if self.is_over() else self.due, repeated=self.repeated(),
                      particulars=self.particulars(drained_seconds))
        now = self.under_way
        return replace(row, message_id=now.message_id, attempts=[*row.attempts, now]) if now else row

    def particulars(self, drained_seconds: int) -> Particulars:
        new, now, drained = self.new, self.under_way, self.drained_from
        return Particulars(
            new.sender, self.due, new.schedule.due_at, new.schedule.expires_at,
            self.by_account, 0 if drained is None else drained_seconds - drained, now.run_id if now else None,
            new.idempotency_key, new.caller)

    def message_ids(self, domain: str) -> set[str]:
        row = self.shown()
        following = self.new.own_message_id or lifecycle.message_id_for_attempt(
            row.outbox_id, row.retries, domain, row.message_id, row.uncertain)
        return {following, *(one.message_id for one in row.attempts)}

    @property
    def by_account(self) -> bool:
        last = self.finished[-1:] if not self.spread else []
        return any(one.outcome.scope is lifecycle.Scope.ACCOUNT for one in last)

    def account_works(self) -> None:
        if self.waits() and self.by_account:
            self.due = min(self.due, self.new.schedule.due_at)

    def end(self, status: Status, **values: Any) -> None:
        self.under_way, self.row = None, replace(self.row, status=status, run_died=False, **values)

    def matches(self, wanted: Filter) -> bool:
        row, new = self.row, self.new
        texts = ((wanted.sender, [new.sender]), (wanted.subject, [row.subject]), (wanted.error, [row.last_error]),
                 (wanted.recipient, [one.address for one in row.recipients]))
        return ((not wanted.statuses or lifecycle.counted_as(row.status, row.gave_up) in wanted.statuses)
                and (wanted.due_at is None or (self.waits() and self.due <= wanted.due_at))
                and (wanted.since or 0) <= row.created_at <= (row.created_at if wanted.until is None else wanted.until)
                and (not wanted.failures or self.reason() in [(*it[:5], it[8]) for it in map(astuple, wanted.failures)])
                and all(pattern is None or any(resembles(pattern, text) for text in those) for pattern, those in texts)
                and not {*wanted.without} & self.facts()
                and all(getattr(self.shown(), flag) for flag in ("gave_up", "held", "uncertain", "repeated")
                        if getattr(wanted, flag)))

    def facts(self) -> set[Fact]:
        given_up = [Fact.GAVE_UP] * (self.row.gave_up is not None)
        given_up += [Fact.CANCELLED] * (self.row.gave_up == Reason.CANCELLED)
        status = [Fact(self.row.status)] if self.row.status in (Status.SENT, Status.SENDING) else []
        given_up += [Fact.DISMISSED] * (self.row.dismissed_at is not None)
        return {*given_up, *status, *[Fact.HELD] * self.row.held}

    def reason(self) -> tuple[str, bool, str | None, str | None, Reason | None, bool] | None:
        """Why it failed, in the words of ``failures``; None where it did not."""
        row = self.row
        failed = row.status == Status.FAILED or (row.gave_up is not None and row.status != Status.SENT)
        words = (row.account, self.by_account, row.error_code, row.last_error, row.gave_up, row.uncertain and row.held)
        return words if failed and row.gave_up != Reason.CANCELLED and row.dismissed_at is None else None

    def exported(self, domain: str) -> messages.Exported:
        row = self.shown()
        if self.content is None:
            raise NotFound(f"the content of outbox message {row.outbox_id} was pruned")
        message_id = row.message_id if row.status in (Status.SENDING, Status.SENT) else None
        message_id = message_id or self.new.own_message_id or lifecycle.message_id_for_attempt(
            row.outbox_id, row.retries, domain, row.message_id, row.uncertain)
        return messages.Exported(row.outbox_id, message_id, self.new.sender, row.created_at, [self.content],
            bool(self.new.own_message_id))

    def repeated(self) -> bool:
        counting = [(one.claimed.message_id, one.outcome.uncertain) for one in self.finished if one.outcome.counts]
        return any(uncertain and message_id in dict(counting[at:])
                   for at, (message_id, uncertain) in enumerate(counting, 1))

    def change(self, **values: Any) -> int:
        self.row = replace(self.row, **values)
        return self.row.outbox_id

    def addressed(self, *, by_hand: bool = False) -> tuple[list[messages.Target], list[messages.Target]]:
        everyone = [messages.Target(number, one.address, one.status, one.uncertain,
                                    one.response if one.status == RecipientStatus.REFUSED else None)
                    for number, one in enumerate(self.row.recipients)]
        return messages.addressed(everyone, by_hand=by_hand)


def figures(messages: Iterable[Message], attempted: Counter[tuple[str, Ending, int]], now: int) -> dict[str, Figures]:
    of: dict[str, list[Message]] = {account: [] for account, *_ in attempted}
    for one in messages:
        of.setdefault(one.row.account, []).append(one)
    return {account: _figures(of[account], attempted, account, now) for account in sorted(of)}


def _figures(ours: list[Message], attempted: Counter[tuple[str, Ending, int]], account: str, now: int) -> Figures:
    ages, rows = [now - one.new.schedule.due_at for one in ours if one.undelivered()], [one.row for one in ours]
    return Figures(
        sum(age >= 0 for age in ages), sum(age < 0 for age in ages), sum(row.held for row in rows),
        sum(row.uncertain for row in rows), sum(row.uncertain and row.held for row in rows),
        max((age for age in ages if age >= 0), default=None),
        dict(Counter(row.gave_up for row in rows if row.gave_up and row.dismissed_at is None)),
        {(outcome, first): many for (whose, outcome, first), many in attempted.items() if whose == account})


def failures(messages: list[Message]) -> list[Failure]:
    groups: dict[tuple[str, bool, str | None, str | None, Reason | None, bool], list[Message]] = {}
    for one in messages:
        if (key := one.reason()) is not None:
            groups.setdefault(key, []).append(one)
    found = []
    for words, ours in groups.items():
        oldest_at, latest = min(one.new.schedule.due_at for one in ours), max(one.row.outbox_id for one in ours)
        found.append(Failure(*words[:5], len(ours), oldest_at, latest, words[5]))
    return sorted(found, key=lambda one: one.outbox_id)
