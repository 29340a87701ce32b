"""A second outbox, plain and in memory: it shows that ``outbox/store.py`` hides a database, and spares tests a file."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count

from prx_email_cli import errors
from prx_email_cli.outbox import lifecycle, messages, telling
from prx_email_cli.outbox.accounts import left_alone, waits_undrained
from prx_email_cli.outbox.digest import envelope_as_submitted
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Ending, Outcome, Priority, Reason, RecipientResult, RecipientStatus, Status
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, Limit, NewMessage, Submitted
from prx_email_cli.outbox.views import Attempt, Recipient, Row

from .memory_accounts import MemoryAccounts
from .memory_finding import MemoryFinding
from .memory_message import MemoryWatch, Message
from .memory_operator import MemoryOperator
from .memory_received import MemoryReceived
from .memory_reports import MemoryReports

ACCEPTED = RecipientStatus.ACCEPTED
# What fits on one line is written on one:
# fmt: off


class MemoryRun:
    """See ``Run`` for what each method promises.  hands: claims by id and number; record: notes by number."""

    def __init__(self, store: MemoryStore, run_id: str) -> None:
        self.run_id, self.store, self.alive = run_id, store, True
        self.unreadable: list[errors.LockUnreadable] = []
        self.hands: dict[tuple[int, int], Claimed] = {}
        self.record: dict[int, tuple[Outcome, int | None]] = {}
        store.runs.append(self)

    def __enter__(self) -> MemoryRun: return self
    def __exit__(self, *_: object) -> None: self.die()
    def die(self) -> None:  # what it has in hand stays ``sending``
        self.alive = any(self.store.messages[number].change(run_died=True) < 0 for number, _ in self.hands)
    def content(self, claimed: Claimed) -> Iterator[bytes]: return iter(())  # the head is all of it

    def answered(self, claimed: Claimed, outcome: Outcome, at: int) -> None: self.record[claimed.claim] = outcome, at

    def wanted_back(self, now: int) -> list[int]: return []
    def about_to_end(self, claimed: Claimed, results: Mapping[int, RecipientResult]) -> None:
        if (claimed.outbox_id, claimed.claim) not in self.hands:
            raise errors.StorageError("the claim is no longer this run's")
        was = {one.number: RecipientResult(one.status, None, one.response, True) for one in claimed.targets}
        stands = Outcome({number: was[number] if one.uncertain else one for number, one in results.items()}, "network")
        self.record[claimed.claim] = stands._replace(detail="its run died; the provider may have accepted it"), None

    def recover(self, policy: lifecycle.RetryPolicy, now: int) -> messages.Recovered:
        recovered = messages.Recovered([], [], [])
        dead = [(run, one) for run in self.store.runs if not run.alive for one in run.hands.values()]
        for run, claimed in dead:
            it, (outcome, at) = self.store.messages[claimed.outbox_id], run.record.get(claimed.claim, (None, None))
            if outcome is None:
                run.give_back(claimed)
                recovered.given_back.append(claimed.outbox_id)
            elif at is not None:
                recovered.finished.append(finish(claimed, outcome, policy, messages.Moment(at)))
                run.finalize(recovered.finished[-1])
            else:
                settled = lifecycle.after_crash(claimed.retries, policy, now)._replace(gave_up=it.row.gave_up)
                run.finalize(Finished(claimed, outcome, settled, now), Ending.DIED)
                recovered.uncertain.append(claimed.outbox_id)
        return recovered

    def begin_drain(self, now: int) -> messages.Moment:
        store, seen_at = self.store, self.store.recorded_at
        if not any(it.waits() for it in store.of()):
            return messages.Moment(now)
        store.drained_seconds, store.recorded_at = store.drained_seconds + lifecycle.drained_since(seen_at, now), now
        return messages.Moment(now, lifecycle.clock_in_doubt(seen_at or store.of()[0].row.created_at, now))

    def expire(self, now: int) -> list[int]:
        return [it.change(gave_up=Reason.EXPIRED, last_error=it.row.last_error or "expired before it was attempted")
                for it in self.store.of() if it.waits() and it.expired(now)]

    def advance(self, finished: Sequence[Finished], wishes: Sequence[ClaimNext], returned: Sequence[Claimed] = ()
                ) -> Advanced:
        with self.store.lock:
            lost = [self.finalize(one) for one in finished]
            for one in returned:
                self.give_back(one)
            return Advanced(lost, [[self._claim(it, wish.now) for _ in range(wish.most)
                                    if (it := self.store.next_for(wish))] for wish in wishes])

    def claim_by_id(self, wish: ClaimOne) -> Claimed:
        with self.store.lock:
            self.store.check_claim(wish)
            if self.store.acting:
                self.store.note_retry(wish)
            return self._claim(self.store.messages[wish.outbox_id], wish.now, by_hand=True)

    def give_back(self, claimed: Claimed) -> None:
        if self.hands.pop((claimed.outbox_id, claimed.claim), None):
            self.store.messages[claimed.outbox_id].end(Status.FAILED if claimed.retries else Status.PENDING)

    def finalize(self, finished: Finished, word: Ending | None = None) -> errors.ClaimLost | None:
        """Record the attempt under way, whose end is called *word* or as its verdict."""
        (claimed, outcome, settled, now), ending = finished[:4], word or Ending(finished.verdict)
        if self.hands.pop((claimed.outbox_id, claimed.claim), None) is None:
            return errors.ClaimLost(f"outbox message {claimed.outbox_id} is no longer this run's")
        it = self.store.messages[claimed.outbox_id]
        row, everyone, sent = it.row, list(it.row.recipients), settled.status is Status.SENT
        for number, result in outcome.recipients.items():
            if (was := everyone[number]).status != ACCEPTED:
                everyone[number] = Recipient(was.address, was.kind, *result[:3], result.leaves_uncertain(was.uncertain))
        attempt = Attempt(claimed.started_at, now, self.run_id, claimed.message_id, ending,
                          outcome.code, outcome.enhanced, outcome.response, outcome.uncertain, outcome.dialogue)
        it.due, it.told = settled.next_attempt_at, it.told and settled.gave_up == row.gave_up
        it.finished, it.spread = [*it.finished, finished], False
        self.store.last_attempt_at = max(now, self.store.last_attempt_at or now)
        self.store.attempted[row.account, ending, lifecycle.code_class(ending, outcome.code)] += 1
        it.drained_from = claimed.drained_from if it.drained_from is None else it.drained_from
        it.end(
            settled.status, retries=settled.retries, gave_up=settled.gave_up, uncertain=settled.uncertain,
            held=not sent and (row.held or settled.held), sent_at=now if sent else None, last_error=finished.detail,
            provider_message_id=outcome.acceptance or row.provider_message_id, error_code=finished.error,
            message_id=claimed.message_id, recipients=everyone, dismissed_at=None, attempts=[*row.attempts, attempt])
        for other in self.store.of(row.account) if self.store.note(finished) else []:
            other.account_works()
        return None

    def _claim(self, it: Message, now: int, *, by_hand: bool = False) -> Claimed:
        row, new, drained = it.row, it.new, self.store.drained_seconds
        since = drained if it.drained_from is None and new.schedule.due_at <= now else it.drained_from
        message_id = new.own_message_id or lifecycle.message_id_for_attempt(
            row.outbox_id, row.retries, self.store.domain, row.message_id, row.uncertain)
        claimed = Claimed(
            row.outbox_id, row.account, row.retries, it.due, new.schedule.due_at, new.schedule.expires_at,
            row.uncertain, message_id, new.sender, new.subject, new.needs_smtputf8, row.size_bytes, now,
            *it.addressed(by_hand=by_hand), it.content, 0 if since is None else drained - since, since,
            envelope_as_submitted(row.outbox_id, new), new.content.digest, next(self.store.numbers),
            bool(new.own_message_id), new.esmtp)
        it.under_way = Attempt(now, None, self.run_id, message_id, None, None, None, None, False, None)
        it.change(status=Status.SENDING)
        self.hands[row.outbox_id, claimed.claim] = claimed
        return claimed


class MemoryStore(MemoryAccounts, MemoryFinding, MemoryOperator, MemoryReceived, MemoryReports):
    """See ``Store`` for what each method promises.  domain: of the Message-IDs."""

    def __init__(self, domain: str = "prx-email.local") -> None:
        super().__init__()
        self.domain, self.lock, self.drained_seconds = domain, threading.RLock(), 0
        self.fresh, self.numbers = count(1), count(1)  # of messages, and of claims
        self.messages: dict[int, Message] = {}
        self.runs: list[MemoryRun] = []
        self.recorded_at: int | None = None
        self.last_attempt_at: int | None = None
        self.attempted: Counter[tuple[str, Ending, int]] = Counter()
        self._last_drain: tuple[int | None, str] = None, ""
        self._told_at: int | None = None
        self._told: telling.Told = {}

    slots = shelf = skew = None
    def clock(self) -> float: return time.time()
    def close(self) -> None: ...
    def replaced(self) -> bool: return False
    def cut_off(self) -> bool: return False
    def check_usable(self) -> None: ...
    def refuse_restored(self) -> None: ...
    def accept_restored(self) -> bool: return False
    def unreadable_messages(self) -> list[errors.MessageUnreadable]: return []
    def note_drain(self, now: float, starter: str = "") -> None: self._last_drain = int(now), starter
    def last_drain_at(self) -> int | None: return self._last_drain[0]
    def last_drain_by(self) -> str: return self._last_drain[1]

    def take_undrained(self, now: int) -> int | None:
        alone, told = left_alone(self.account_states(), now), self._told_at
        waiting = [it for it in self.of() if it.waits() and alone.isdisjoint(["", it.row.account])]
        due_at = min((it.due for it in waiting), default=None)
        if (not waits_undrained(due_at, self.last_drain_at(), now) or any(run.alive for run in self.runs)
                or (told is not None and 0 <= now - told < 86_400)):
            return None
        self._told_at = now
        return due_at

    def may_tell(self, cause: str, now: int, most: int = 1) -> bool:
        told = telling.told_again(self._told, cause, now, most)
        self._told = self._told if told is None else told
        return told is not None

    def start_run(self, now: int) -> MemoryRun: return MemoryRun(self, f"{now}-{len(self.runs)}")
    def exported(self, outbox_id: int) -> messages.Exported: return self.get(outbox_id).exported(self.domain)
    def row(self, outbox_id: int) -> Row: return self.get(outbox_id).shown(self.drained_seconds)

    def submit(self, messages: Sequence[NewMessage]) -> list[Submitted]:
        whole = [(new, b"".join(new.content.pieces)) for new in messages]
        return [self._submit(new, content) for new, content in whole]

    def submit_together(self, messages: Sequence[NewMessage], *, rehearsal: bool = False) -> list[Submitted]:
        before, answers = dict(self.messages), self.submit(messages)
        self.messages = before if rehearsal or any(one.error for one in answers) else self.messages
        return answers

    def _submit(self, new: NewMessage, content: bytes) -> Submitted:
        for it in self.of() if new.idempotency_key is not None else []:
            if (it.origin, it.new.idempotency_key) == (new.account, new.idempotency_key):
                return Submitted.again(new, it.row.outbox_id, it.new.fingerprint)
        outbox_id, to = next(self.fresh), [one.address for one in new.recipients if one.kind == "to"]
        row = Row(outbox_id, new.account, Status.PENDING, 0, None, None, None, None, new.subject, to,
                  new.content.size_bytes, new.schedule.created_at, None, held=False, gave_up=None, uncertain=False,
                  priority=new.priority, recipients=[
                      Recipient(*one, RecipientStatus.PENDING, None, None, False) for one in new.recipients])
        self.messages[outbox_id] = Message(new, row, content, new.schedule.due_at)
        return Submitted(outbox_id)

    def of(self, account: str | None = None) -> list[Message]:
        return [it for it in self.messages.values() if account in (None, it.row.account)]

    def due(self, account: str | None, due_before: int, now: int) -> list[Message]:
        due = [it for it in self.of(account) if it.waits() and it.due <= due_before and not it.expired(now)]
        return sorted(due, key=lambda it: (list(Priority).index(it.new.priority), it.due))

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        return len(self.due(account, now, now)[:limit])

    def accounts_due(self, now: int) -> list[str]: return sorted({it.row.account for it in self.due(None, now, now)})
    def next_due_at(self, without: Collection[str] = ()) -> int | None:
        return min((it.due for it in self.of() if it.waits() and it.row.account not in without), default=None)

    def watch(self, *, whole: bool = False) -> MemoryWatch: return MemoryWatch()

    def next_for(self, wish: ClaimNext) -> Message | None:
        due = self.due(wish.account, wish.due_before, wish.now)
        takes = due and not self.is_paused(wish.account, wish.now) and self._has_room(due[0], wish)
        return due[0] if takes else None

    def taken(self, account: str, limit: Limit, now: int) -> list[tuple[int, int]]:
        """What *limit* counts, each with its time and size, the oldest first."""
        ended = [one for other in self.of(account) for one in other.finished if one.outcome.counts]
        taken = [(one.claimed.started_at, max(1, one.outcome.reached)) for one in ended]
        taken += [(now, len(one.targets)) for run in self.runs for one in run.hands.values() if one.account == account]
        return sorted((at, many if limit.of_recipients else 1) for at, many in taken if at > now - limit.seconds)

    def _has_room(self, it: Message, wish: messages.Wish) -> bool:
        targets, _ = it.addressed(by_hand=isinstance(wish, ClaimOne))
        return all(limit.admits(sum(many for _, many in self.taken(it.row.account, limit, wish.now)), len(targets))
                   for limit in wish.limits)

    def check_claim(self, wish: ClaimOne) -> str:
        it = self.get(wish.outbox_id,
                       lambda it: it.idle() and it.content is not None and (wish.force or not it.row.held))
        if it.due > wish.now and not wish.force:
            raise errors.RetryNotDue("retry_not_due")
        if not self._has_room(it, wish):
            raise errors.LimitUsedUp("its account has sent what it may")
        return it.row.account

    def get(self, outbox_id: int, allows: Callable[[Message], bool] = lambda it: True) -> Message:
        if (it := self.messages.get(outbox_id)) is None:
            raise errors.NotFound("outbox record not found")
        if not allows(it):
            raise errors.NotAllowedForStatus(f"outbox message {outbox_id} is {it.row.status}, held: {it.row.held}")
        return it

    def take_unreported(self, now: int, only: int | None = None) -> list[int]:
        untold = [it for it in self.of() if it.row.gave_up and not it.told and only in (None, it.row.outbox_id)]
        for it in untold:
            it.told = True
        return [it.row.outbox_id for it in untold]
