"""Compute the digests of a message's content and envelope, so that nothing but what was submitted is sent."""

import hashlib
from collections.abc import Iterable

from prx_email_cli.outbox.messages import Claimed, NewMessage


def content_digest(content: bytes) -> str:
    """Compute the SHA-256 of a message's stored content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def envelope_digest(outbox_id: int, sender: str, recipients: Iterable[tuple[int, str]], content: str) -> str:
    """Compute the SHA-256 of a message's envelope, in hexadecimal digits.

    recipients: number and address of each, in order.  content: the ``content_digest``, so that neither row nor content
    can be exchanged for another's.
    """
    parts = [str(outbox_id), sender, content]
    for number, address in recipients:
        parts += str(number), address
    # Each part with its length, else two different lists could give the same text; a damaged row may hold any bytes.
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def envelope_as_submitted(outbox_id: int, message: NewMessage) -> str:
    """Compute the ``envelope_digest`` of a new message."""
    addresses = enumerate(address for address, _ in message.recipients)
    return envelope_digest(outbox_id, message.sender, addresses, message.content.digest)


def has_its_envelope(claimed: Claimed) -> bool:
    """Tell whether sender and recipients are as submitted; True for a message older than this check."""
    if claimed.envelope_digest is None:
        return claimed.content_digest is None  # the two are stored together
    recipients = sorted((target.number, target.address) for target in (*claimed.targets, *claimed.others))
    content = claimed.content_digest or ""
    return claimed.envelope_digest == envelope_digest(claimed.outbox_id, claimed.sender, recipients, content)
