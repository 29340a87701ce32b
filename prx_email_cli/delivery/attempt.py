"""From a claimed message to a finished attempt, by whatever way the attempt went."""

from collections.abc import Sequence

from prx_email_cli.config.settings import OutboxSettings
from prx_email_cli.delivery.outcome import NETWORK, PROVIDER
from prx_email_cli.outbox.lifecycle import (
    Outcome,
    RecipientResult,
    RecipientStatus,
    RetryPolicy,
    Standing,
    after_attempt,
)
from prx_email_cli.outbox.model import Claimed, Finished

FAILURE_MODES = {
    "network": (NETWORK, "simulated network timeout"),
    "provider": (PROVIDER, "simulated provider rejection"),
}


def retry_policy(settings: OutboxSettings) -> RetryPolicy:
    """The rules' numbers, from ``[outbox]``."""
    return RetryPolicy(
        settings.base_backoff_seconds, settings.give_up_after_hours * 3600, settings.on_uncertain == "hold"
    )


def finish(
    claimed: Claimed, outcome: Outcome, policy: RetryPolicy, now: int, *, milliseconds: int = 0, connection: int = 0
) -> Finished:
    """The attempt on *claimed* that came to *outcome*, with what the rules make of it."""
    standing = Standing(
        retries=claimed.retries,
        next_attempt_at=claimed.next_attempt_at,
        first_due_at=claimed.first_due_at,
        expires_at=claimed.expires_at,
        uncertain=claimed.uncertain,
        recipients=_recipients_after(claimed, outcome),
    )
    return Finished(claimed, outcome, after_attempt(standing, outcome, policy, now), now, milliseconds, connection)


def simulated(failure_mode: str, claimed: Claimed) -> Outcome:
    """A rehearsed failure: temporary, and without touching the network."""
    category, text = FAILURE_MODES[failure_mode]
    results = {target.number: RecipientResult(RecipientStatus.PENDING, None, text) for target in claimed.targets}
    return Outcome(results, error=category, detail=text)


def _recipients_after(claimed: Claimed, outcome: Outcome) -> Sequence[RecipientStatus]:
    tried = [
        outcome.recipients[target.number].status if target.number in outcome.recipients else target.status
        for target in claimed.targets
    ]
    return [*tried, *claimed.others]
