"""``--failure-mode``: attempts that fail on purpose, without touching the network."""

from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus
from prx_email_cli.outbox.messages import Claimed
from prx_email_cli.smtp.replies import Category

FAILURE_MODES = {
    "network": (Category.NETWORK, "simulated network timeout"),
    "provider": (Category.PROVIDER, "simulated provider rejection"),
}


def simulated(failure_mode: str, claimed: Claimed) -> Outcome:
    """Make the outcome of a rehearsed failure, which is temporary."""
    category, text = FAILURE_MODES[failure_mode]
    results = {target.number: RecipientResult(RecipientStatus.PENDING, None, text) for target in claimed.targets}
    return Outcome(results, error=category.value, detail=text)
