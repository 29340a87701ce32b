"""Messages composed the way `send` composes them."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any

from prx_email_cli.config.settings import check_settings
from prx_email_cli.outbox.messages import NewMessage
from prx_email_cli.submission.request import Request
from prx_email_cli.submission.submit import submission

NOW = 1_700_000_000
SETTINGS = check_settings(
    {"accounts": {"work": {"from": "Ops <ops@example.com>", "smtp": {"host": "smtp.example.com"}}}},
    Path("/nowhere/config.toml"),
)


def composed(**fields: Any) -> NewMessage:
    """What goes into the outbox for a request with these fields.  Raises ValidationError."""
    values: dict[str, Any] = {"to": ("a@example.org",), "subject": "hello", "body_text": "text\n", **fields}
    return submission(Request(**values), SETTINGS, NOW)


def content_of(**fields: Any) -> bytes:
    return b"".join(composed(**fields).content)


def read(content: bytes) -> EmailMessage:
    message = BytesParser(policy=default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    return message


def payload(message: EmailMessage) -> bytes:
    """The octets of its body, once the transfer encoding is undone."""
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content
