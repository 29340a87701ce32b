"""Carry out what the workers of a run ask, and pass on what the clerk and the connections answer.

Nothing here waits, reads a clock by itself or knows a socket: ``Wires`` does, with threads and sockets or, in a test,
with neither.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from prx_email_cli.delivery.handing_over import Flying, outcome_of, outcome_without_session, take_off
from prx_email_cli.delivery.ledger import Came, Failed, Recorded, WantedBack
from prx_email_cli.delivery.office import Done, Office, Wires
from prx_email_cli.delivery.worker import (
    Ask,
    Close,
    Deliver,
    Delivered,
    GiveBack,
    Next,
    NotOpened,
    Open,
    Opened,
    Reserve,
    Settle,
    Steps,
    Untouched,
)
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import Outcome
from prx_email_cli.outbox.messages import Claimed, Moment
from prx_email_cli.smtp.failure import SessionFailed

if TYPE_CHECKING:
    from prx_email_cli.delivery.account import AccountRun
    from prx_email_cli.smtp.session import Session
    from prx_email_cli.smtp.transaction import Transaction


LOOK_BACK_SECONDS = 0.25
_LATER = object()  # the answer comes with an event


class _Task:
    """A worker with its connection.  flying: its message on the wire.  following: the one whose envelope has left."""

    def __init__(self, account: AccountRun, steps: Steps[None]) -> None:
        self.account, self.steps = account, steps
        self.session: Session | None = None
        self.slot: int | None = None  # its number among the account's connections, where all runs share those
        self.in_hand: Claimed | None = None  # taken, and not begun
        self.flying: Flying | None = None
        self.following: Flying | None = None
        self.last: int | None = None


class Conductor:
    """The workers of a run, each going on as far as it can."""

    def __init__(self, office: Office, wires: Wires) -> None:
        self._office, self._wires = office, wires
        self._waiters: dict[AccountRun, deque[_Task]] = {}
        self._tasks: set[_Task] = set()
        self._resting: dict[_Task, float] = {}  # connections kept open with nothing to send, and until when
        self._closing = 0
        self._look_back_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether no worker is at work, no connection open, and nothing to be recorded."""
        return not self._tasks and not self._closing and self._office.ledger.idle

    def begin(self, account: AccountRun, steps: Steps[None]) -> None:
        """Let a worker begin."""
        task = _Task(account, steps)
        self._tasks.add(task)
        self._go_on(task, None)

    def take_news(self) -> None:
        """Take in what the clerk has done."""
        office = self._office
        while (news := office.ledger.news()) is not None:
            if isinstance(news, Recorded):
                if news.lost is not None:
                    news.account.lost(news.lost)
                else:
                    office.record(news.finished)
            elif isinstance(news, Came):
                refused = news.refused and office.refused(news.wish, news.refused)
                news.account.came(news.wish, news.claims, refused)
                self._tend(news.account)
            elif isinstance(news, WantedBack):
                for account in {task.account for task in self._tasks}:
                    self._give_back(account, account.withdraw(news.ids))
            elif isinstance(news, Failed):
                office.break_off(news.error)
        if office.schedule.stopped:
            self.let_go()
            for account in list(self._waiters):
                self._tend(account)

    def look_back(self) -> None:
        """Have it looked now and then whether a person wants back what is claimed and not begun."""
        now = self._wires.ticks()
        if now >= self._look_back_at and any(task.account.has_claimed for task in self._tasks):
            self._look_back_at = now + LOOK_BACK_SECONDS
            self._office.ledger.look_back()

    def renewed(self, account: AccountRun) -> None:
        """More may wait for an account that has open connections."""
        for task in [task for task in self._resting if task.account is account]:
            del self._resting[task]
            self._wait(task)
        self._tend(account)

    def let_go(self, *, one: bool = False) -> None:
        """Close the connections that had nothing to send for too long, or *one* because another account needs it."""
        now = self._wires.ticks()
        over = [task for task, until in self._resting.items() if now >= until or self._office.schedule.stopped]
        for task in over or list(self._resting)[: int(one)]:
            del self._resting[task]
            self._go_on(task, None)

    def abandon(self) -> None:
        """Break off whatever is on the wire, because the program was interrupted; what is known of it is recorded."""
        for task in list(self._tasks):
            if task.flying is not None:
                self._office.ledger.on_wire -= 1
                outcome = task.flying.interrupted()
                self._settle(task.account, Settle(task.flying.claimed, outcome, 0, 0))
            elif task.in_hand is not None:
                self._give_back(task.account, [task.in_hand])
            if task.following is not None:
                self._give_back(task.account, [task.following.claimed])
            if task.session is not None:
                task.session.abandon()
            self._end(task)
        self._resting.clear()
        self._waiters.clear()

    def _go_on(self, task: _Task, answer: Any) -> None:
        """Send a worker its answer, and carry out what it asks until it must wait for something."""
        while answer is not _LATER:
            if isinstance(answer, Claimed):
                task.in_hand = answer
            try:
                ask = task.steps.send(answer)
            except StopIteration:
                self._end(task)
                return
            answer = self._carry_out(task, ask)

    def _end(self, task: _Task) -> None:
        self._tasks.discard(task)
        account = task.account
        self._free(account.name, task.slot)
        if account.lacks_slot:
            self._office.no_slot(account)
        self._office.ended(account)
        if any(other.account is account for other in self._tasks):
            self._tend(account)  # others may be kept by what keeps this one, or take what it has put back
        else:
            self._give_back(account, account.leave())
            self._waiters.pop(account, None)

    def _carry_out(self, task: _Task, ask: Ask) -> Any:
        """Do what a worker asks; return the answer, _LATER where an event brings it."""
        if not isinstance(
            ask, Open | Close | Reserve
        ):  # a message that was left untouched is kept for the next connection
            task.in_hand = None
        match ask:
            case Reserve():
                return self._reserve(task)
            case Next():
                return self._next(task)
            case Open():
                self._wires.open(task.account.name, lambda session: self._opened(task, session))
                return _LATER
            case Deliver(claimed, again):
                return self._deliver(task, claimed, again=again)
            case Settle():
                return self._settle(task.account, ask)
            case GiveBack(claimed):
                return self._give_back(task.account, [claimed])
            case Close():
                return self._close(task)

    def _reserve(self, task: _Task) -> Any:
        slots, account = self._office.slots, task.account
        if slots is None:
            return True
        self._wires.aside(
            partial(slots.take, account.name, account.most_connections), lambda slot: self._reserved(task, slot)
        )
        return _LATER

    def _reserved(self, task: _Task, slot: int | BaseException | None) -> None:
        if isinstance(slot, BaseException):
            self._office.break_off(slot)
            slot = None
        if task not in self._tasks:  # it was abandoned meanwhile
            self._free(task.account.name, slot)
            return
        task.slot = slot
        self._go_on(task, slot is not None)

    def _free(self, account: str, slot: int | None, then: Callable[[], None] = lambda: None) -> None:
        """Let others have a connection, *then* go on; the run does not end before they may."""

        def freed(came: object) -> None:
            self._closing -= 1
            then()

        if slot is not None and self._office.slots is not None:
            self._closing += 1
            self._wires.aside(partial(self._office.slots.free, account, slot), freed)

    def _next(self, task: _Task) -> Any:
        claimed = self._take(task.account)
        if claimed is None and task.account.over:
            return _LATER if self._rest(task) else None
        if claimed is None:
            self._wait(task)
        self._ask(task.account)
        return _LATER if claimed is None else claimed

    def _wait(self, task: _Task) -> None:
        self._waiters.setdefault(task.account, deque()).append(task)
        task.account.waiting += 1

    def _rest(self, task: _Task) -> bool:
        """Keep the worker's connection open for what a follower's next rounds bring; False if it is to be closed."""
        idle_seconds = self._office.idle_seconds
        if task.session is None or not idle_seconds or task.account.rests or self._office.schedule.stopped:
            return False
        self._resting[task] = self._wires.ticks() + idle_seconds
        return True

    def _take(self, account: AccountRun) -> Claimed | None:
        """Take a message to be begun now: one that has expired since its claim is given back."""
        if self._office.schedule.stopped:
            self._give_back(account, account.leave())
            return None
        now = self._office.clock()
        while (claimed := account.take()) is not None:
            expires_at = claimed.expires_at
            if expires_at is None or now < expires_at or self._office.clock_in_doubt or account.in_order:
                return claimed._replace(started_at=now)
            self._give_back(account, [claimed])
        return None

    def _ask(self, account: AccountRun) -> None:
        wish = account.wish()
        if wish is not None:
            self._office.ledger.ask(account, wish)

    def _tend(self, account: AccountRun) -> None:
        """Let the account's waiting workers go on, if they can."""
        waiters = self._waiters.get(account)
        if account.rests or self._office.schedule.stopped or not any(task.account is account for task in self._tasks):
            self._give_back(account, account.leave())
        while waiters:
            claimed = self._take(account)
            if claimed is None and not account.over:
                break
            account.waiting -= 1
            task = waiters.popleft()
            if claimed is not None or not self._rest(task):
                self._go_on(task, claimed)
        self._ask(account)

    def _opened(self, task: _Task, came: Session | SessionFailed | BaseException) -> None:
        if task not in self._tasks:  # it was abandoned meanwhile
            if not isinstance(came, BaseException):
                came.abandon()
        elif isinstance(came, SessionFailed):
            self._go_on(task, NotOpened(outcome_without_session(came)))
        elif isinstance(came, BaseException):
            if not isinstance(came, (ConfigError, ReadableByOthers)):
                self._office.break_off(came)
            self._go_on(task, came)
        else:
            task.session = came
            self._go_on(task, Opened())

    def _deliver(self, task: _Task, claimed: Claimed, *, again: bool) -> Any:
        session, begun = _session(task), task.following
        task.following = None
        if begun is None:
            prepared = take_off(claimed, session, self._office.run, self._wires.ticks())
            if isinstance(prepared, Outcome):
                return Delivered(prepared, usable=session.usable())
            begun = prepared
            session.start(begun.transaction, None if again else lambda: self._following(task))
        task.flying = begun
        self._ask(task.account)
        self._office.ledger.on_wire += 1
        self._wires.carry_out(session, lambda done: self._done(task, done, again=again))
        return _LATER

    def _following(self, task: _Task) -> Transaction | None:
        """Begin the next message, whose envelope leaves together with the content before it; None if there is none."""
        session, account = _session(task), task.account
        while account.pipelines and (claimed := self._take(account)) is not None:
            prepared = take_off(claimed, session, self._office.run, self._wires.ticks())
            self._ask(account)
            if not isinstance(prepared, Outcome):
                task.following = prepared
                return prepared.transaction
            self._settle(account, Settle(claimed, prepared, 0, 0))
        return None

    def _done(self, task: _Task, done: Done | BaseException, *, again: bool) -> None:
        if task not in self._tasks:
            return
        flying, task.flying = task.flying, None
        self._office.ledger.on_wire -= 1
        session, now = _session(task), self._office.clock()
        if flying is None:
            raise RuntimeError("an answer to no message")
        if isinstance(done, BaseException):
            session.abandon()  # DATA is under way, and only this keeps the server from taking what came so far
            self._go_on(task, self._delivered(task, flying, flying.failed(done), usable=False))
            return
        if done.result.left_alone and not again:
            task.in_hand = flying.claimed
            if task.following is not None:  # it was to go behind this one
                task.account.put_back(task.following.claimed)
                task.following = None
            self._go_on(task, Untouched())
            self._tend(task.account)
            return
        task.last = flying.claimed.outbox_id
        outcome = outcome_of(done.result)
        if flying.noting.noted and not outcome.uncertain:
            self._office.run.answered(flying.claimed, outcome, now)
        self._go_on(task, self._delivered(task, flying, outcome, usable=done.usable))

    def _delivered(self, task: _Task, flying: Flying, outcome: Outcome, *, usable: bool) -> Delivered:
        took = round((self._wires.ticks() - flying.started) * 1000)
        following = task.following
        return Delivered(outcome, took, usable, None if following is None else following.claimed)

    def _settle(self, account: AccountRun, ask: Settle) -> None:
        office = self._office
        moment = Moment(office.clock(), office.clock_in_doubt)
        finished = finish(ask.claimed, ask.outcome, office.policy, moment)
        office.ledger.settle(account, finished._replace(milliseconds=ask.milliseconds, connection=ask.connection))
        if account.rests:
            self._tend(account)

    def _give_back(self, account: AccountRun, claims: list[Claimed]) -> None:
        for claimed in claims:
            account.given_back(claimed)
        if claims:
            self._office.ledger.give_back(claims)

    def _close(self, task: _Task) -> Any:
        """Close a worker's connection; what becomes of that concerns no message."""
        session, task.session = _session(task), None
        if task.following is not None:  # the server is in the middle of an envelope that is not to be ended
            session.abandon()
            task.following = None
        name, last = task.account.name, task.last
        slot, task.slot = task.slot, None
        self._closing += 1

        def closed() -> None:
            self._closing -= 1
            self._free(name, slot, lambda: self._go_on(task, None) if task in self._tasks else None)
            if last is not None and session.afterthought is not None:
                self._office.warn(f"account {name}, after message {last}: {session.afterthought}")

        self._wires.hang_up(session, closed)
        return None if slot is None else _LATER  # a connection is taken until it is closed


def _session(task: _Task) -> Session:
    if task.session is None:
        raise RuntimeError("a worker delivers without a connection")
    return task.session
