"""A request to send, as the command line and JSON give it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.addresses import parse_mailbox, parse_mailboxes, without_repeats
from prx_email_cli.mail.compose import EMPTY, Draft
from prx_email_cli.mail.text import check_header_text


class Request(NamedTuple):
    """What is to be sent to whom, unchecked.  now_ts: Unix seconds that replace the clock in a rehearsal."""

    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str = ""
    body_text: str = ""
    account: str | None = None
    sender: str | None = None
    reply_to: tuple[str, ...] = ()
    now_ts: int | None = None
    failure_mode: str | None = None


_IN_JSON = ("account", "to", "cc", "bcc", "subject", "body_text", "now_ts", "failure_mode")


def request_from_json(document: object) -> Request:
    """The request in a parsed JSON object.  Raises ValidationError naming the field that is wrong or unknown."""
    if not isinstance(document, dict):
        raise ValidationError("a request must be a JSON object", hint='{"to": "a@example.com", "subject": "…", …}')
    for name in document:
        if name not in _IN_JSON:
            raise ValidationError(f"unknown field {name!r}", hint=f"known fields: {', '.join(_IN_JSON)}")
    request = Request(**{name: _checked(name, value) for name, value in document.items() if value is not None})
    if request.failure_mode not in (None, "network", "provider"):
        raise ValidationError("failure_mode must be network or provider")
    return request


def _checked(name: str, value: Any) -> Any:
    if name in ("to", "cc", "bcc"):
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise ValidationError(f"{name} must be an address or a list of addresses")
        return tuple(values)
    if name == "now_ts":
        if type(value) is not int or value < 0:
            raise ValidationError("now_ts must be Unix seconds")
        return value
    if not isinstance(value, str):
        raise ValidationError(f"{name} must be a string")
    return value


def draft(request: Request, default_sender: str, date: int) -> Draft:
    """The checked draft of *request*.  date: Unix seconds for its Date header.  Raises ValidationError."""
    to = without_repeats(parse_mailboxes(request.to, "to"))
    subject = check_header_text(request.subject, "subject")
    if not to or not subject or not request.body_text.strip():
        raise ValidationError(EMPTY, hint="give --to, --subject and --body (or --body-file, or text on stdin)")
    return Draft(
        sender=parse_mailbox(request.sender or default_sender, "from"),
        to=to,
        cc=without_repeats(parse_mailboxes(request.cc, "cc")),
        bcc=without_repeats(parse_mailboxes(request.bcc, "bcc")),
        reply_to=parse_mailboxes(request.reply_to, "reply-to"),
        subject=subject,
        body_text=request.body_text,
        date=date,
    )


def recipients(draft: Draft) -> list[tuple[str, str]]:
    """(address, kind) of everybody who gets *draft*, each address once, under the first kind that names it."""
    kinds: Mapping[str, list[Any]] = {"to": draft.to, "cc": draft.cc, "bcc": draft.bcc}
    seen: dict[str, str] = {}
    for kind, mailboxes in kinds.items():
        for mailbox in mailboxes:
            seen.setdefault(mailbox.address, kind)
    return list(seen.items())
