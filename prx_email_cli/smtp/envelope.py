"""What one transaction takes, and what it gives; no outbox is known here."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from prx_email_cli.smtp.replies import Trouble


class Recipient(NamedTuple):
    """A recipient of a transaction, with the caller's number for it."""

    number: int
    address: str


class Envelope(NamedTuple):
    """A message to be sent in one transaction.

    sender: "" for the null one.  message_id: with its angle brackets; becomes the first header.  size: octets of
    *content*, which are pieces with CRLF line ends.
    """

    sender: str
    recipients: Sequence[Recipient]
    message_id: str
    size: int
    content: Iterable[bytes]
    needs_smtputf8: bool = False


class Fate(StrEnum):
    """What became of one recipient in a transaction."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"  # for good
    UNCERTAIN = "uncertain"  # accepted, the whole message written, and no answer: it may have the message


class RecipientResult(NamedTuple):
    """What became of one recipient, with the reply's code, None where there was no reply, and its text."""

    fate: Fate
    code: int | None
    text: str


class Result(NamedTuple):
    """What a transaction came to.

    recipients: results by number, of those about whom something is known.  trouble: why it was not a plain success,
    None when it was.  acceptance: the text of the positive reply to the content.  transcript: what was said, without
    secrets and content.  left_alone: the connection had ended before a word was said, so this was no attempt.
    """

    recipients: dict[int, RecipientResult]
    trouble: Trouble | None = None
    acceptance: str | None = None
    transcript: str = ""
    left_alone: bool = False
