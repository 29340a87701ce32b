"""One message, now: what ``retry`` and ``send --now`` do."""

import time
from collections.abc import Callable

from prx_email_cli.config.settings import Settings
from prx_email_cli.delivery.attempt import finish, limits_of, outcome_without_session, retry_policy, simulated
from prx_email_cli.errors import LockUnreadable, NotAllowedForStatus
from prx_email_cli.outbox.lifecycle import Outcome, Status
from prx_email_cli.outbox.messages import Claimed, ClaimOne, Finished
from prx_email_cli.outbox.sqlite.runs import Run, Runs
from prx_email_cli.outbox.store import Store


class Retry:
    """One run that attempts chosen messages, one after the other."""

    def __init__(self, store: Store, settings: Settings, run: Run, clock: Callable[[], int]) -> None:
        self._store, self._settings, self._run_id, self._clock = store, settings, run.run_id, clock
        self._policy = retry_policy(settings.outbox)
        self._unreadable: list[LockUnreadable] = []

    def recover(self, runs: Runs) -> list[LockUnreadable]:
        """Recover what dead runs left, so that none of it is out of a person's reach; why some of it still is.

        Raises RestoredBackup, having changed nothing.
        """
        self._store.refuse_restored()
        self._store.recover(runs.is_dead, self._policy, self._clock())
        self._unreadable = list(runs.unreadable.values())
        return self._unreadable

    def attempt(self, outbox_id: int, *, force: bool = False, failure_mode: str | None = None) -> Finished:
        """Attempt this message once.

        Raises NotFound, NotAllowedForStatus, RetryNotDue and LimitUsedUp before anything is opened, LockUnreadable when
        nobody can tell whether another run is at it, ConfigError for the account's config, and ClaimLost when the
        result could no longer be recorded.
        """
        account_name = self._account_of(ClaimOne(outbox_id, self._clock(), force))
        if failure_mode is not None:
            claimed = self._store.claim(self._run_id, ClaimOne(outbox_id, self._clock(), force))
            return self._settle(claimed, simulated(failure_mode, claimed))
        from prx_email_cli.delivery.account import deliver_one, deliver_or_leave
        from prx_email_cli.smtp.credentials import login_of
        from prx_email_cli.smtp.failure import SessionFailed
        from prx_email_cli.smtp.session import SessionFactory

        account = self._settings.account(account_name)
        limits = limits_of(account)
        self._store.check_claim(ClaimOne(outbox_id, self._clock(), force, limits))
        sessions = SessionFactory(account, login_of(account))
        try:
            session = sessions.open()
        except SessionFailed as failure:
            claimed = self._store.claim(self._run_id, ClaimOne(outbox_id, self._clock(), force, limits))
            return self._settle(claimed, outcome_without_session(failure))
        try:
            claimed = self._store.claim(self._run_id, ClaimOne(outbox_id, self._clock(), force, limits))
            started = time.monotonic()
            outcome = deliver_or_leave(session, claimed, self._store)
            if outcome is None:
                session.close()
                try:
                    session = sessions.open()
                except SessionFailed as failure:
                    return self._settle(claimed, outcome_without_session(failure))
                outcome = deliver_one(session, claimed, self._store)
            took = round((time.monotonic() - started) * 1000)
            finished = self._settle(claimed, outcome, milliseconds=took, connection=1)
            if session.interrupted:  # what is known of the message is on record: now it may end
                raise KeyboardInterrupt
            return finished
        finally:
            session.close()

    def _account_of(self, wish: ClaimOne) -> str:
        try:
            return self._store.check_claim(wish)
        except NotAllowedForStatus:
            if self._unreadable and self._store.row(wish.outbox_id).status == Status.SENDING:
                raise self._unreadable[0] from None
            raise

    def _settle(self, claimed: Claimed, outcome: Outcome, *, milliseconds: int = 0, connection: int = 0) -> Finished:
        finished = finish(
            claimed, outcome, self._policy, self._clock(), milliseconds=milliseconds, connection=connection
        )
        self._store.finalize(self._run_id, finished)
        return finished
