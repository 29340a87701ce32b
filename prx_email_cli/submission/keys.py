"""Make an idempotency key for each request of a batch from its fields, so that a second run stores only what is new."""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.addresses import delivered_to, parse_mailboxes
from prx_email_cli.submission.request import FIELDS, Request

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings

OPTION = "--key-from"
_EXAMPLE = "write 'campaign-7/{to}', for example"
_ADDRESSES = {"to": "to", "cc": "cc", "bcc": "bcc", "reply_to": "reply_to"}
_TEXTS = {
    "subject": "subject", "body_text": "body_text", "body_html": "body_html", "priority": "priority", "at": "at",
    "in": "within", "expires_in": "expires_in", "in_reply_to_message_id": "in_reply_to_message_id",
}  # fmt: skip
_USABLE = [name for name in FIELDS if name in {"account", "from", *_ADDRESSES, *_TEXTS}]


class KeyTemplate:
    """A text with fields of a request in braces; ``{{`` and ``}}`` are braces themselves.

    columns: those of a merged file, which may stand in braces too; a field of the same name comes first.
    """

    def __init__(self, text: str, settings: "Settings", columns: Sequence[str] = ()) -> None:
        """Read the template.  Raises ValidationError when it makes no key, or the same one for every request."""
        self._settings = settings
        self._parts = _parsed(text, [*_USABLE, *(name for name in columns if name not in _USABLE)])
        if not any(field for _, field in self._parts):
            raise ValidationError(
                f"{OPTION}: {text!r} names no field, so that all lines would have the same key", hint=_EXAMPLE
            )

    def keyed(self, request: Request, cells: Mapping[str, str]) -> Request:
        """Give *request* its key.  Raises ValidationError if a field is missing or its own key another.

        cells: by column.
        """
        key = "".join(text + (self._value(request, field, cells) if field else "") for text, field in self._parts)
        own = request.idempotency_key
        if own is not None and own != key:
            raise ValidationError(
                f"idempotency_key {own!r} contradicts {OPTION}, which makes {key!r}",
                hint=f"leave the line's key or {OPTION} out",
            )
        return request._replace(idempotency_key=key)

    def _value(self, request: Request, field: str, cells: Mapping[str, str]) -> str:
        if field == "account":
            return self._settings.account(request.account).name
        if field == "from":
            sender = request.sender or self._settings.account(request.account).sender or ""
            return _addresses([sender] if sender else [], field)
        if field in _ADDRESSES:
            return _addresses(getattr(request, _ADDRESSES[field]), field)
        value = getattr(request, _TEXTS[field]) if field in _TEXTS else cells[field].strip()
        if value in (None, ""):
            raise _missing(field)
        return str(value)


def _parsed(text: str, usable: Sequence[str]) -> list[tuple[str, str | None]]:
    """Divide a template into texts, each with the field behind it; None at the end.  Raises ValidationError."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValidationError(
            f"{OPTION}: {text!r}: {error}", hint=f"{_EXAMPLE}; a brace itself is written twice"
        ) from None
    for _, field, specification, conversion in parts:
        if field is None:
            continue
        if field not in usable or specification or conversion:
            whole = field + (f"!{conversion}" if conversion else "") + (f":{specification}" if specification else "")
            raise ValidationError(f"{OPTION}: unknown field {whole!r}", hint=f"known fields: {', '.join(usable)}")
    return [(literal, field) for literal, field, _, _ in parts]


def _addresses(texts: Sequence[str], field: str) -> str:
    """Write the addresses without their names, so that a corrected name makes no other key."""
    found = [delivered_to(mailbox.address) for mailbox in parse_mailboxes(texts, field)]
    if not found:
        raise _missing(field)
    return ",".join(found)


def _missing(field: str) -> ValidationError:
    return ValidationError(
        f"no {field}, which {OPTION} needs", hint=f"give the line this field, or leave it out of {OPTION}"
    )
