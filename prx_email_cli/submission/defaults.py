"""Complete requests by what the command line says for all of them."""

from collections.abc import Callable, Iterable
from typing import Any

from prx_email_cli.mail.addresses import parse_mailbox, parse_mailboxes
from prx_email_cli.submission.draft import further_header
from prx_email_cli.submission.request import Request

# A default is taken where a request says none of the group's fields; what belongs together comes from one of the two.
_GROUPS = (
    ("account",), ("sender",), ("reply_to",), ("cc",), ("bcc",), ("subject",), ("priority",), ("expires_in",),
    ("at", "within"), ("body_text", "body_html", "html_file"), ("attachments", "attach", "attach_stored"),
    ("now_ts",), ("failure_mode",), ("allow_empty",),
)  # fmt: skip
_NOTHING = (None, "", ())


def check_defaults(defaults: Request) -> None:
    """Check what would be wrong with every request.  Raises ValidationError."""
    if defaults.sender is not None:
        parse_mailbox(defaults.sender, "from")
    for texts, what in ((defaults.reply_to, "reply-to"), (defaults.cc, "cc"), (defaults.bcc, "bcc")):
        parse_mailboxes(texts, what)
    for text in defaults.headers:
        further_header(text, typed=defaults.typed)


def completion(defaults: Request) -> Callable[[Request], Request] | None:
    """Make the function that completes a request by *defaults*; None when they say nothing.

    A header is added unless the request has one of its name.
    """
    groups = [group for group in _GROUPS if any(getattr(defaults, name) not in _NOTHING for name in group)]
    if not groups and not defaults.headers:
        return None

    def complete(request: Request) -> Request:
        changed: dict[str, Any] = {}
        for group in groups:
            if all(getattr(request, name) in _NOTHING for name in group):
                changed |= {name: getattr(defaults, name) for name in group}
        if defaults.headers:
            own = _names(request.headers)
            more = [text for text in defaults.headers if _names([text]).isdisjoint(own)]
            changed["headers"] = (*request.headers, *more)
        return request._replace(**changed)

    return complete


def _names(headers: Iterable[str]) -> set[str]:
    return {text.partition(":")[0].strip().lower() for text in headers}
