"""Make a request an outbox message, composed and fingerprinted, and store it."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prx_email_cli.config.settings import Settings
from prx_email_cli.mail.compose import Draft, compose
from prx_email_cli.outbox.hashing import sha256
from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.outbox.messages import NewMessage, Schedule, Submitted
from prx_email_cli.submission.draft import draft, policy_for, recipients
from prx_email_cli.submission.request import Request
from prx_email_cli.submission.spool import Spool, limited

if TYPE_CHECKING:
    from prx_email_cli.mail.reply_headers import Reply
    from prx_email_cli.outbox.store import Store


def prepare(
    request: Request, settings: Settings, schedule: Schedule, spool: Spool, reply: "Reply | None" = None
) -> NewMessage:
    """Compose *request*; its content is in *spool* and needs it open.

    reply: the headers that thread an answer.  The Date header says when the message is due.  Raises ValidationError for
    what cannot be sent, ConfigError for an unknown account, StorageError when the content cannot be held.
    """
    account = settings.account(request.account)
    drafted = draft(request, account.sender or "", schedule.due_at, policy_for(request, settings))
    if reply is not None:
        drafted = drafted._replace(in_reply_to=reply.in_reply_to, references=reply.references)
    key = request.idempotency_key
    fingerprint = _Fingerprint(drafted, account.name) if key is not None else None
    composed = compose(fingerprint.watched() if fingerprint is not None else drafted)
    addressed = recipients(drafted, settings.outbox.max_recipients)
    return NewMessage(
        account=account.name,
        sender=drafted.sender.address,
        recipients=addressed,
        subject=drafted.subject,
        content=spool.hold(limited(composed.chunks, settings.attachments.policy.max_message_bytes)),
        schedule=schedule,
        needs_smtputf8=composed.needs_smtputf8,
        idempotency_key=key,
        fingerprint=fingerprint.hexdigest() if fingerprint is not None else "",
        priority=request.priority or Priority.NORMAL,
    )


def submit(store: "Store", message: NewMessage) -> Submitted:
    """Store one message, or find the earlier one with its idempotency key.  Raises ValidationError, StorageError."""
    (submitted,) = store.submit([message])
    if submitted.error is not None:
        raise submitted.error
    return submitted


class _Fingerprint:
    """The digest of a request's words and attachments, without date and boundaries: equal for equal requests."""

    def __init__(self, drafted: Draft, account: str) -> None:
        self._drafted = drafted
        self._digest = sha256()
        self._add(account)
        self._add(drafted._replace(date=0, inline=(), attachments=(), body_html=None))
        self._add([(file.filename, file.content_type) for file in (*drafted.inline, *drafted.attachments)])
        self._add(_without_content_ids(drafted))

    def watched(self) -> Draft:
        """Return the draft, whose attachments are added to the digest as they are read."""
        return self._drafted._replace(
            inline=[file._replace(chunks=self._watch(file.chunks)) for file in self._drafted.inline],
            attachments=[file._replace(chunks=self._watch(file.chunks)) for file in self._drafted.attachments],
        )

    def hexdigest(self) -> str:
        """Return the digest, once the content has been read."""
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
    """Return the HTML without the random names of its images."""
    html = drafted.body_html
    for file in drafted.inline:
        html = html.replace(file.content_id or "", "") if html else html
    return html
