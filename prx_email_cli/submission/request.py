"""A request to send, as the command line and JSON give it: one declaration checks it and makes its JSON Schema.

``python -m prx_email_cli.submission.request`` prints the schema; ``make docs`` puts it into ``docs/``.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.headers import check_unicode
from prx_email_cli.outbox.lifecycle import Priority

FAILURE_MODES = ("network", "provider")


class RequestedAttachment(NamedTuple):
    """An attachment of a JSON request, unchecked: its content in base64, or its path in the attachment store."""

    filename: str | None = None
    content_type: str | None = None
    base64: str | None = None
    path: str | None = None


class Request(NamedTuple):
    """A request, unchecked.

    attachments: those of a JSON request; attach, attach_stored: the command line's options.  html_file: where body_html
    came from; images beside it are taken along.  headers: ``Name: value`` texts.  now_ts: Unix seconds that replace the
    clock in a rehearsal.  at, within, expires_in: when it is due, after how long, and how long it is good, as
    written; at may be Unix seconds.  typed: whether it comes from a command line, whose options errors then name.
    allow_empty: whether it may have no text.
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
    attachments: tuple[RequestedAttachment, ...] = ()
    attach: tuple[str, ...] = ()
    attach_stored: tuple[str, ...] = ()
    idempotency_key: str | None = None
    in_reply_to_message_id: str | None = None
    now_ts: int | None = None
    failure_mode: str | None = None
    priority: Priority | None = None
    at: str | int | None = None
    within: str | None = None
    expires_in: str | None = None
    typed: bool = False
    allow_empty: bool | None = None

    @property
    def has_times(self) -> bool:
        """Whether it says when it is due or when it expires."""
        return self.at is not None or self.within is not None or self.expires_in is not None


class Field(NamedTuple):
    """One field of a JSON object: its schema, and what reads its value, given the name that errors call it by."""

    schema: dict[str, Any]
    read: Callable[[str, Any], Any]


def read_json(text: str) -> object:
    """Parse one JSON *text*.

    Raises ValueError for what is no JSON (or has too long a number), RecursionError for what nests too deep, and
    ValidationError for an object that has a field twice: of two addresses none is more meant than the other.
    """
    # json.loads would make a decoder for each text; it alone has words for a byte order mark.
    return json.loads(text) if text.startswith("\ufeff") else _DECODER.decode(text)


def request_from_json(document: object) -> Request:
    """Check a parsed JSON object.  Raises ValidationError naming the field that is wrong or unknown."""
    if not isinstance(document, dict):
        raise ValidationError("a request must be a JSON object", hint='{"to": "a@example.com", "subject": "…", …}')
    given = _read_fields(document, FIELDS, "")
    one, several = given.pop("attachment", None), given.pop("attachments", ())
    if one is not None and several:
        raise ValidationError("a request has both attachment and attachments", hint="use one of them")
    for name, attribute in _RENAMED.items():
        if name in given:
            given[attribute] = given.pop(name)
    if "at" in given and "within" in given:
        raise ValidationError("a request has both at and in", hint="use one of them")
    return Request(**given, attachments=(one,) if one is not None else several)


def attachment_from_json(document: object) -> RequestedAttachment:
    """Check the JSON object of one attachment.  Raises ValidationError as ``request_from_json`` does."""
    if not isinstance(document, dict):
        raise ValidationError("an attachment must be an object", hint='{"filename": "a.pdf", "base64": "..."}')
    return RequestedAttachment(**_read_fields(document, ATTACHMENT_FIELDS, "attachment "))


