"""The values that a transaction takes and returns; the outbox is unknown here."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from prx_email_cli.smtp.replies import Trouble
from prx_email_cli.smtp.transcript import Dialogue


class Recipient(NamedTuple):
    """A recipient of a transaction; number: the caller's, and the key of its result."""

    number: int
    address: str


class Envelope(NamedTuple):
    """A message for one transaction.

    sender: "" for the null reverse-path (RFC 5321 section 4.5.5).  message_id: with angle brackets; sent as the first
    header, before the content; "" if the content has one.  size: bytes of the content.  content: its pieces, with CRLF
    line ends.  needs_smtputf8: an address is not ASCII (RFC 6531).  eight_bit: the content is not ASCII (RFC 6152).
    notify, returns, envelope_id: of a delivery status notification (RFC 3461), said where the server offers DSN.
    """

    sender: str
    recipients: Sequence[Recipient]
    message_id: str
    size: int
    content: Iterable[bytes]
    needs_smtputf8: bool = False
    eight_bit: bool = False
    notify: str | None = None
    returns: str | None = None
    envelope_id: str | None = None


class Fate(StrEnum):
    """What became of one recipient in a transaction."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"  # for good
    UNCERTAIN = "uncertain"  # its RCPT was accepted, but the answer to the whole message was lost


class RecipientResult(NamedTuple):
    """What became of one recipient.

    code: the reply's, None without a reply.  text: the reply, or why there was none.
    """

    fate: Fate
    code: int | None
    text: str


class Result(NamedTuple):
    """What a transaction came to.

    recipients: results by the recipient's number; none for one about which nothing is known.  trouble: why it was not
    a plain success, None when it was.  acceptance: the text of the positive reply to the content, None without one.
    transcript: the dialogue, without content; only ``str`` of it is without secrets.  left_alone: this was no attempt,
    and nothing in the result counts: the connection had ended before the first command or, if the envelope left with
    the content of another message, before the content.
    """

    recipients: dict[int, RecipientResult]
    trouble: Trouble | None = None
    acceptance: str | None = None
    transcript: Dialogue = Dialogue()
    left_alone: bool = False
