"""A second outbox, plain and in memory: what ``outbox/store.py`` promises, in as few words as possible.

It shows that the interface hides its database, and spares tests a file.  One lock guards what a run changes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from prx_email_cli import errors
from prx_email_cli.mail.received import KnownMessage
from prx_email_cli.outbox import lifecycle, messages
from prx_email_cli.outbox.digest import envelope_digest
from prx_email_cli.outbox.lifecycle import Ending, Reason, RecipientKind, RecipientStatus, Status
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, NewMessage, Submitted
from prx_email_cli.outbox.views import Attempt, Filter, Health, Known, Recipient, Row, Stats

ACCEPTED, PENDING, REFUSED = RecipientStatus.ACCEPTED, RecipientStatus.PENDING, RecipientStatus.REFUSED
COUNTED_AS = ("pending", "sending", "sent", "failed", "cancelled", "expired")
# What fits on one line is written on one:
# fmt: off


@dataclass
class _Message:
    """One message.  row: as it is shown, but for when it is due.  content: None once pruned.

    claimed: the claim that has it.  before: what giving that back restores.  counted: start and recipients of attempts.
    """

    new: NewMessage
    row: Row
    content: bytes | None
    due: int
    run_id: str | None = None
    claimed: Claimed | None = None
    before: _Message | None = None
    drained_from: int | None = None
    told: bool = False
    counted: list[tuple[int, int]] = field(default_factory=list)

    def change(self, **values: Any) -> None: self.row = replace(self.row, **values)
    def give_up(self, why: Reason) -> None: self.told, self.row = True, replace(self.row, gave_up=why)
    def idle(self) -> bool: return self.row.status in (Status.PENDING, Status.FAILED)
    def waits(self) -> bool: return self.idle() and not self.row.held and self.row.gave_up is None
    def expired(self, now: int) -> bool: return (at := self.new.schedule.expires_at) is not None and at <= now
    def shown(self) -> Row: return replace(self.row, next_attempt_at=self.due if self.over_since() is None else None)

    def over_since(self) -> int | None:
        given_up = self.row.gave_up is not None and self.row.status != Status.SENDING
        return max(self.row.created_at, self.due) if given_up else self.row.sent_at

    def counted_as(self) -> str:
        unsent = self.row.status == Status.PENDING or (self.idle() and self.row.gave_up == Reason.CANCELLED)
        return (unsent and self.row.gave_up) or self.row.status

    def addressed(self, *, by_hand: bool) -> list[int]:
        wanted = (PENDING, REFUSED) if by_hand else (PENDING,)
        return [number for number, one in enumerate(self.row.recipients) if one.status in wanted]

    def record(self, finished: Finished, word: Ending) -> None:
        """Record the attempt under way, whose end is called *word*."""
        (claimed, outcome, settled, now, *_), row, everyone = finished, self.row, list(self.row.recipients)
        for number, (status, code, response, uncertain) in outcome.recipients.items():
            if (was := everyone[number]).status != ACCEPTED:
                uncertain = status is not ACCEPTED and (uncertain or was.uncertain)
                everyone[number] = Recipient(was.address, was.kind, status, code, response, uncertain)
        if outcome.counts:
            self.counted.append((claimed.started_at, outcome.reached))
        attempt = replace(
            row.attempts[-1], finished_at=now, outcome=word, code=outcome.code, enhanced=outcome.enhanced,
            response=outcome.response, uncertain=outcome.uncertain, dialogue=outcome.dialogue)
        self.due, self.run_id, self.claimed = settled.next_attempt_at, None, None
        sent = settled.status is Status.SENT
        self.change(
            status=settled.status, retries=settled.retries, gave_up=settled.gave_up, uncertain=settled.uncertain,
            held=not sent and (row.held or settled.held), sent_at=now if sent else None, last_error=finished.detail,
            provider_message_id=outcome.acceptance or row.provider_message_id, error_code=finished.error,
            recipients=everyone, attempts=[*row.attempts[:-1], attempt])


class MemoryRun:
    """See ``Run`` for what each method promises."""

    def __init__(self, store: MemoryStore, run_id: str) -> None:
        self.run_id, self.store = run_id, store
        self.unreadable: list[errors.LockUnreadable] = []
        store.living.add(run_id)

    def __enter__(self) -> MemoryRun: return self
    def __exit__(self, *_: object) -> None: self.die()
    def die(self) -> None: self.store.living.discard(self.run_id)  # what it has in hand stays ``sending``
    def content(self, claimed: Claimed) -> Iterator[bytes]: return iter(())  # the head is all of it

    def recover(self, policy: lifecycle.RetryPolicy, now: int) -> list[int]:
        dead = [(it, it.claimed) for it in self.store.of() if it.claimed and it.run_id not in self.store.living]
        for it, claimed in dead:
            settled = lifecycle.after_crash(lifecycle.Standing(claimed.retries, it.due, None, True, ()), policy, now)
            doubt = {one.number: lifecycle.RecipientResult(one.status, None, one.response, True)
                     for one in claimed.targets}
            outcome = lifecycle.Outcome(doubt, "network", "its run died; the provider may have accepted it")
            it.record(Finished(claimed, outcome, settled._replace(gave_up=it.row.gave_up), now), Ending.DIED)
        return [it.row.outbox_id for it, _ in dead]

    def begin_drain(self, now: int) -> messages.Moment:
        store, seen_at = self.store, self.store.recorded_at
        if not any(it.waits() for it in store.of()):
            return messages.Moment(now)
        store.drained_seconds, store.recorded_at = store.drained_seconds + lifecycle.drained_since(seen_at, now), now
        return messages.Moment(now, lifecycle.clock_in_doubt(seen_at or store.of()[0].row.created_at, now))

    def expire(self, now: int) -> list[int]:
        expired = [it for it in self.store.of() if it.waits() and it.expired(now)]
        self.store.change([it for it in expired if not it.row.last_error], last_error="expired before it was attempted")
        return self.store.change(expired, gave_up=Reason.EXPIRED)

    def advance(self, finished: Sequence[Finished], wishes: Sequence[ClaimNext]) -> Advanced:
        with self.store.lock:
            lost = [self._record(one) for one in finished]
            return Advanced(lost, [self._claim(it, wish.now) if (it := self.store.next_for(wish)) else None
                                   for wish in wishes])

    def claim_by_id(self, wish: ClaimOne) -> Claimed:
        with self.store.lock:
            self.store.check_claim(wish)
            return self._claim(self.store.messages[wish.outbox_id], wish.now, by_hand=True)

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        for one in claimed:
            if (it := self._mine(one)) is not None and it.before is not None:
                it.before.change(held=it.row.held)
                self.store.messages[one.outbox_id] = it.before

    def _mine(self, claimed: Claimed) -> _Message | None:
        it = self.store.messages.get(claimed.outbox_id)
        return it if it and (it.run_id, it.row.retries) == (self.run_id, claimed.retries) else None

    def _record(self, one: Finished) -> errors.ClaimLost | None:
        if (it := self._mine(one.claimed)) is None:
            return errors.ClaimLost(f"outbox message {one.claimed.outbox_id} is no longer this run's")
        it.told = it.told and one.settled.gave_up == it.row.gave_up
        it.record(one, Ending(one.verdict))
        return None

    def _claim(self, it: _Message, now: int, *, by_hand: bool = False) -> Claimed:
        row, new, drained, digest = it.row, it.new, self.store.drained_seconds, it.new.content.digest
        it.before, it.run_id, wanted = replace(it, before=None), self.run_id, it.addressed(by_hand=by_hand)
        it.drained_from = drained if it.drained_from is None and new.schedule.due_at <= now else it.drained_from
        message_id = lifecycle.message_id_for_attempt(
            row.outbox_id, row.retries, self.store.domain, row.message_id, row.uncertain)
        everyone = [messages.Target(number, one.address, RecipientStatus(one.status), one.uncertain,
                                    one.response if one.status == REFUSED else None)
                    for number, one in enumerate(row.recipients)]
        it.claimed = Claimed(
            row.outbox_id, row.account, row.retries, it.due, new.schedule.due_at, new.schedule.expires_at,
            row.uncertain, message_id, new.sender, new.subject, new.needs_smtputf8, row.size_bytes, started_at=now,
            targets=[one for one in everyone if one.number in wanted], head=it.content,
            others=[one for one in everyone if one.number not in wanted], content_digest=digest,
            drained_seconds=0 if it.drained_from is None else drained - it.drained_from,
            envelope_digest=envelope_digest(row.outbox_id, new.sender, [one[:2] for one in everyone], digest))
        attempt = Attempt(now, None, self.run_id, message_id, None, None, None, None, False, None)
        it.change(status=Status.SENDING, message_id=message_id, attempts=[*row.attempts, attempt])
        return it.claimed


class MemoryStore:
    """See ``Store`` for what each method promises.  domain: of the Message-IDs."""

    def __init__(self, domain: str = "prx-email.local") -> None:
        self.domain, self.lock, self._ids, self._runs = domain, threading.RLock(), count(1), count(1)
        self.messages: dict[int, _Message] = {}
        self.living = set[str]()
        self.drained_seconds = 0
        self.recorded_at: int | None = None
        self._last_drain_at: int | None = None
        self._known: dict[tuple[str, str], Known] = {}

    def close(self) -> None: ...
    def replaced(self) -> bool: return False
    def check_usable(self) -> None: ...
    def refuse_restored(self) -> None: ...
    def accept_restored(self) -> bool: return False
    def unreadable_messages(self) -> list[errors.MessageUnreadable]: return []
    def note_drain(self, now: float) -> None: self._last_drain_at = int(now)
    def last_drain_at(self) -> int | None: return self._last_drain_at
    def start_run(self, now: int) -> MemoryRun: return MemoryRun(self, f"{now}-{next(self._runs)}")
    def row(self, outbox_id: int) -> Row: return self._get(outbox_id).shown()
    def known(self, account: str, message_id: str) -> Known | None: return self._known.get((account, message_id))

    def submit(self, messages: Sequence[NewMessage]) -> list[Submitted]:
        contents = [b"".join(new.content.pieces) for new in messages]
        return [self._submit(new, content) for new, content in zip(messages, contents, strict=True)]

    def _submit(self, new: NewMessage, content: bytes) -> Submitted:
        key, to = new.idempotency_key, [one.address for one in new.recipients if one.kind is RecipientKind.TO]
        for it in self.of(new.account) if key is not None else []:
            if it.new.idempotency_key == key and it.new.fingerprint == new.fingerprint:
                return Submitted(it.row.outbox_id, duplicate=True)
            if it.new.idempotency_key == key:
                return Submitted(0, error=errors.ValidationError(f"used for other content: {it.row.outbox_id}"))
        outbox_id = next(self._ids)
        row = Row(outbox_id, new.account, Status.PENDING, 0, None, None, None, None, new.subject, to,
                  new.content.size_bytes, new.schedule.created_at, None, held=False, gave_up=None, uncertain=False,
                  recipients=[Recipient(*one, PENDING, None, None, False) for one in new.recipients])
        self.messages[outbox_id] = _Message(new, row, content, new.schedule.due_at)
        return Submitted(outbox_id)

    def of(self, account: str | None = None) -> list[_Message]:
        return [it for it in self.messages.values() if account in (None, it.row.account)]

    def due(self, account: str | None, due_before: int, now: int) -> list[_Message]:
        return [it for it in self.of(account) if it.waits() and it.due <= due_before and not it.expired(now)]

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        return len(self.due(account, now, now)[:limit])

    def accounts_due(self, now: int) -> list[str]: return sorted({it.row.account for it in self.due(None, now, now)})
    def next_due_at(self) -> int | None: return min((it.due for it in self.of() if it.waits()), default=None)
    def claimable(self, wish: ClaimNext) -> bool: return self.next_for(wish) is not None

    def next_for(self, wish: ClaimNext) -> _Message | None:
        due = self.due(wish.account, wish.due_before, wish.now)
        it = min(due, key=lambda it: (it.due, it.row.outbox_id), default=None)
        return it if it and self._has_room(it, wish, len(it.addressed(by_hand=False))) else None

    def _has_room(self, it: _Message, wish: messages.Wish, recipients: int) -> bool:
        same = self.of(it.row.account)
        taken = [one for other in same for one in other.counted]
        taken += [(other.claimed.started_at, len(other.claimed.targets)) for other in same if other.claimed]
        return all(limit.admits(sum(max(1, reached) if limit.of_recipients else 1 for at, reached in taken
                                    if at > wish.now - limit.seconds), recipients) for limit in wish.limits)

    def check_claim(self, wish: ClaimOne) -> str:
        it = self._get(wish.outbox_id, lambda it: it.idle() and it.content is not None)
        self._get(wish.outbox_id, lambda it: wish.force or not it.row.held)
        if it.due > wish.now and not wish.force:
            raise errors.RetryNotDue("retry_not_due")
        if not self._has_room(it, wish, len(it.addressed(by_hand=True))):
            raise errors.LimitUsedUp("its account has sent what it may")
        return it.row.account

    def _get(self, outbox_id: int, allows: Callable[[_Message], bool] = lambda it: True) -> _Message:
        if (it := self.messages.get(outbox_id)) is None:
            raise errors.NotFound("outbox record not found")
        if not allows(it):
            raise errors.NotAllowedForStatus(f"outbox message {outbox_id} is {it.row.status}, held: {it.row.held}")
        return it

    def change(self, those: list[_Message], **values: Any) -> list[int]:
        for it in those:
            it.change(**values)
        return [it.row.outbox_id for it in those]

    def take_unreported(self, now: int, only: int | None = None) -> list[int]:
        untold = [it for it in self.of() if it.row.gave_up and not it.told and only in (None, it.row.outbox_id)]
        for it in untold:
            it.told = True
        return [it.row.outbox_id for it in untold]

    def hold(self, outbox_id: int, now: int) -> None: self._get(outbox_id, _Message.idle).change(held=True)
    def cancel(self, outbox_id: int, now: int) -> None: self._get(outbox_id, _Message.idle).give_up(Reason.CANCELLED)
    def release(self, outbox_id: int) -> None: self._get(outbox_id, lambda it: it.row.held).change(held=False)

    def hold_all(self, account: str | None, now: int) -> list[int]:
        return self.change([it for it in self.of(account) if it.waits()], held=True)

    def release_all(self, account: str | None) -> list[int]:
        return self.change([it for it in self.of(account) if it.row.held], held=False)

    def resolve(self, outbox_id: int, now: int, *, sent: bool) -> None:
        it = self._get(outbox_id, lambda it: it.row.status == Status.FAILED and it.row.uncertain)
        everyone = [replace(one, status=ACCEPTED if sent and one.uncertain else one.status, uncertain=False)
                    for one in it.row.recipients]
        it.change(held=False, uncertain=False, recipients=everyone)
        left = [one for one in everyone if one.status != ACCEPTED]
        reasons = [f"{one.address}: {one.response}" for one in left if one.response is not None]
        if not left:
            it.change(status=Status.SENT, sent_at=now, gave_up=None, last_error=None, error_code=None,
                      provider_message_id=it.row.provider_message_id or "resolved as sent by hand")
        elif sent:
            it.change(last_error=[*reasons, it.row.last_error][0])
            if not it.addressed(by_hand=False):
                it.give_up(Reason.REFUSED)

    def prune(self, before: int, now: int, *, records: bool = False) -> int:
        over = [it for it in self.of() if (since := it.over_since()) is not None and since <= before
                and (records or it.content is not None)]
        for it in over:
            it.content = None
            if records:
                del self.messages[it.row.outbox_id]
        return len(over)

    def rows(self, wanted: Filter) -> list[Row]:
        return [
            replace(it.shown(), recipients=[], attempts=[]) for it in reversed(self.of(wanted.account))
            if (not wanted.statuses or it.counted_as() in wanted.statuses)
            and (wanted.due_at is None or (it.waits() and it.due <= wanted.due_at))
            and (not wanted.gave_up or it.row.gave_up) and (not wanted.held or it.row.held)
            and (not wanted.uncertain or it.row.uncertain)
        ][: wanted.limit]

    def stats(self, now: int) -> Stats:
        rows, dues = [it.row for it in self.of()], [it.due for it in self.of() if it.waits() and it.due <= now]
        counted = Counter((it.row.account, it.counted_as()) for it in self.of())
        accounts = {name: {status: counted[name, status] for status in COUNTED_AS}
                    for name in sorted({row.account for row in rows})}
        finished = [attempt.finished_at for row in rows for attempt in row.attempts if attempt.finished_at is not None]
        return Stats(
            **{status: sum(counts[status] for counts in accounts.values()) for status in COUNTED_AS}, total=len(rows),
            due=len(dues), oldest_due_age_seconds=now - min(dues) if dues else None, accounts=accounts,
            gave_up=sum(row.gave_up is not None for row in rows), held=sum(row.held for row in rows),
            uncertain=sum(row.uncertain for row in rows), last_attempt_at=max(finished, default=None))

    def health(self, now: int) -> Health:
        stats, rows = self.stats(now), [it.row for it in self.of()]
        moments = [*(row.created_at for row in rows), stats.last_attempt_at or 0]
        waiting = [now - it.new.schedule.due_at for it in self.of() if it.waits() and it.new.schedule.due_at <= now]
        return Health(
            [], "", 0, max(moments) or None, max(waiting, default=None), gave_up=stats.gave_up,
            waiting_for_a_person=sum(row.held and row.uncertain for row in rows),
            sending_runs=sorted({it.run_id for it in self.of() if it.run_id}))

    def learn(self, account: str, messages: Sequence[KnownMessage], now: int) -> int:
        before = len(self._known)
        for message in messages:
            self._known.setdefault((account, message.message_id), Known(account, now, message))
        return len(self._known) - before

    def known_messages(self, account: str | None, limit: int) -> list[Known]:
        newest = [one for one in reversed(self._known.values()) if account in (None, one.account)][:limit]
        return [replace(one, message=one.message._replace(text="")) for one in newest]

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        sent_as = [it for it in self.of(account) if message_id in [one.message_id for one in it.row.attempts]]
        return next((it.content for it in sent_as if it.content is not None), None)
