"""The drain: deliver what is due, over several connections per account, each message claimed late and alone."""

import threading
from collections.abc import Callable
from typing import NamedTuple

from prx_email_cli.config.settings import Settings
from prx_email_cli.delivery.attempt import retry_policy
from prx_email_cli.errors import (
    ConfigError,
    LockUnreadable,
    MessageUnreadable,
    ReadableByOthers,
    ResultNotRecorded,
)
from prx_email_cli.outbox.lifecycle import MAX_PAUSE_SECONDS, Verdict
from prx_email_cli.outbox.messages import Finished
from prx_email_cli.outbox.sqlite.runs import Run, Runs
from prx_email_cli.outbox.store import Store


class DrainOptions(NamedTuple):
    """What one drain was asked for.  limit: at most so many attempts.  failure_mode: rehearse, see ``attempt``."""

    account: str | None = None
    limit: int | None = None
    connections: int | None = None
    failure_mode: str | None = None


class DrainReport:
    """What one drain did.

    gave_up counts also what expired unsent.  warnings: what went wrong beside the messages themselves.
    config_errors: one for each account that could not be used, for each run whose lock could not be opened, and for
    each message that is too damaged even to be given up.
    error_code: what the last failed attempt ended with.
    notes: where the clock alone would have given something up, for a rehearsal.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.attempted = self.sent = self.failed = self.gave_up = self.recovered = self.still_due = 0
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.config_errors: list[ConfigError | ReadableByOthers | LockUnreadable | MessageUnreadable] = []
        self.error_code: str | None = None


class Drain:
    """One run over everything that is due when it starts.

    clock: gives Unix seconds.  stop: once set, messages on the wire are finished and none is claimed.  on_finished:
    told of every attempt, from the thread that made it.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        run: Run,
        options: DrainOptions,
        clock: Callable[[], int],
        *,
        stop: threading.Event,
        on_finished: Callable[[Finished], None] = lambda finished: None,
    ) -> None:
        self.store, self.settings, self.run_id, self.options = store, settings, run.run_id, options
        self.clock, self.stop = clock, stop
        self.policy = retry_policy(settings.outbox)
        self.due_before = clock()  # what becomes due, or is deferred, while this run lasts is the next one's
        self.clock_in_doubt = False
        self.report = DrainReport(run.run_id)
        self._on_finished = on_finished
        self._lock = threading.Lock()
        self._slots = options.limit
        self._broken: list[BaseException] = []

    def deliver(self, runs: Runs) -> DrainReport:
        """Recover what dead runs left, deliver, and tell.

        Raises StorageError when the outbox fails, RestoredBackup before anything is changed.
        """
        self.store.refuse_restored()
        self.report.recovered = len(self.store.recover(runs.is_dead, self.policy, self.due_before))
        self.report.config_errors += runs.unreadable.values()
        runs.clear_dead()
        self.clock_in_doubt = self.store.begin_drain(self.due_before).clock_in_doubt
        if self.clock_in_doubt:
            self.report.notes.append(
                "the clock is more than a day past the last recorded moment: what has expired is given up by the next "
                "drain that agrees"
            )
        else:
            self.report.gave_up += len(self.store.expire(self.due_before))
        names = self._accounts()
        threads = [threading.Thread(target=self._guarded, args=(name,), name=f"drain {name}") for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._broken:
            raise self._broken[0] if len(self._broken) == 1 else self._all_broken()
        self.report.config_errors += self.store.unreadable()
        self.report.still_due = sum(self.store.count_due(name, self.due_before) for name in names)
        return self.report

    def take_slot(self) -> bool:
        """Whether one more message may be claimed; with a limit, this uses one up."""
        with self._lock:
            if self.stop.is_set() or self._slots == 0:
                return False
            if self._slots is not None:
                self._slots -= 1
            return True

    def give_slot_back(self) -> None:
        """The claim found nothing."""
        with self._lock:
            if self._slots is not None:
                self._slots += 1

    def record(self, finished: Finished) -> None:
        """Count a finished attempt and tell whoever listens."""
        with self._lock:
            self.report.attempted += 1
            if finished.verdict is Verdict.SENT:
                self.report.sent += 1
            else:
                self.report.failed += 1
                self.report.error_code = finished.error
            if finished.verdict is Verdict.GAVE_UP:
                self.report.gave_up += 1
            elif self._spared(finished):
                self.report.notes.append(self._why_spared(finished))
        self._on_finished(finished)

    def warn(self, text: str) -> None:
        """Note something that a person should hear of but that changes no message."""
        with self._lock:
            self.report.warnings.append(text)

    def break_off(self, error: BaseException) -> None:
        """The outbox itself failed, or the program did: everybody stops."""
        with self._lock:
            self._broken.append(error)
        self.stop.set()

    def guarded(self, work: Callable[[], None]) -> None:
        """Run *work* in a thread of its own without losing its error."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is told to whoever waits
            self.break_off(error)

    def _spared(self, finished: Finished) -> bool:
        """Whether the clock alone would have given the message up."""
        end = finished.claimed.first_due_at + self.policy.give_up_after_seconds
        return finished.verdict is Verdict.DEFERRED and finished.finished_at >= end

    def _why_spared(self, finished: Finished) -> str:
        policy, claimed = self.policy, finished.claimed
        return (
            f"outbox message {claimed.outbox_id} is over {policy.give_up_after_seconds // 3600} hours old by this clock"
            f", and not given up: it was attempted {finished.settled.retries} times of at least"
            f" {policy.give_up_after_attempts}, and drains have been at work on it for"
            f" {claimed.drained_seconds // 3600} hours (a pause counts {MAX_PAUSE_SECONDS // 3600} at the most)"
        )

    def _all_broken(self) -> BaseException:
        """The first error that stopped the run, with all that is known of results that could not be recorded."""
        lost = [error for error in self._broken if isinstance(error, ResultNotRecorded)]
        if not lost:
            return self._broken[0]
        return ResultNotRecorded("; ".join(error.message for error in lost), hint=lost[0].hint)

    def _accounts(self) -> list[str]:
        due = self.store.accounts_due(self.due_before)
        if self.options.account is None:
            return due
        wanted = self.settings.account(self.options.account).name
        return [name for name in due if name == wanted]

    def _guarded(self, name: str) -> None:
        self.guarded(lambda: self._deliver_account(name))

    def _deliver_account(self, name: str) -> None:
        from prx_email_cli.delivery.account import AccountDrain, Rehearsal

        try:
            if self.options.failure_mode is not None:
                Rehearsal(self, name).deliver()
            else:
                AccountDrain(self, self.settings.account(name)).deliver()
        except (ConfigError, ReadableByOthers) as error:
            with self._lock:
                self.report.config_errors.append(error)
