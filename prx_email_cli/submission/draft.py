"""Check a request and make a draft of it: parse addresses, check headers, open attachments under the policy."""

from pathlib import Path
from typing import TYPE_CHECKING

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.addresses import delivered_to, parse_mailbox, parse_mailboxes, without_repeats
from prx_email_cli.mail.compose import EMPTY, Draft
from prx_email_cli.mail.headers import LONGEST_NAME, check_header_text
from prx_email_cli.outbox.lifecycle import RecipientKind
from prx_email_cli.outbox.messages import Addressee
from prx_email_cli.submission.request import Request, RequestedAttachment

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.mail.attachments import Policy
    from prx_email_cli.mail.mime import Attachment

EXACTLY_ONE = "attachment requires exactly one of base64 or path"
_OWN = "this program sets it"
_FORBIDDEN_HEADERS = {
    **dict.fromkeys(("from", "to", "cc", "subject", "reply-to"), "it has an option or a field of its own"),
    "bcc": "it would show the hidden recipients; use --bcc or the field bcc",
    **dict.fromkeys(("date", "message-id", "mime-version", "in-reply-to", "references"), _OWN),
    **dict.fromkeys(("received", "return-path", "delivered-to"), "mail servers write it to find loops"),
    **dict.fromkeys(("sender", "dkim-signature", "arc-seal"), "providers refuse or rewrite it"),
}


def draft(request: Request, default_sender: str, date: int, policy: "Policy | None") -> Draft:
    """Check *request* and make a draft of it.

    date: Unix seconds for its Date header.  policy: for attachments and images; may be None when there are neither.
    Raises ValidationError.
    """
    to = without_repeats(parse_mailboxes(request.to, "to"))
    subject = check_header_text(request.subject, "subject")
    body_text, body_html, inline = _bodies(request, policy)
    if not to or not subject or not (body_text.strip() or request.allow_empty):
        raise empty(request, to=bool(to), subject=bool(subject), text=bool(body_text.strip()))
    return Draft(
        sender=parse_mailbox(request.sender or default_sender, "from"),
        to=to,
        cc=without_repeats(parse_mailboxes(request.cc, "cc")),
        bcc=without_repeats(parse_mailboxes(request.bcc, "bcc")),
        reply_to=without_repeats(parse_mailboxes(request.reply_to, "reply-to")),
        subject=subject,
        body_text=body_text,
        date=date,
        body_html=body_html,
        inline=inline,
        attachments=attachments(request, policy),
        headers=[further_header(text, typed=request.typed) for text in request.headers],
    )


def recipients(drafted: Draft, most: int) -> list[Addressee]:
    """Everybody who gets *drafted*, each address once, under the first kind that names it.

    Raises ValidationError for more than *most*.
    """
    seen: dict[str, Addressee] = {}
    for kind, mailboxes in zip(RecipientKind, (drafted.to, drafted.cc, drafted.bcc), strict=True):
        for mailbox in mailboxes:
            seen.setdefault(delivered_to(mailbox.address), Addressee(mailbox.address, kind))
    if len(seen) > most:
        raise ValidationError(
            f"the message has {len(seen)} recipients, more than {most}",
            hint="send it in parts, or raise max_recipients in [outbox]",
        )
    return list(seen.values())


def policy_for(request: Request, settings: "Settings") -> "Policy | None":
    """Return the attachment policy of the config; None for a request without attachments or HTML."""
    if not (request.attachments or request.attach or request.attach_stored or request.body_html is not None):
        return None
    from prx_email_cli.mail.attachments import Policy  # on use

    policy, store = settings.attachments.policy, settings.attachments.store
    return Policy(
        max_size_bytes=policy.max_size_bytes,
        allowed_content_types=policy.allowed_content_types,
        max_message_bytes=policy.max_message_bytes,
        store_root=store.dir if store.enabled else None,
    )


def empty(request: Request, *, to: bool = True, subject: bool = True, text: bool = True) -> ValidationError:
    """Make the error for a message without recipient, subject or text: for each, whether *request* has it."""
    missing = [name for name, there in (("to", to), ("subject", subject)) if not there]
    if request.typed:
        parts = [f"no --{name}" for name in missing]
        parts += [] if text or request.allow_empty else ["no text: give --body, --body-file or stdin, or --allow-empty"]
    else:
        parts = [f"no {name}" for name in missing]
        parts += [] if text or request.allow_empty else ["no body_text: give one, or allow_empty"]
    return ValidationError(EMPTY, hint=", ".join(parts))


def attachments(request: Request, policy: "Policy | None") -> "list[Attachment]":
    """Open the attachments of *request*, to be read later.  Raises ValidationError."""
    if policy is None or not (request.attachments or request.attach or request.attach_stored):
        return []
    from prx_email_cli.mail.attachments import (  # on use
        attachment_from_file,
        attachment_from_store,
        split_attach_option,
    )

    return [
        *(attachment_from_file(*split_attach_option(option), policy) for option in request.attach),
        *(attachment_from_store(path, None, None, policy) for path in request.attach_stored),
        *(open_requested(attachment, policy) for attachment in request.attachments),
    ]


def open_requested(asked: RequestedAttachment, policy: "Policy") -> "Attachment":
    """Open an attachment of a JSON request.  Raises ValidationError."""
    from prx_email_cli.mail.attachments import attachment_from_base64, attachment_from_store  # on use

    if asked.base64 is not None and asked.path is None:
        return attachment_from_base64(asked.filename, asked.content_type, asked.base64, policy)
    if asked.path is not None and asked.base64 is None:
        return attachment_from_store(asked.path, asked.filename, asked.content_type, policy)
    raise ValidationError(EXACTLY_ONE, hint="base64 holds the content itself, path names a file of the store")


def further_header(text: str, *, typed: bool) -> tuple[str, str]:
    """Name and value of a ``Name: value`` text.  Raises ValidationError for one that may not be set.

    typed: whether it is an option of a command line and not in a request.
    """
    what = "--header" if typed else "headers"
    name, colon, value = text.partition(":")
    name = name.strip()
    if not colon or not name or not all(c.isascii() and (c.isalnum() or c == "-") for c in name):
        raise ValidationError(f"{what}: not a header: {text!r}", hint='write "X-Name: value"')
    if len(name) > LONGEST_NAME:
        raise ValidationError(f"{what}: a name of {len(name)} characters is too long for a line", hint="shorten it")
    lowered = name.lower()
    reason = _FORBIDDEN_HEADERS.get(lowered) or (
        "this program makes the MIME structure" if lowered.startswith("content-") else
        "it is for messages that are sent on" if lowered.startswith("resent-") else None
    )  # fmt: skip
    if reason:
        raise ValidationError(f"{what}: {name} may not be set: {reason}")
    value = check_header_text(value, name)
    if not value:
        raise ValidationError(f"{what}: {name} is empty")
    return name, value


def _bodies(request: Request, policy: "Policy | None") -> "tuple[str, str | None, list[Attachment]]":
    """Return the plain text, the HTML and the images that it shows."""
    if request.body_html is None or policy is None:
        return request.body_text, None, []
    from prx_email_cli.mail.html import html_body, plain_text  # on use

    directory = Path(request.html_file).parent if request.html_file not in (None, "-") else None
    body = html_body(request.body_html, directory, policy)
    text = request.body_text if request.body_text.strip() else plain_text(body.html)
    return text, body.html, body.inline
