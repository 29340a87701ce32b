"""Turn the config into what the rules of the outbox take: the retry policy, an account's limits."""

from typing import NamedTuple

from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.config.settings import Account
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import Limit


def retry_policy(settings: OutboxSettings) -> RetryPolicy:
    """Make the retry policy from ``[outbox]``."""
    return RetryPolicy(
        base_seconds=settings.base_backoff_seconds,
        give_up_after_seconds=settings.give_up_after_hours * 3600,
        give_up_after_attempts=settings.give_up_after_attempts,
        hold_uncertain=settings.on_uncertain == "hold",
    )


class RetryOptions(NamedTuple):
    """How messages are attempted that a person chose.

    force: even if not due or held.  failure_mode: rehearse, see ``rehearsal``.  wakes: end the rests of their accounts.
    many: use as many connections as their accounts have, instead of one.
    """

    force: bool = False
    failure_mode: str | None = None
    wakes: bool = False
    many: bool = False


PLAIN_RETRY = RetryOptions()


def limits_of(account: Account) -> tuple[Limit, ...]:
    """Make the account's limits from its config."""
    smtp = account.smtp
    limits = (
        (smtp.messages_per_minute, 60, False), (smtp.messages_per_day, 86_400, False),
        (smtp.recipients_per_day, 86_400, True),
    )  # fmt: skip
    return tuple(Limit(most, seconds, of_recipients) for most, seconds, of_recipients in limits if most is not None)
