"""A person's decisions, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from prx_email_cli.errors import NotAllowedForStatus, PrxEmailError
from prx_email_cli.outbox.decisions import Decided, Decision, Spread
from prx_email_cli.outbox.editing import Edit, Editable, edited
from prx_email_cli.outbox.lifecycle import Reason, RecipientStatus, Status
from prx_email_cli.outbox.messages import Addressee, ClaimOne, Content, Schedule
from prx_email_cli.outbox.views import Action

from .memory_pruning import MemoryPruning

if TYPE_CHECKING:
    from .memory_message import Message

# What fits on one line is written on one:
# fmt: off


class MemoryOperator(MemoryPruning):
    """See ``Operator`` for what each method promises."""

    acting = ""

    def check_claim(self, wish: ClaimOne) -> str: raise NotImplementedError
    def wake(self, account: str) -> None: raise NotImplementedError
    def get(self, outbox_id: int, allows: Callable[[Message], bool]) -> Message: raise NotImplementedError

    def _note(self, it: Message, what: str, now: int, detail: str | None = None) -> int:
        row = it.row
        did = Action(row.outbox_id, row.account, now, what, self.acting, detail)
        return it.change(actions=[*row.actions, did])

    def decide(self, decision: Decision, ids: Sequence[int], now: int) -> Iterator[list[Decided]]:
        acts: dict[Decision, Callable[[int, int], None]] = {
            Decision.HOLD: self.hold, Decision.RELEASE: self.release, Decision.CANCEL: self.cancel,
            Decision.DISMISS: self._dismiss,
            Decision.SENT: partial(self.resolve, sent=True), Decision.NOT_SENT: partial(self.resolve, sent=False)}
        for outbox_id in ids:
            try:
                acts[decision](outbox_id, now)
            except PrxEmailError as error:
                yield [Decided(outbox_id, error)]
            else:
                yield [Decided(outbox_id)]

    def _dismiss(self, outbox_id: int, now: int) -> None:
        it = self.get(outbox_id, lambda it: it.idle() and it.row.gave_up is not None)
        it.change(dismissed_at=now)
        self._note(it, "dismissed", now)

    def edit(self, ids: Sequence[int], change: Edit) -> Iterator[list[Decided]]:
        for outbox_id in ids:
            try:
                self._edit(self.get(outbox_id, lambda it: True), change)
            except PrxEmailError as error:
                yield [Decided(outbox_id, error)]
            else:
                yield [Decided(outbox_id)]

    def _edit(self, it: Message, change: Edit) -> None:
        row, new = it.row, it.new
        gone = "its content is gone" if it.content is None else None
        after = edited(Editable(
            row.outbox_id, row.account, row.status, row.uncertain, new.sender,
            [(one.address, one.status) for one in row.recipients], it.content or b"", new.esmtp is not None, it.due,
            new.schedule.expires_at, gone), change)
        everyone = [replace(one, address=after.recipients[number], status=RecipientStatus.PENDING, code=None,
                            response=None) if number in after.recipients else one
                    for number, one in enumerate(row.recipients)]
        schedule = Schedule(row.created_at, new.schedule.due_at if change.due_at is None else change.due_at,
                            after.expires_at)
        it.spread, it.due, it.content = it.spread or after.account != row.account, after.due_at, after.content
        it.drained_from = None if change.due_at is not None else it.drained_from
        it.new = new._replace(
            account=after.account, sender=after.sender, content=Content.of(after.content), schedule=schedule,
            recipients=[Addressee(one.address, one.kind) for one in everyone], needs_smtputf8=after.needs_smtputf8)
        to = [one.address for one in everyone if one.kind == "to"]
        it.change(account=after.account, recipients=everyone, to=to, size_bytes=len(after.content))
        self._note(it, "edited", change.now, after.said)

    def spread(self, ids: Sequence[int], spread: Spread) -> Iterator[list[Decided]]:
        for number, outbox_id in enumerate(ids):
            try:
                self._spread(outbox_id, spread.due_at(number, len(ids)), spread)
            except PrxEmailError as error:
                yield [Decided(outbox_id, error)]
            else:
                yield [Decided(outbox_id)]

    def _spread(self, outbox_id: int, due: int, spread: Spread) -> None:
        account, it = self.check_claim(ClaimOne(outbox_id, spread.now, spread.force)), self.messages[outbox_id]
        if it.expired(due):
            raise NotAllowedForStatus("it expires before")
        everyone = [replace(one, status=RecipientStatus.PENDING) if one.status == RecipientStatus.REFUSED else one
                    for one in it.row.recipients]
        it.due, it.told, it.spread = due, False, True
        it.change(gave_up=None, held=False, dismissed_at=None, recipients=everyone)
        self._note(it, "spread", spread.now, f"over {spread.seconds} s")
        self.wake(account)
    def note_retry(self, wish: ClaimOne) -> None:
        self._note(self.messages[wish.outbox_id], "retried", wish.now, "--force" if wish.force else None)

    def hold(self, outbox_id: int, now: int) -> None:
        it = self.get(outbox_id, lambda it: it.idle())
        it.change(held=True)
        self._note(it, "held", now)

    def release(self, outbox_id: int, now: int) -> None:
        it = self.get(outbox_id, lambda it: it.row.held)
        it.change(held=False)
        self._note(it, "released", now)

    def cancel(self, outbox_id: int, now: int) -> None:
        it = self.get(outbox_id, lambda it: it.idle())
        it.give_up(Reason.CANCELLED)
        self._note(it, "cancelled", now)

    def hold_all(self, account: str | None, now: int) -> list[int]:
        wait = [it for it in self.of(account) if it.waits()]
        return [self._note(it, "held", now) for it in wait if it.change(held=True)]

    def release_all(self, account: str | None, now: int) -> list[int]:
        held = [it for it in self.of(account) if it.row.held]
        return [self._note(it, "released", now) for it in held if it.change(held=False)]

    def resolve(self, outbox_id: int, now: int, *, sent: bool) -> None:
        it = self.get(outbox_id, lambda it: it.row.status == Status.FAILED and it.row.uncertain)
        accepted = RecipientStatus.ACCEPTED
        everyone = [replace(one, status=accepted if sent and one.uncertain else one.status, uncertain=False)
                    for one in it.row.recipients]
        it.change(held=False, uncertain=False, recipients=everyone)
        self._note(it, "resolved", now, "sent" if sent else "not sent")
        if all(one.status == accepted for one in everyone):
            it.change(status=Status.SENT, sent_at=now, gave_up=None, last_error=None, error_code=None,
                      provider_message_id=it.row.provider_message_id or "resolved as sent by hand")
        elif sent:
            reasons = (f"{one.address}: {one.response}" for one in everyone if one.status != accepted and one.response)
            it.change(last_error=next(reasons, it.row.last_error))
            if not it.addressed()[0]:
                it.give_up(Reason.REFUSED)
