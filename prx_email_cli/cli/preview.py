"""Print a composed message that is not stored, for ``--preview``."""

from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.output import put_bytes, put_json, say
from prx_email_cli.cli.render import safe

if TYPE_CHECKING:
    from prx_email_cli.outbox.messages import NewMessage


def preview(this: Invocation, message: "NewMessage") -> None:
    """Print one message, and on stderr its envelope."""
    if this.json:
        put_json(preview_object(message))
        return
    put_bytes(message.content.pieces)
    _say_envelope(message)


def preview_batch(unit: str, lines: Iterable[int], messages: "Iterable[NewMessage]") -> None:
    """Print the messages of a batch as an mbox, and on stderr the envelope of each line, or of what *unit* names."""
    from prx_email_cli.mail.mbox import as_mbox  # on use

    for line, message in zip(lines, messages, strict=True):
        put_bytes(as_mbox(message.content.pieces, message.sender, message.schedule.created_at))
        _say_envelope(message, f"{unit} {line}: ")


def preview_object(message: "NewMessage") -> dict[str, Any]:
    """Make the JSON object of a message that is not stored."""
    return {
        "account": message.account,
        "sender": message.sender,
        "recipients": [{"address": address, "kind": kind} for address, kind in message.recipients],
        "subject": message.subject,
        "next_attempt_at": message.schedule.due_at,
        "size_bytes": message.content.size_bytes,
        "base64": b64encode(b"".join(message.content.pieces)).decode(),
    }


def _say_envelope(message: "NewMessage", of: str = "") -> None:
    """Say who would send the message to whom: hidden recipients are in no header."""
    to = ", ".join(address for address, _ in message.recipients)
    say(safe(f"preview: {of}from {message.sender} to {to}; not stored; an attempt adds the Message-ID"))
