"""Compose a draft into the bytes that will be on the wire, without the Message-ID, which each attempt adds."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.headers import address_header, further_header, text_header, words_header
from prx_email_cli.mail.mime import Attachment, Part, attachment_leaf, group, headers_and_content, text_leaf

EMPTY = "to/subject/body_text cannot be empty"
_LINE = r" [^\r\n]*[^ \t\r\n][^\r\n]*\r\n"  # never of spaces alone, RFC 5322 section 3.2.2
_HEADER_BLOCK = re.compile(rf"(?:[A-Za-z0-9-]+:(?:\r\n)?(?:{_LINE})+)+")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Draft(NamedTuple):
    """A message to be composed; addresses and header texts are already checked.

    date: Unix seconds, for the Date header.  body_html: with body_text as its plain alternative.  inline: images that
    the HTML shows.  in_reply_to, references: Message-IDs with their angle brackets.  headers: further (name, value)
    pairs.
    """

    sender: Mailbox
    to: list[Mailbox]
    subject: str
    body_text: str
    date: int
    cc: list[Mailbox]
    bcc: list[Mailbox]
    reply_to: list[Mailbox]
    body_html: str | None = None
    inline: Sequence[Attachment] = ()
    attachments: Sequence[Attachment] = ()
    in_reply_to: str | None = None
    references: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()


class Composed(NamedTuple):
    """A message ready for the outbox.

    chunks: its content in pieces, readable once, with CRLF line ends and neither Message-ID nor Bcc; reading them reads
    the attachments, and may raise what their reading raises.
    """

    chunks: Iterator[bytes]
    needs_smtputf8: bool


def compose(draft: Draft) -> Composed:
    """Compose *draft*.  Raises ValidationError when its text is no valid Unicode."""
    body_headers, content = headers_and_content(_body(draft))
    headers = [
        f"Date: {rfc5322_date(draft.date)}\r\n",
        address_header("From", [draft.sender]),
        address_header("To", draft.to),
        address_header("Cc", draft.cc) if draft.cc else "",
        address_header("Reply-To", draft.reply_to) if draft.reply_to else "",
        f"In-Reply-To: {draft.in_reply_to}\r\n" if draft.in_reply_to else "",
        words_header("References", draft.references) if draft.references else "",
        text_header("Subject", draft.subject),
        *(further_header(name, value) for name, value in draft.headers),
        "MIME-Version: 1.0\r\n",
    ]
    block = checked_headers(headers) + body_headers + "\r\n"
    everyone = [draft.sender, *draft.to, *draft.cc, *draft.bcc, *draft.reply_to]
    return Composed(chain((block.encode(),), content), not all(mailbox.address.isascii() for mailbox in everyone))


def _body(draft: Draft) -> Part:
    """Build mixed(alternative(plain, related(html, images)), attachments); a level with one child is left out."""
    texts: list[Part] = [text_leaf(_encodable(draft.body_text))]
    if draft.body_html is not None:
        html: list[Part] = [text_leaf(_encodable(draft.body_html), "html")]
        texts.append(group("related", [*html, *map(attachment_leaf, draft.inline)]))
    return group("mixed", [group("alternative", texts), *map(attachment_leaf, draft.attachments)])


@lru_cache(maxsize=16)  # the messages of a batch are made within the same seconds
def rfc5322_date(now: int) -> str:
    """Write *now* (Unix seconds) as in RFC 5322 section 3.3, in UTC, and in English whatever the locale."""
    try:
        t = datetime.fromtimestamp(now, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValidationError(
            f"{now} is not a time of this calendar", hint="give Unix time in seconds, not in milliseconds"
        ) from None
    return f"{_DAYS[t.weekday()]}, {t.day:02d} {_MONTHS[t.month - 1]} {t.year:04d} {t:%H:%M:%S} +0000"


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError(
            "the body is not valid Unicode text", hint="convert it to UTF-8, with iconv for example"
        ) from None
    return text


def checked_headers(headers: list[str]) -> str:
    """Join the headers, and check again that no value could become a header of its own.  Raises ValidationError."""
    block = "".join(headers)
    lines = block.count("\r\n") - block.count("\r\n ")  # but for those that continue a header
    if lines != len(list(filter(None, headers))) or not _HEADER_BLOCK.fullmatch(block):
        raise ValidationError(
            "the headers could not be encoded safely", hint="remove unusual characters from names and subject"
        )
    return block
