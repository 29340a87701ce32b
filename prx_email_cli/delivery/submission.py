"""From a request to an outbox message: checked, composed, ready to be stored."""

from prx_email_cli.config.settings import Settings
from prx_email_cli.mail.compose import compose
from prx_email_cli.mail.request import Request, draft, recipients
from prx_email_cli.outbox.model import NewMessage


def submission(
    request: Request, settings: Settings, now: int, due_at: int | None = None, expires_at: int | None = None
) -> NewMessage:
    """The outbox message for *request*.

    now, due_at, expires_at: Unix seconds; without a due time it is due at once.  The Date header says when it becomes
    due.  Raises ValidationError for what cannot be sent, ConfigError for an unknown account.
    """
    account = settings.account(request.account)
    created_at = now if request.now_ts is None else request.now_ts
    due = created_at if due_at is None else due_at
    drafted = draft(request, account.sender or "", due)
    composed = compose(drafted)
    return NewMessage(
        account=account.name,
        sender=drafted.sender.address,
        recipients=recipients(drafted),
        subject=drafted.subject,
        content=composed.chunks,
        created_at=created_at,
        due_at=due,
        expires_at=expires_at,
        needs_smtputf8=composed.needs_smtputf8,
    )
