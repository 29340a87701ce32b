"""One delivering run from start to report; it owns every thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from prx_email_cli.config.settings import Settings
from prx_email_cli.delivery.attempt import limits_of, retry_policy
from prx_email_cli.delivery.ledger import Ledger
from prx_email_cli.delivery.report import CLOCK_IN_DOUBT, DrainReport
from prx_email_cli.delivery.schedule import POOL, Part, Schedule
from prx_email_cli.errors import (
    AccountUnusable,
    ConfigError,
    PrxEmailError,
    ResultNotRecorded,
    StorageError,
)
from prx_email_cli.outbox.lifecycle import Outcome
from prx_email_cli.outbox.messages import Claimed, ClaimOne, Finished, Limit

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from prx_email_cli.delivery.account import AccountRun
    from prx_email_cli.delivery.hands import Hands
    from prx_email_cli.delivery.worker import Ask, Steps
    from prx_email_cli.outbox.store import Run, Store
    from prx_email_cli.smtp.session import SessionFactory

POLL_SECONDS = 1.0  # between two looks of a follower at what became due
Result = Finished | PrxEmailError


class DrainOptions(NamedTuple):
    """What one drain was asked for.

    account: only this one.  limit: at most so many attempts.  connections: instead of the accounts' own numbers.
    failure_mode: rehearse, see ``rehearsal``.
    """

    account: str | None = None
    limit: int | None = None
    connections: int | None = None
    failure_mode: str | None = None


class Environment(NamedTuple):
    """What a run is told from outside, and whom it tells.

    clock: gives Unix seconds.  ticks: gives seconds that never go back, by which a follower looks again.  stop: once
    set, messages on the wire are finished and none is claimed.  on_finished: is given every attempt, by the thread that
    made it.
    """

    clock: Callable[[], int]
    ticks: Callable[[], float] = time.monotonic
    stop: threading.Event | None = None
    on_finished: Callable[[Finished], None] | None = None


class DeliveringRun:
    """Delivers messages of *store* that *run* claims."""

    def __init__(self, store: Store, settings: Settings, run: Run, around: Environment) -> None:
        self.store, self.settings, self.run, self.clock = store, settings, run, around.clock
        self.policy = retry_policy(settings.outbox)
        self.clock_in_doubt = False
        self.ledger = Ledger(run, around.clock)
        self.report = DrainReport(run.run_id)
        self._ticks, self._on_finished = around.ticks, around.on_finished
        self._stop = around.stop or threading.Event()
        self._lock = threading.RLock()  # of the schedule, the workers' steps and the report
        self._wake = threading.Event()
        self._broken: list[BaseException] = []
        self._schedule = Schedule()
        self._accounts: dict[str, AccountRun] = {}
        self._sessions: dict[str, SessionFactory] = {}
        self._options = DrainOptions()
        self._faults: set[str] = set()
        self._on_result: Callable[[int, Result], None] | None = None

    def drain(self, options: DrainOptions) -> DrainReport:
        """Deliver what is due now; what becomes due, or is deferred, meanwhile is the next run's.

        Raises StorageError when the outbox fails, RestoredBackup before anything is changed.
        """
        self._prepare(options)
        due_before = self.clock()
        names = self._begin_round(due_before)
        self._conduct(lambda: self._schedule.idle)
        self._note_unreadable()
        self.report.still_due = sum(self.store.count_due(name, due_before) for name in names)
        return self.report

    def follow(self, options: DrainOptions, on_round: Callable[[DrainReport], None]) -> DrainReport:
        """Deliver whatever becomes due until the run is stopped; the report of what came after the last round.

        on_round: is given what was done since the round before, every POLL_SECONDS.  Raises as ``drain`` does.
        """
        self._prepare(options)
        next_round = 0.0

        def over() -> bool:
            nonlocal next_round
            if self._stop.is_set():
                return self._schedule.idle
            if self._ticks() >= next_round:
                next_round = self._ticks() + POLL_SECONDS
                with self._lock:
                    done, self.report = self.report, DrainReport(self.run.run_id)
                on_round(done)
                self._note_unreadable()
                self._recover(self.clock())
                self._begin_round(self.clock())
                self._wake.set()
            return False

        self._conduct(over, patience=POLL_SECONDS / 4)
        self._note_unreadable()
        return self.report

    def attempt(
        self, ids: Sequence[int], on_result: Callable[[int, Result], None], *, force: bool = False,
        failure_mode: str | None = None,
    ) -> None:  # fmt: skip
        """Attempt chosen messages once, those of one account over one connection, in the calling thread.

        on_result: is given each message's finished attempt, or why there was none: NotFound, NotAllowedForStatus,
        RetryNotDue, LimitUsedUp, LockUnreadable, the config's fault, AccountUnusable when the account failed at another
        message.  Raises StorageError when the outbox fails, RestoredBackup before anything is changed.
        """
        from prx_email_cli.delivery.account import AccountRun, ChosenMessages  # on use

        self._prepare(DrainOptions(failure_mode=failure_mode))
        self._on_result = on_result
        for name, chosen in self._by_account(ids, on_result, force=force).items():
            try:
                limits = limits_of(self.settings.account(name)) if failure_mode is None else ()
            except ConfigError as fault:
                for outbox_id in chosen:
                    on_result(outbox_id, fault)
                continue
            source = ChosenMessages(chosen, on_result, force=force, limits=limits)
            account = self._accounts[name] = AccountRun(name, source, self._schedule, self.warn)
            self._schedule.begin({name: Part(len(chosen), connections=1)})
            while self._schedule.next_connection() is not None:
                self._work(name)
            for outbox_id in source.untouched():
                on_result(outbox_id, account.fault or self._account_failed(name))

    def _by_account(
        self, ids: Sequence[int], on_result: Callable[[int, Result], None], *, force: bool
    ) -> dict[str, list[int]]:
        """Group the messages that may be attempted by account; give *on_result* the error of each other one."""
        from prx_email_cli.delivery.hands import unreadable_or  # on use

        chosen: dict[str, list[int]] = {}
        for outbox_id in ids:
            wish = ClaimOne(outbox_id, self.clock(), force)
            try:
                chosen.setdefault(self.store.check_claim(wish), []).append(outbox_id)
            except StorageError:
                raise
            except PrxEmailError as refused:
                on_result(outbox_id, unreadable_or(refused, wish, self))
        return chosen

    def _account_failed(self, name: str) -> AccountUnusable:
        """Make the error for a chosen message that was not attempted because its account failed at another one."""
        code = self.report.error_code or "provider"
        return AccountUnusable(
            code, f"not attempted: account {name} failed at another message",
            f"the message is unchanged; prx-email account test {name} tells whether the account works again",
        )  # fmt: skip

    def sessions(self, account: str) -> SessionFactory:
        """Return the factory of the account's sessions.  Raises ConfigError, ReadableByOthers."""
        if account not in self._sessions:
            from prx_email_cli.smtp.credentials import login_of  # on use
            from prx_email_cli.smtp.session import SessionFactory  # on use

            settings = self.settings.account(account)
            self._sessions[account] = SessionFactory(settings, login_of(settings))
        return self._sessions[account]

    def record(self, finished: Finished) -> None:
        """Count a finished attempt, which is durable, and tell of it."""
        with self._lock:
            self.report.record(finished, self.policy)
        if self._on_finished is not None:
            self._on_finished(finished)
        if self._on_result is not None:
            self._on_result(finished.claimed.outbox_id, finished)

    def warn(self, text: str) -> None:
        """Note what a person should hear of but changes no message."""
        with self._lock:
            self.report.warnings.append(text)

    def _prepare(self, options: DrainOptions) -> None:
        """Recover what dead runs left; why it is unknown of some goes into the report."""
        self._options = options
        self._schedule = Schedule(limit=options.limit, base_seconds=self.policy.base_seconds)
        self._recover(self.clock())

    def _recover(self, now: int) -> None:
        recovered = self.run.recover(self.policy, now)
        self.report.recovered += len(recovered.uncertain) + len(recovered.finished) + len(recovered.given_back)
        for unreadable in self.run.unreadable:
            self._note_fault(unreadable)

    def _begin_round(self, due_before: int) -> list[str]:
        """Give up what expired, and let the accounts with due messages begin that do not rest; all their names."""
        self.clock_in_doubt = self.run.begin_drain(due_before).clock_in_doubt
        if self.clock_in_doubt:
            self.report.notes.append(CLOCK_IN_DOUBT)
        else:
            self.report.gave_up += len(self.run.expire(due_before))
        names = [name for name in self.store.accounts_due(due_before) if self._options.account in (None, name)]
        with self._lock:
            self._schedule.at(due_before)
            free = [name for name in names if self._schedule.open_to(name)]
        parts = {name: part for name in free if (part := self._part(name, due_before)) is not None}
        with self._lock:
            self._schedule.begin(parts)
        return names

    def _part(self, name: str, due_before: int) -> Part | None:
        """Prepare an account's part in a round; None when its config has a fault, which is noted."""
        from prx_email_cli.delivery.account import AccountRun, DueMessages  # on use

        limits: tuple[Limit, ...] = ()
        connections = 1
        if self._options.failure_mode is None:
            try:
                account = self.settings.account(name)
            except ConfigError as fault:
                self._note_fault(fault)
                return None
            limits, connections = limits_of(account), self._options.connections or account.connections
        self._accounts[name] = AccountRun(name, DueMessages(name, due_before, limits), self._schedule, self.warn)
        self._sessions.pop(name, None)  # a secret that was changed meanwhile is read again
        return Part(self.store.count_due(name, due_before, max(connections, self._options.limit or 0)), connections)

    def _note_unreadable(self) -> None:
        for unreadable in self.store.unreadable_messages():
            self._note_fault(unreadable)

    def _note_fault(self, fault: PrxEmailError) -> None:
        """Report what is wrong with the config or a lock, each fault once in this run."""
        with self._lock:
            if fault.message not in self._faults:
                self._faults.add(fault.message)
                self.report.config_errors.append(fault)

    def _conduct(self, over: Callable[[], bool], patience: float | None = None) -> None:
        """Start workers as the schedule asks for them until *over*; raises what broke the run off."""
        with ExitStack() as stack:  # at its end the workers have ended
            pool: ThreadPoolExecutor | None = None
            try:
                while True:
                    self._wake.clear()
                    for name in self._openings():
                        pool = pool or stack.enter_context(_threads())
                        pool.submit(self._guarded, name)
                    if over():
                        break
                    self._wake.wait(patience)
            except BaseException as error:  # noqa: BLE001 - raised below, once the workers have ended
                self._break_off(error)
        if self._broken:
            raise self._broken[0] if len(self._broken) == 1 else self._all_broken()

    def _openings(self) -> list[str]:
        """Name the accounts that open a connection now, once for each connection."""
        with self._lock:
            if self._stop.is_set():
                self._schedule.stop()
            return list(iter(self._schedule.next_connection, None))

    def _guarded(self, name: str) -> None:
        try:
            self._work(name)
        except BaseException as error:  # noqa: BLE001 - the thread that waits raises it
            self._break_off(error)

    def _work(self, name: str) -> None:
        """Carry out what a worker of this account asks, until it is through."""
        from prx_email_cli.delivery.worker import Open  # on use

        steps, hands = self._worker(name), self._hands(name)
        ask: Ask | None = None
        answer: Any = None
        try:
            while True:
                opened = isinstance(ask, Open)
                ask = self._step(steps, answer)
                if opened:
                    self._wake.set()  # further connections may open
                if ask is None:
                    return
                answer = hands.carry_out(ask)
        finally:
            hands.close()
            self._ended(name)
            self._wake.set()

    def _hands(self, name: str) -> Hands:
        """Make the hands of a worker of this account, with their own connection."""
        from prx_email_cli.delivery.hands import Hands  # on use

        return Hands(self, name)

    def _worker(self, name: str) -> Steps[None]:
        """Make a worker of this account, which has not begun."""
        from prx_email_cli.delivery.worker import rehearse, work  # on use

        account = self._accounts[name]
        return work(account) if self._options.failure_mode is None else rehearse(account, self._simulated)

    def _ended(self, name: str) -> None:
        """Note that one of the account's workers has ended."""
        account = self._accounts[name]
        with self._lock:
            self._schedule.closed(name)
            if account.fault is not None and self._on_result is None:
                self._note_fault(account.fault)

    def _step(self, steps: Steps[None], answer: Any) -> Ask | None:
        """Give a worker its answer; what it asks next, None when it is through."""
        with self._lock:
            self._schedule.at(self.clock())
            if self._stop.is_set():
                self._schedule.stop()
            try:
                return steps.send(answer)
            except StopIteration:
                return None

    def _simulated(self, claimed: Claimed) -> Outcome:
        from prx_email_cli.delivery.rehearsal import simulated  # on use

        return simulated(self._options.failure_mode or "", claimed)

    def _break_off(self, error: BaseException) -> None:
        """Stop every worker, because the outbox or the program failed."""
        with self._lock:
            self._broken.append(error)
            self._schedule.stop()
        self._wake.set()

    def _all_broken(self) -> BaseException:
        """Return the first error that stopped the run, joined by the results that could not be recorded."""
        lost = [error for error in self._broken if isinstance(error, ResultNotRecorded)]
        if not lost:
            return self._broken[0]
        return ResultNotRecorded("; ".join(error.message for error in lost), hint=lost[0].hint)


def _threads() -> ThreadPoolExecutor:
    """Return a thread for each connection that a run may open."""
    from concurrent.futures import ThreadPoolExecutor  # on use

    return ThreadPoolExecutor(POOL, thread_name_prefix="connection")
