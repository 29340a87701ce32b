"""Turn a claimed message and the outcome of its attempt into a finished attempt, by the rules of ``lifecycle``."""

from prx_email_cli.outbox.lifecycle import (
    Outcome,
    RecipientResult,
    RetryPolicy,
    Standing,
    after_attempt,
)
from prx_email_cli.outbox.messages import Claimed, Finished, Moment, Target
from prx_email_cli.outbox.texts import storable_outcome


def finish(claimed: Claimed, outcome: Outcome, policy: RetryPolicy, moment: Moment) -> Finished:
    """The attempt on *claimed* that came to *outcome*, with what the rules make of it."""
    outcome = storable_outcome(outcome)
    recipients = _recipients_after(claimed, outcome)
    standing = Standing(
        retries=claimed.retries,
        next_attempt_at=claimed.next_attempt_at,
        expires_at=claimed.expires_at,
        uncertain=any(recipient.uncertain for recipient in recipients),
        recipients=[recipient.status for recipient in recipients],
        drained_seconds=claimed.drained_seconds,
        clock_in_doubt=moment.clock_in_doubt,
    )
    return Finished(claimed, outcome, after_attempt(standing, outcome, policy, moment.now), moment.now)


def _recipients_after(claimed: Claimed, outcome: Outcome) -> list[Target]:
    """Return all recipients as they are after the attempt; an uncertain one stays so until it is accepted."""
    return [_after(target, outcome.recipients.get(target.number)) for target in (*claimed.targets, *claimed.others)]


def _after(target: Target, result: RecipientResult | None) -> Target:
    if result is None:
        return target
    return target._replace(status=result.status, uncertain=result.leaves_uncertain(target.uncertain))
