"""From a draft to the bytes that will be on the wire, but for the Message-ID, which each attempt adds."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.addresses import Mailbox
from prx_email_cli.mail.body import encode_text
from prx_email_cli.mail.headers import address_header, text_header

EMPTY = "to/subject/body_text cannot be empty"
_HEADER_BLOCK = re.compile(r"(?:[A-Za-z-]+:(?: [^\r\n]+\r\n)+)+")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Draft(NamedTuple):
    """What a person or script wants to say to whom; addresses and header texts are already checked.

    date: Unix seconds, for the Date header.
    """

    sender: Mailbox
    to: list[Mailbox]
    subject: str
    body_text: str
    date: int
    cc: list[Mailbox]
    bcc: list[Mailbox]
    reply_to: list[Mailbox]


class Composed(NamedTuple):
    """A message ready for the outbox.  ``content`` has CRLF line ends and neither Message-ID nor Bcc."""

    content: bytes
    needs_smtputf8: bool

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces."""
        yield self.content


def compose(draft: Draft) -> Composed:
    """The message of *draft*.  Raises ValidationError when its text is no valid Unicode."""
    encoding, body = encode_text(_encodable(draft.body_text))
    headers = [
        f"Date: {rfc5322_date(draft.date)}\r\n",
        address_header("From", [draft.sender]),
        address_header("To", draft.to),
        address_header("Cc", draft.cc) if draft.cc else "",
        address_header("Reply-To", draft.reply_to) if draft.reply_to else "",
        text_header("Subject", draft.subject),
        'MIME-Version: 1.0\r\nContent-Type: text/plain; charset="utf-8"\r\n',
        f"Content-Transfer-Encoding: {encoding}\r\n",
    ]
    block = _checked(headers)
    everyone = [draft.sender, *draft.to, *draft.cc, *draft.bcc, *draft.reply_to]
    return Composed(block.encode() + b"\r\n" + body, not all(mailbox.address.isascii() for mailbox in everyone))


def rfc5322_date(now: int) -> str:
    """*now* (Unix seconds) as RFC 5322 section 3.3 writes it, in UTC and in English whatever the locale."""
    t = datetime.fromtimestamp(now, UTC)
    return f"{_DAYS[t.weekday()]}, {t.day:02d} {_MONTHS[t.month - 1]} {t.year:04d} {t:%H:%M:%S} +0000"


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError(
            "the body is not valid Unicode text", hint="convert it to UTF-8, with iconv for example"
        ) from None
    return text


def _checked(headers: list[str]) -> str:
    """The joined header block; a second look, so that no value can ever become a header of its own."""
    block = "".join(headers)
    lines = sum(not line.startswith(" ") for line in block.split("\r\n")[:-1])
    expected = sum(bool(header) for header in headers) + 1
    if lines != expected or not _HEADER_BLOCK.fullmatch(block):
        raise ValidationError(
            "the headers could not be encoded safely", hint="remove unusual characters from names and subject"
        )
    return block
