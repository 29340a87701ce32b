"""A request to send, as the command line and JSON give it."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.text import check_unicode

FAILURE_MODES = ("network", "provider")


class Request(NamedTuple):
    """What is to be sent to whom, unchecked.

    attachments: JSON objects as the contract has them; attach, attach_stored: the command line's options.  html_file:
    where body_html came from; images beside it are taken along.  headers: ``Name: value`` texts.  now_ts: Unix seconds
    that replace the clock in a rehearsal.
    """

    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str = ""
    body_text: str = ""
    body_html: str | None = None
    html_file: str | None = None
    account: str | None = None
    sender: str | None = None
    reply_to: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    attachments: tuple[Mapping[str, Any], ...] = ()
    attach: tuple[str, ...] = ()
    attach_stored: tuple[str, ...] = ()
    idempotency_key: str | None = None
    in_reply_to_message_id: str | None = None
    now_ts: int | None = None
    failure_mode: str | None = None


_ADDRESSES = {
    "description": "an address, a comma-separated list of them, or an array",
    "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}
_ATTACHMENT = {
    "type": "object",
    "description": "exactly one of base64 and path; path is relative to the attachment store",
    "properties": {
        "filename": {"type": "string"},
        "content_type": {"type": "string"},
        "base64": {"type": "string"},
        "path": {"type": "string"},
    },
    "additionalProperties": False,
    "oneOf": [{"required": ["base64"]}, {"required": ["path"]}],
}
FIELDS: dict[str, dict[str, Any]] = {
    "account": {"type": "string", "description": "an account of the config; the default one when left out"},
    "to": _ADDRESSES,
    "cc": _ADDRESSES,
    "bcc": _ADDRESSES,
    "subject": {"type": "string"},
    "body_text": {"type": "string", "description": "the plain text; derived from body_html when that is given alone"},
    "body_html": {"type": "string"},
    "attachment": _ATTACHMENT,
    "attachments": {"type": "array", "items": _ATTACHMENT},
    "now_ts": {"type": "integer", "minimum": 0, "description": "rehearsal: Unix seconds that replace the clock"},
    "failure_mode": {"enum": list(FAILURE_MODES), "description": "rehearsal: fail without touching the network"},
    "idempotency_key": {"type": "string", "minLength": 1, "description": "the same key enqueues once"},
    "in_reply_to_message_id": {"type": "string", "description": "a known message that this one answers"},
}


def read_json(text: str) -> object:
    """What one JSON *text* says.

    Raises ValueError for what is no JSON (or has too long a number), RecursionError for what nests too deep, and
    ValidationError for an object that has a field twice: of two addresses none is more meant than the other.
    """
    return json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_constant)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValidationError(f"field {twice[:100]!r} is given twice", hint="an object has each field once")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def request_from_json(document: object) -> Request:
    """The request in a parsed JSON object.  Raises ValidationError naming the field that is wrong or unknown."""
    if not isinstance(document, dict):
        raise ValidationError("a request must be a JSON object", hint='{"to": "a@example.com", "subject": "…", …}')
    for name in document:
        if name not in FIELDS:
            raise ValidationError(f"unknown field {name[:100]!r}", hint=f"known fields: {', '.join(FIELDS)}")
    given = {name: _checked(name, value) for name, value in document.items() if value is not None}
    one, several = given.pop("attachment", None), given.pop("attachments", ())
    if one is not None and several:
        raise ValidationError("give either attachment or attachments")
    return Request(**given, attachments=(one,) if one is not None else several)


def _checked(name: str, value: Any) -> Any:
    if name in ("to", "cc", "bcc"):
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise ValidationError(f"{name} must be an address or a list of addresses")
        return tuple(check_unicode(item, name) for item in values)
    if name == "attachments":
        if not isinstance(value, list):
            raise ValidationError("attachments must be a list of objects")
        return tuple(_checked("attachment", item) for item in value)
    if name == "attachment":
        if not isinstance(value, dict):
            raise ValidationError("an attachment must be an object", hint='{"filename": "a.pdf", "base64": "..."}')
        return value
    if name == "now_ts":
        if type(value) is not int or value < 0:
            raise ValidationError("now_ts must be Unix seconds")
        return value
    if not isinstance(value, str):
        raise ValidationError(f"{name} must be a string")
    if name == "failure_mode" and value not in FAILURE_MODES:
        raise ValidationError("failure_mode must be network or provider")
    if name == "idempotency_key" and not value:
        raise ValidationError("idempotency_key is empty", hint="leave it out, or give one")
    return check_unicode(value, name)
