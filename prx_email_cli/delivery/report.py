"""What a run did, counted while it lasts."""

from dataclasses import dataclass

from prx_email_cli.delivery.standing import LeftAlone
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.lifecycle import MAX_PAUSE_SECONDS, RetryPolicy, Scope, Verdict
from prx_email_cli.outbox.messages import Finished, Recovered

CLOCK_IN_DOUBT = (
    "the clock is more than a day past the last recorded time: the next drain whose clock agrees gives up "
    "what has expired"
)


@dataclass
class AccountReport:
    """What one drain did for one account.

    error: an error code, and detail its words, of what kept the account from working; None once it works.
    """

    sent: int = 0
    failed: int = 0
    error: str | None = None
    detail: str | None = None

    def fail(self, error: str | None, detail: str | None) -> None:
        """Note why the account does not work."""
        self.error, self.detail = error, detail


class DrainReport:
    """What one drain did.

    sent_ids, deferred_ids, gave_up_ids: the messages of its attempts, and among the last what expired unsent or a
    dead run left.
    warnings: what went wrong beside the messages themselves.
    config_errors: one for each account that could not be used, for each run whose lock could not be opened, and for
    each message that is too damaged even to be given up.
    error_code: what the last failed attempt ended with.
    left_alone: the accounts with due messages that were not used.  accounts: those that were tried.
    notes: where the clock alone would have given something up, for a rehearsal.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.attempted = self.sent = self.failed = self.recovered = self.still_due = 0
        self.sent_ids: list[int] = []
        self.deferred_ids: list[int] = []
        self.gave_up_ids: list[int] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.config_errors: list[PrxEmailError] = []
        self.error_code: str | None = None
        self.left_alone: dict[str, LeftAlone] = {}
        self.accounts: dict[str, AccountReport] = {}

    @property
    def gave_up(self) -> int:
        """Count the messages that were given up."""
        return len(self.gave_up_ids)

    def record(self, finished: Finished, policy: RetryPolicy) -> None:
        """Count a finished attempt."""
        self.attempted += 1
        of = self.account(finished.claimed.account)
        if finished.verdict is Verdict.SENT:
            self.sent += 1
            of.sent, of.error, of.detail = of.sent + 1, None, None
            self.sent_ids.append(finished.claimed.outbox_id)
            return
        self.failed += 1
        of.failed += 1
        self.error_code = finished.error
        if finished.outcome.scope is Scope.ACCOUNT:
            of.fail(finished.error, finished.detail)
        if finished.verdict is Verdict.GAVE_UP:
            self.gave_up_ids.append(finished.claimed.outbox_id)
            return
        self.deferred_ids.append(finished.claimed.outbox_id)
        if _spared(finished, policy):
            self.notes.append(_why_spared(finished, policy))

    def take_recovered(self, recovered: Recovered) -> None:
        """Count what runs that died had left."""
        self.recovered += len(recovered.uncertain) + len(recovered.finished) + len(recovered.given_back)
        self.gave_up_ids += [
            one.claimed.outbox_id for one in recovered.finished if one.verdict is Verdict.GAVE_UP
        ]  # fmt: skip

    def account(self, name: str) -> AccountReport:
        """Return the report of one account, which begins with nothing done."""
        return self.accounts.setdefault(name, AccountReport())


def _spared(finished: Finished, policy: RetryPolicy) -> bool:
    """Tell whether a deferred message would be given up if its age were counted by the clock alone."""
    end = finished.claimed.first_due_at + policy.give_up_after_seconds
    return finished.verdict is Verdict.DEFERRED and finished.finished_at >= end


def _why_spared(finished: Finished, policy: RetryPolicy) -> str:
    claimed = finished.claimed
    return (
        f"outbox message {claimed.outbox_id} is over {policy.give_up_after_seconds // 3600} hours old by this clock, "
        f"and not given up: it was attempted {finished.settled.retries} times of at least "
        f"{policy.give_up_after_attempts}, and drains have been at work on it for "
        f"{claimed.drained_seconds // 3600} hours (a pause counts {MAX_PAUSE_SECONDS // 3600} at the most)"
    )
