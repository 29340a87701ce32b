"""One delivering run from start to report."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.config.settings import Settings
from prx_email_cli.delivery.attempt import PLAIN_RETRY, RetryOptions, limits_of, retry_policy
from prx_email_cli.delivery.ledger import Ledger, joined
from prx_email_cli.delivery.report import CLOCK_IN_DOUBT, DrainReport
from prx_email_cli.delivery.schedule import Part, Schedule
from prx_email_cli.delivery.standing import Standings, in_use
from prx_email_cli.errors import (
    AccountUnusable,
    ConfigError,
    ConnectionsInUse,
    NotAllowedForStatus,
    PrxEmailError,
    StorageError,
)
from prx_email_cli.outbox.lifecycle import Outcome, Scope, Status, Verdict
from prx_email_cli.outbox.messages import Claimed, ClaimOne, Finished, Limit, Wish

if TYPE_CHECKING:
    from prx_email_cli.delivery.account import AccountRun
    from prx_email_cli.delivery.conductor import Conductor
    from prx_email_cli.delivery.follower import Attend
    from prx_email_cli.delivery.wires import RealWires
    from prx_email_cli.delivery.worker import Steps
    from prx_email_cli.outbox.slots import Slots
    from prx_email_cli.outbox.store import Run, Store
    from prx_email_cli.smtp.session import SessionFactory

MOST_FAULTS = 100  # of this program or the outbox, in one run
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
    set, messages on the wire are finished and none is claimed.  on_finished: is given every attempt once it is durable.
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
        self.idle_seconds = 0.0
        self.slots: Slots | None = store.slots
        self.ledger, self.standings = Ledger(run, around.clock), Standings(store, settings)
        self.schedule = Schedule()
        self.report = DrainReport(run.run_id)
        self.ticks, self._on_finished = around.ticks, around.on_finished
        self._stop = around.stop or threading.Event()
        self._broken: list[BaseException] = []
        self._accounts: dict[str, AccountRun] = {}
        self._sessions: dict[str, SessionFactory] = {}
        self._options = DrainOptions()
        self._faults: set[str] = set()
        self.next_due_at: int | None = None
        self._on_result: Callable[[int, Result], None] | None = None

    def drain(self, options: DrainOptions) -> DrainReport:
        """Deliver what is due now; what becomes due, or is deferred, meanwhile is the next run's.

        Raises StorageError when the outbox fails, RestoredBackup before anything is changed.
        """
        self._prepare(options)
        due_before = self.clock()
        names = self.begin_round(due_before)
        self.conduct(lambda conductor: True)
        self.note_aside()
        self.report.still_due = sum(self.store.count_due(name, due_before) for name in names)
        return self.report

    def follow(
        self, options: DrainOptions, on_round: Callable[[DrainReport], None], attend: Attend = lambda waits: None
    ) -> DrainReport:
        """Deliver whatever becomes due until the run is stopped; the report of what came after the last round.

        on_round: is given what was done since the round before.  attend: see ``follower``.  Raises as ``drain`` does.
        """
        from prx_email_cli.delivery.follower import Follower  # on use

        self._prepare(options)
        Follower(self, on_round, attend).follow()
        self.note_aside()
        return self.report

    def go_by(self, settings: Settings) -> list[AccountRun]:
        """Go by these *settings* from now on; what is on the wire ends by those before.

        The accounts that are at work and whose config has changed, which begin nothing more.
        """
        from prx_email_cli.delivery.standing import is_same  # on use

        before, self.settings = self.settings, settings
        self.policy = retry_policy(settings.outbox)
        self.note_aside()
        self.standings = Standings(self.store, settings)
        self._sessions.clear()
        self._faults.clear()
        changed = {name for name in {*before.accounts, *settings.accounts}
                   if not is_same(before.accounts.get(name), settings.accounts.get(name))}  # fmt: skip
        for name in changed:
            self.schedule.try_again(name)
            if name in settings.accounts:
                self.store.wake(name)
        retired = [self._accounts[name] for name in sorted(changed) if self.schedule.at_work(name)]
        for account in retired:
            account.retire()
        return retired

    def attempt(
        self, ids: Sequence[int], on_result: Callable[[int, Result], None], options: RetryOptions = PLAIN_RETRY
    ) -> None:
        """Attempt chosen messages once, one account's after another's.

        on_result: is given each message's finished attempt, or why there was none: NotFound, NotAllowedForStatus,
        RetryNotDue, LimitUsedUp, LockUnreadable, the config's fault, AccountUnusable when the account failed at another
        message.  Raises StorageError when the outbox fails, RestoredBackup before anything is changed.
        """
        from prx_email_cli.delivery.account import AccountRun, ChosenMessages  # on use
        from prx_email_cli.outbox.slots import PatientSlots  # on use

        self._prepare(DrainOptions(failure_mode=options.failure_mode))
        self._on_result = on_result
        self.slots = self.slots and PatientSlots(self.slots)
        for name, chosen in self._by_account(ids, on_result, force=options.force).items():
            limits: tuple[Limit, ...] = ()
            most = connections = 1
            try:
                if options.failure_mode is None:
                    settings = self.settings.account(name)
                    limits, most = limits_of(settings), settings.connections
                    connections = most if options.many else 1
            except ConfigError as fault:
                for outbox_id in chosen:
                    on_result(outbox_id, fault)
                continue
            if options.wakes:
                self.store.wake(name)
            source = ChosenMessages(chosen, on_result, force=options.force, limits=limits)
            account = self._accounts[name] = AccountRun(name, source, self.schedule, self.warn, 0)
            account.most_connections = most
            self.schedule.begin({name: Part(len(chosen), connections)})
            self.conduct(lambda conductor: True)
            for outbox_id in source.untouched():
                on_result(outbox_id, account.fault or self._account_failed(name))
        self.standings.note_failed()

    def _by_account(
        self, ids: Sequence[int], on_result: Callable[[int, Result], None], *, force: bool
    ) -> dict[str, list[int]]:
        """Group the messages that may be attempted by account; give *on_result* the error of each other one."""
        chosen: dict[str, list[int]] = {}
        for outbox_id in ids:
            wish = ClaimOne(outbox_id, self.clock(), force)
            try:
                chosen.setdefault(self.store.check_claim(wish), []).append(outbox_id)
            except StorageError:
                raise
            except PrxEmailError as refused:
                on_result(outbox_id, self.refused(wish, refused))
        return chosen

    def _account_failed(self, name: str) -> AccountUnusable:
        """Make the error for a chosen message that was not attempted because its account failed at another one."""
        code = self.report.error_code or "provider"
        return AccountUnusable(
            code, f"not attempted: account {name} failed at another message",
            f"it is as it was; prx-email account test {name} tells whether the account works again",
        )  # fmt: skip

    def sessions(self, account: str) -> SessionFactory:
        """Return the factory of the account's sessions.  Raises ConfigError, ReadableByOthers."""
        if account not in self._sessions:
            from prx_email_cli.smtp.credentials import login_of  # on use
            from prx_email_cli.smtp.session import SessionFactory  # on use

            settings = self.settings.account(account)
            self._sessions[account] = SessionFactory(
                settings, login_of(settings, self.settings.outbox, self.store.shelf)
            )
        return self._sessions[account]

    def refused(self, wish: Wish, refused: PrxEmailError) -> PrxEmailError:
        """Return *refused*, or the error that it is unknown whether the run lives that has the message."""
        unreadable = self.run.unreadable
        if not unreadable or not isinstance(refused, NotAllowedForStatus) or not isinstance(wish, ClaimOne):
            return refused
        return unreadable[0] if self.store.row(wish.outbox_id).status == Status.SENDING else refused

    def record(self, finished: Finished) -> None:
        """Count a finished attempt, which is durable, and tell of it."""
        self.report.record(finished, self.policy)
        if finished.outcome.scope is Scope.ACCOUNT:
            self.standings.failed(finished.claimed.account)
        if finished.verdict is Verdict.DEFERRED and self.next_due_at is not None:
            self.next_due_at = min(self.next_due_at, finished.settled.next_attempt_at)
        self._tell(finished)
        if self._on_result is not None:
            self._on_result(finished.claimed.outbox_id, finished)

    def _tell(self, finished: Finished) -> None:
        if self._on_finished is not None:
            self._on_finished(finished)

    def warn(self, text: str) -> None:
        """Note what a person should hear of but changes no message."""
        self.report.warnings.append(text)

    def _prepare(self, options: DrainOptions) -> None:
        self._options = options
        self.schedule = Schedule(limit=options.limit, base_seconds=self.policy.base_seconds)
        self.recover(self.clock())

    def recover(self, now: int) -> None:
        """Settle what dead runs had claimed; why it is unknown of some goes into the report."""
        recovered = self.run.recover(self.policy, now)
        self.report.take_recovered(recovered)
        for finished in recovered.finished:
            self._tell(finished)
        for unreadable in self.run.unreadable:
            self._note_fault(unreadable)

    def begin_round(self, due_before: int, conductor: Conductor | None = None) -> list[str]:
        """Give up what expired, and let the accounts with due messages begin that do not rest; all their names.

        conductor: of the connections that are open already.
        """
        self.clock_in_doubt = self.run.begin_drain(due_before).clock_in_doubt
        if self.clock_in_doubt:
            self.report.notes.append(CLOCK_IN_DOUBT)
        else:
            self.report.gave_up_ids += self.run.expire(due_before)
        names = [name for name in self.store.accounts_due(due_before) if self._options.account in (None, name)]
        self.schedule.at(due_before)
        left = self.report.left_alone = self.standings.left_alone(names, due_before)
        self.schedule.leave_alone({name: one.until for name, one in left.items()})
        parts: dict[str, Part] = {}
        for name in [name for name in names if name not in left]:
            working = self.schedule.at_work(name) and not self._accounts[name].rests
            if working or self.schedule.open_to(name):
                part = self._part(name, due_before)
                if part is not None:
                    parts[name] = part
        self.schedule.begin(parts)
        if conductor is not None:
            for name in parts:
                conductor.renewed(self._accounts[name])
        return names

    def _part(self, name: str, due_before: int) -> Part | None:
        """Prepare an account's part in a round; None when its config has a fault, which is noted."""
        from prx_email_cli.delivery.account import AccountRun, DueMessages  # on use

        limits: tuple[Limit, ...] = ()
        most = connections = 1
        if self._options.failure_mode is None:
            try:
                account = self.settings.account(name)
            except ConfigError as fault:
                self._note_fault(fault)
                self.report.account(name).fail(fault.code, fault.message)
                return None
            limits, connections = limits_of(account), self._options.connections or account.connections
            most = max(account.connections, connections)
        if self.schedule.at_work(name):
            self._accounts[name].renew(due_before)
        else:
            source, ahead = DueMessages(name, due_before, limits), self.settings.outbox.claim_ahead
            self._accounts[name] = AccountRun(name, source, self.schedule, self.warn, ahead)
            self._accounts[name].most_connections = most
            self._sessions.pop(name, None)  # a secret that was changed meanwhile is read again
        return Part(self.store.count_due(name, due_before, max(connections, self._options.limit or 0)), connections)

    def note_aside(self) -> None:
        """Note what a round has shown beside its results."""
        self.standings.note_failed()
        for unreadable in self.store.unreadable_messages():
            self._note_fault(unreadable)

    def _note_fault(self, fault: PrxEmailError) -> None:
        """Report what is wrong with the config or a lock, each fault once in this run."""
        if fault.message not in self._faults:
            self._faults.add(fault.message)
            self.report.config_errors.append(fault)

    def conduct(
        self, over: Callable[[Conductor], bool], until: Callable[[], float] = lambda: math.inf,
        listen: tuple[int | None, Callable[[], None]] | None = None,
    ) -> None:  # fmt: skip
        """Let workers begin as the schedule asks for them until all are through and *over*; raises what broke it off.

        until: gives the time, in ticks, at which something is to be done.  listen: a descriptor, and what to call when
        it can be read.
        """
        if listen is None and self.schedule.idle:
            return
        from prx_email_cli.delivery.conductor import Conductor  # on use

        with self._wires() as wires:
            if listen is not None:
                wires.listen(*listen)
            conductor = Conductor(self, wires)
            going = True
            while going:
                try:
                    if going := self._turn(conductor, over):
                        wires.turn(until())
                except BaseException as error:
                    self.break_off(error)
                    conductor.abandon()
                    if len(self._broken) > MOST_FAULTS:  # it cannot even end
                        raise
        if self._broken:
            raise joined(self._broken)

    def _turn(self, conductor: Conductor, over: Callable[[Conductor], bool]) -> bool:
        """Do what is to be done now; False when nothing more is to be waited for."""
        conductor.take_news()
        self.schedule.at(self.clock())
        self.note_stop()
        conductor.look_back()
        ended = over(conductor)
        while (name := self.schedule.next_connection()) is not None:
            conductor.begin(self._accounts[name], self._worker(self._accounts[name]))
        if self.idle_seconds:
            conductor.let_go(one=self.schedule.starved)
        return not (ended and self.schedule.idle and conductor.idle)

    def _wires(self) -> RealWires:
        """Make the connections of this run."""
        from prx_email_cli.delivery.wires import RealWires  # on use

        return RealWires(lambda name: self.sessions(name).open(), self.ledger, self.note_stop)

    def note_stop(self) -> None:
        """Claim and begin nothing more once the run is to stop."""
        if self._stop.is_set():
            self.schedule.stop()

    def _worker(self, account: AccountRun) -> Steps[None]:
        """Make a worker of this account, which has not begun."""
        from prx_email_cli.delivery.worker import rehearse, work  # on use

        return work(account) if self._options.failure_mode is None else rehearse(self._simulated)

    def no_slot(self, account: AccountRun) -> None:
        """Note that other runs have all the connections that the account may have at once."""
        if self._on_result is None:
            self.report.left_alone[account.name] = in_use(account.name, account.most_connections)
        else:
            account.fault = ConnectionsInUse(account.name, account.most_connections)

    def ended(self, account: AccountRun) -> None:
        """Note that one of the account's workers has ended."""
        self.schedule.closed(account.name)
        if account.retired:
            self.next_due_at = 0
        if account.fault is not None and self._on_result is None:
            self._note_fault(account.fault)

    def _simulated(self, claimed: Claimed) -> Outcome:
        from prx_email_cli.delivery.rehearsal import simulated  # on use

        return simulated(self._options.failure_mode or "", claimed)

    def break_off(self, error: BaseException) -> None:
        """Stop every worker, because the outbox or the program failed."""
        self._broken.append(error)
        self.schedule.stop()
