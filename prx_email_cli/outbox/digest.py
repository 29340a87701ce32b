"""Compute the digests of a message's content and envelope, so that nothing but what was submitted is sent."""

from prx_email_cli.outbox.hashing import content_digest, envelope_digest
from prx_email_cli.outbox.messages import Claimed, NewMessage

__all__ = ["content_digest", "envelope_as_submitted", "envelope_digest", "has_its_envelope"]


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
