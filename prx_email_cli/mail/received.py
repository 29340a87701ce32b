"""Messages of others as far as a reply needs them."""

import re
from collections.abc import Callable
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import bracketed
from prx_email_cli.mail.lenient import address_text, head_and_body, header_fields, header_text
from prx_email_cli.mail.readable import CONTENT_HEADERS, text_of

MAX_ID_CHARACTERS = 900  # with "In-Reply-To: " still below the 998 octets of a line (RFC 5322 section 2.1.1)
MAX_FIELD_CHARACTERS = 256 * 1024

_ID = re.compile(rf"[!-;=?-~]{{1,{MAX_ID_CHARACTERS - 2}}}")
_ID_OF_OURS = re.compile(r"no-message-id-[0-9a-f]{24}")
_WANTED = CONTENT_HEADERS | {
    b"message-id", b"in-reply-to", b"references", b"from", b"reply-to", b"to", b"cc", b"subject", b"date",
}  # fmt: skip


class KnownMessage(NamedTuple):
    """A message that can be answered.

    message_id: with its angle brackets, or without them an id of ours for a message that has none; in_reply_to,
    reference_ids: ids of the first kind, separated by spaces.  sender, reply_to, recipients, copies, subject, date: the
    headers From, Reply-To, To, Cc, Subject and Date, unfolded, without control characters, encoded words still encoded
    (structure is read before words are decoded).  "" for what is missing.
    """

    message_id: str
    in_reply_to: str
    reference_ids: str
    sender: str
    reply_to: str
    recipients: str
    copies: str
    subject: str
    date: str
    text: str

    @property
    def has_message_id(self) -> bool:
        """Whether others know it by its id too, so that an answer may name it."""
        return self.message_id.startswith("<")


def known_message(data: bytes, message_id: str | None = None) -> KnownMessage:
    """The message in *data*, of which the beginning is enough.

    message_id: instead of the one inside.  Raises ValidationError when nothing is in it, and nothing else.
    """
    if not data.strip():
        raise ValidationError("it is empty")
    head, body = head_and_body(data)
    fields = header_fields(head, _WANTED)
    if not fields and not body:  # a single "Word: and what follows" is a field by its form alone
        body = head
    return KnownMessage(
        message_id=message_id or normal_id(_text(fields, b"message-id")) or _id_of_ours(data),
        in_reply_to=" ".join(ids_in(_text(fields, b"in-reply-to"))),
        reference_ids=" ".join(ids_in(_text(fields, b"references"))),
        sender=_text(fields, b"from", address_text),
        reply_to=_text(fields, b"reply-to", address_text),
        recipients=_text(fields, b"to", address_text),
        copies=_text(fields, b"cc", address_text),
        subject=_text(fields, b"subject"),
        date=_text(fields, b"date"),
        text=text_of(fields, body),
    )


def ids_in(text: str) -> list[str]:
    """The Message-IDs in a header's value, each with its angle brackets; what is none is left out."""
    inner = ("".join(found.split()) for found in bracketed(text))
    return [f"<{bare}>" for bare in inner if _ID.fullmatch(bare)]


def normal_id(text: str) -> str | None:
    """The first Message-ID in *text*, its brackets added where they are missing; None when there is none."""
    bare = text.strip()
    return next(iter(ids_in(text)), None) or (f"<{bare}>" if _ID.fullmatch(bare) else None)


def known_id(text: str) -> str | None:
    """The id of a known message as a person gives it, None for what can be none."""
    bare = text.strip()
    return bare if _ID_OF_OURS.fullmatch(bare) else normal_id(bare)


def _id_of_ours(data: bytes) -> str:
    """An id for a message without one: the same however it is kept, in an mbox or alone, with LF or CRLF."""
    import hashlib

    content = data.replace(b"\r\n", b"\n").strip()
    return f"no-message-id-{hashlib.sha256(content).hexdigest()[:24]}"


def _text(fields: dict[bytes, bytes], name: bytes, read: Callable[[bytes], str] = header_text) -> str:
    value = fields.get(name)
    return "" if value is None else read(value[:MAX_FIELD_CHARACTERS])
