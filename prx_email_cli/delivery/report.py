"""What a run did, counted while it lasts."""

from prx_email_cli.delivery.standing import LeftAlone
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.lifecycle import MAX_PAUSE_SECONDS, RetryPolicy, Verdict
from prx_email_cli.outbox.messages import Finished

CLOCK_IN_DOUBT = (
    "the clock is more than a day past the last recorded time: the next drain whose clock agrees gives up "
    "what has expired"
)


class DrainReport:
    """What one drain did.

    gave_up counts also what expired unsent.  warnings: what went wrong beside the messages themselves.
    config_errors: one for each account that could not be used, for each run whose lock could not be opened, and for
    each message that is too damaged even to be given up.
    error_code: what the last failed attempt ended with.
    left_alone: the accounts with due messages that were not used.
    notes: where the clock alone would have given something up, for a rehearsal.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.attempted = self.sent = self.failed = self.gave_up = self.recovered = self.still_due = 0
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.config_errors: list[PrxEmailError] = []
        self.error_code: str | None = None
        self.left_alone: dict[str, LeftAlone] = {}

    def record(self, finished: Finished, policy: RetryPolicy) -> None:
        """Count a finished attempt."""
        self.attempted += 1
        if finished.verdict is Verdict.SENT:
            self.sent += 1
        else:
            self.failed += 1
            self.error_code = finished.error
        if finished.verdict is Verdict.GAVE_UP:
            self.gave_up += 1
        elif _spared(finished, policy):
            self.notes.append(_why_spared(finished, policy))


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
