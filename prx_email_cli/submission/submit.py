"""From a request to an outbox message: checked, composed, ready to be stored."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prx_email_cli.config.settings import Settings
from prx_email_cli.mail.compose import Draft, compose
from prx_email_cli.outbox.messages import NewMessage
from prx_email_cli.submission.draft import draft, limited
from prx_email_cli.submission.request import Request, recipients

if TYPE_CHECKING:
    from prx_email_cli.mail.policy import Policy


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
    drafted = draft(request, account.sender or "", due, policy_for(request, settings))
    return submission_from_draft(drafted, account.name, settings, created_at, due, expires_at, request.idempotency_key)


def submission_from_draft(
    drafted: Draft,
    account: str,
    settings: Settings,
    created_at: int,
    due_at: int,
    expires_at: int | None = None,
    idempotency_key: str | None = None,
) -> NewMessage:
    """The outbox message for a checked draft.  Its content is composed, and its attachments read, when it is stored."""
    print_of = _Fingerprint(drafted, account) if idempotency_key is not None else None
    composed = compose(print_of.watched() if print_of is not None else drafted)
    return NewMessage(
        account=account,
        sender=drafted.sender.address,
        recipients=recipients(drafted, settings.outbox.max_recipients),
        subject=drafted.subject,
        content=limited(composed.chunks, settings.attachments.policy.max_message_bytes),
        created_at=created_at,
        due_at=due_at,
        expires_at=expires_at,
        needs_smtputf8=composed.needs_smtputf8,
        may_fail=bool(drafted.attachments or drafted.inline) or len(drafted.body_text) > 1_000_000,
        idempotency_key=idempotency_key,
        fingerprint=print_of.hexdigest if print_of is not None else str,
    )


def policy_for(request: Request, settings: Settings) -> "Policy | None":
    """The attachment policy of the config, None for a request that has no use for one."""
    if not (request.attachments or request.attach or request.attach_stored or request.body_html is not None):
        return None
    return attachment_policy(settings)


def attachment_policy(settings: Settings) -> "Policy":
    """The attachment policy of the config."""
    from prx_email_cli.mail.policy import Policy

    policy, store = settings.attachments.policy, settings.attachments.store
    return Policy(
        max_size_bytes=policy.max_size_bytes,
        allowed_content_types=policy.allowed_content_types,
        max_message_bytes=policy.max_message_bytes,
        store_root=store.dir if store.enabled else None,
    )


class _Fingerprint:
    """A digest of what a message says whenever it is sent: no date, no boundaries, but every attachment's bytes."""

    def __init__(self, drafted: Draft, account: str) -> None:
        import hashlib

        self._drafted = drafted
        self._digest = hashlib.sha256()
        self._add(account)
        self._add(drafted._replace(date=0, inline=(), attachments=(), body_html=None))
        self._add([(file.filename, file.content_type) for file in (*drafted.inline, *drafted.attachments)])
        self._add(_without_content_ids(drafted))

    def watched(self) -> Draft:
        """The draft, whose attachments are taken into the digest as they are read."""
        return self._drafted._replace(
            inline=[file._replace(chunks=self._watch(file.chunks)) for file in self._drafted.inline],
            attachments=[file._replace(chunks=self._watch(file.chunks)) for file in self._drafted.attachments],
        )

    def hexdigest(self) -> str:
        """The digest, once the content has been read."""
        return self._digest.hexdigest()

    def _add(self, value: Any) -> None:
        self._digest.update(repr(value).encode("utf-8", "surrogatepass") + b"\0")

    def _watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            self._digest.update(chunk)
            size += len(chunk)
            yield chunk
        self._add(size)


def _without_content_ids(drafted: Draft) -> str | None:
    """The HTML without the random names of its images."""
    html = drafted.body_html
    for file in drafted.inline:
        html = html.replace(file.content_id or "", "") if html else html
    return html