def request_schema() -> dict[str, Any]:
    """Make the schema (draft 2020-12) of one JSON request, as ``send --request`` and ``send --batch`` take it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "prx-email request",
        "description": "One message, as prx-email send --request and each line of prx-email send --batch take it.",
        "type": "object",
        "properties": {name: field.schema for name, field in FIELDS.items()},
        "additionalProperties": False,
        "allOf": [{"not": {"required": list(pair)}} for pair in _EXCLUSIVE],
    }


def _read_fields(document: Mapping[str, Any], fields: Mapping[str, Field], owner: str) -> dict[str, Any]:
    """Read each field of *document*, of which null is as good as absent; *owner* stands before names in errors."""
    for name in document:
        if name not in fields:
            raise ValidationError(f"unknown {owner}field {name[:100]!r}", hint=f"known fields: {', '.join(fields)}")
    return {
        name: fields[name].read(owner + name, value) for name, value in document.items() if value is not None
    }  # fmt: skip


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValidationError(f"field {twice[:100]!r} is given twice", hint="an object has each field once")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_each_once, parse_constant=_no_constant)


def _read_string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValidationError(f"{name} must be a string")
    return value


def _read_text(name: str, value: Any) -> str:
    return check_unicode(_read_string(name, value), name)


def _read_key(name: str, value: Any) -> str:
    if value == "":
        raise ValidationError(f"{name} is empty", hint="leave it out, or give one")
    return _read_text(name, value)


def _read_failure_mode(name: str, value: Any) -> str:
    if _read_string(name, value) not in FAILURE_MODES:
        raise ValidationError("failure_mode must be network or provider")
    return str(value)


def _read_priority(name: str, value: Any) -> Priority:
    if _read_string(name, value) not in list(Priority):
        raise ValidationError("priority must be high, normal or bulk")
    return Priority(value)


def _read_seconds(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValidationError(f"{name} must be Unix seconds")
    return value


def _read_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValidationError(f"{name} must be true or false")
    return value


def _read_time(name: str, value: Any) -> str | int:
    if type(value) is int and value >= 0:
        return value
    if not isinstance(value, str):
        raise ValidationError(f"{name} must be an ISO 8601 time or Unix seconds")
    return check_unicode(value, name)


def _read_duration(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValidationError(f"{name} must be a duration in quotes", hint='write "90s", "15m", "2h", "1d" or "1d12h"')
    return check_unicode(value, name)


def _read_headers(name: str, value: Any) -> tuple[str, ...]:
    """Return the ``Name: value`` texts of an object, whose values may be lists, or of a list of such texts."""
    if isinstance(value, dict):
        if any(":" in header for header in value):
            raise ValidationError(f"{name}: the name of a header has no colon", hint='{"X-Job": "nightly"}')
        pairs = [(header, each if isinstance(each, list) else [each]) for header, each in value.items()]
        texts = [f"{header}: {text}" if isinstance(text, str) else None for header, each in pairs for text in each]
    else:
        texts = value if isinstance(value, list) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise ValidationError(f"{name} must be an object of strings", hint='{"X-Job": "nightly"}')
    return tuple(check_unicode(str(text), name) for text in texts)


def _read_addresses(name: str, value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise ValidationError(f"{name} must be an address or a list of addresses")
    return tuple(check_unicode(item, name) for item in values)


def _read_attachment(name: str, value: Any) -> RequestedAttachment:
    return attachment_from_json(value)


def _read_attachments(name: str, value: Any) -> tuple[RequestedAttachment, ...]:
    if not isinstance(value, list):
        raise ValidationError(f"{name} must be a list of objects")
    return tuple(map(attachment_from_json, value))


def _text_field(description: str = "") -> Field:
    return Field({"type": "string", **({"description": description} if description else {})}, _read_text)


ATTACHMENT_FIELDS = {
    "filename": _text_field(),
    "content_type": _text_field(),
    "base64": Field({"type": "string"}, _read_string),
    "path": _text_field(),
}
_ADDRESSES = Field(
    {
        "description": "an address, a comma-separated list of them, or an array",
        "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    },
    _read_addresses,
)
_ATTACHMENT = Field(
    {
        "type": "object",
        "description": "exactly one of base64 and path; path is relative to the attachment store",
        "properties": {name: field.schema for name, field in ATTACHMENT_FIELDS.items()},
        "additionalProperties": False,
        "oneOf": [{"required": ["base64"]}, {"required": ["path"]}],
    },
    _read_attachment,
)
_HEADER_VALUE = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_HEADERS = Field(
    {
        "description": 'further headers by name, or an array of "Name: value"; those that have a field are refused',
        "oneOf": [
            {"type": "object", "additionalProperties": _HEADER_VALUE},
            {"type": "array", "items": {"type": "string"}},
        ],
    },
    _read_headers,
)
_DURATION = {"type": "string", "pattern": "^([0-9]+[smhdwy])+$"}
_RENAMED = {"from": "sender", "in": "within"}
_EXCLUSIVE = ("attachment", "attachments"), ("at", "in")
FIELDS = {
    "account": _text_field("an account of the config; the default one when left out"),
    "to": _ADDRESSES,
    "cc": _ADDRESSES,
    "bcc": _ADDRESSES,
    "from": _text_field("the sender's address; the account's when left out"),
    "reply_to": _ADDRESSES,
    "subject": _text_field(),
    "body_text": _text_field("the plain text; derived from body_html when that is given alone"),
    "body_html": _text_field(),
    "allow_empty": Field({"type": "boolean", "description": "whether it may be sent without text"}, _read_flag),
    "attachment": _ATTACHMENT,
    "attachments": Field({"type": "array", "items": _ATTACHMENT.schema}, _read_attachments),
    "headers": _HEADERS,
    "at": Field(
        {
            "description": "attempt no earlier than at this ISO 8601 time, or Unix seconds; at once when left out",
            "oneOf": [{"type": "string"}, {"type": "integer", "minimum": 0}],
        },
        _read_time,
    ),
    "in": Field({**_DURATION, "description": "attempt no earlier than in 2h, for example"}, _read_duration),
    "expires_in": Field({**_DURATION, "description": "give up if not sent within 1d, for example"}, _read_duration),
    "priority": Field(
        {"enum": list(Priority), "description": "the higher class is delivered first; normal when left out"},
        _read_priority,
    ),
    "now_ts": Field(
        {"type": "integer", "minimum": 0, "description": "rehearsal: Unix seconds that replace the clock"},
        _read_seconds,
    ),
    "failure_mode": Field(
        {"enum": list(FAILURE_MODES), "description": "rehearsal: fail without touching the network"},
        _read_failure_mode,
    ),
    "idempotency_key": Field(
        {"type": "string", "minLength": 1, "description": "the same key enqueues once"}, _read_key
    ),
    "in_reply_to_message_id": _text_field("a known message that this one answers"),
}

if __name__ == "__main__":
    print(json.dumps(request_schema(), indent=2))
