"""Digests of what was submitted, so that nothing else is ever sent: of the content, and of who gets it from whom."""

import hashlib
from collections.abc import Iterable

from prx_email_cli.outbox.messages import Claimed


def content_digest(content: bytes) -> str:
    """SHA-256 of a message's content as it is stored, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def envelope_digest(outbox_id: int, sender: str, recipients: Iterable[tuple[int, str]], content: str) -> str:
    """SHA-256 over whose message this is and whom it goes to, in hexadecimal digits.

    recipients: number and address of each, in order.  content: its ``content_digest``, so that neither row nor content
    can stand in for another's.
    """
    parts = [str(outbox_id), sender, content]
    for number, address in recipients:
        parts += str(number), address
    # Each part with its length, or two different lists could read alike; a damaged row may hold any bytes.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def has_its_envelope(claimed: Claimed) -> bool:
    """Whether sender and recipients are those that were submitted; True for a message older than this check."""
    if claimed.envelope_digest is None:
        return claimed.content_digest is None  # the two are stored together
    recipients = sorted((target.number, target.address) for target in (*claimed.targets, *claimed.others))
    content = claimed.content_digest or ""
    return claimed.envelope_digest == envelope_digest(claimed.outbox_id, claimed.sender, recipients, content)
