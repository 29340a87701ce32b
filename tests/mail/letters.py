"""Messages composed the way `send` composes them."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any

from prx_email_cli.config.settings import Settings, check_settings
from prx_email_cli.mail.reply_headers import Reply
from prx_email_cli.outbox.messages import Content, NewMessage, Schedule
from prx_email_cli.submission.request import Request
from prx_email_cli.submission.spool import Spool
from prx_email_cli.submission.submit import prepare

NOW = 1_700_000_000
SETTINGS = check_settings(
    {"accounts": {"work": {"from": "Ops <ops@example.com>", "smtp": {"host": "smtp.example.com"}}}},
    Path("/nowhere/config.toml"),
)


def composed(**fields: Any) -> NewMessage:
    """What goes into the outbox for a request with these fields.  Raises ValidationError."""
    values: dict[str, Any] = {"to": ("a@example.org",), "subject": "hello", "body_text": "text\n", **fields}
    return prepared(Request(**values))


def prepared(request: Request, settings: Settings = SETTINGS, now: int = NOW, reply: Reply | None = None) -> NewMessage:
    """The same for any request, its content in memory."""
    with Spool() as spool:
        message = prepare(request, settings, Schedule.at_once(now), spool, reply)
        return message._replace(content=Content.of(b"".join(message.content.pieces)))


def content_of(**fields: Any) -> bytes:
    return b"".join(composed(**fields).content.pieces)


def read(content: bytes) -> EmailMessage:
    message = BytesParser(policy=default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    return message


def payload(message: EmailMessage) -> bytes:
    """The octets of its body, once the transfer encoding is undone."""
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content
