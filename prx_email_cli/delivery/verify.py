"""Verify a stored message before it is sent: the envelope before MAIL, the content before the final dot."""

import hashlib
from collections.abc import Iterable, Iterator

from prx_email_cli.errors import OutboxDamaged
from prx_email_cli.outbox.digest import content_digest, has_its_envelope
from prx_email_cli.outbox.lifecycle import Outcome
from prx_email_cli.outbox.messages import Claimed

STORAGE = OutboxDamaged.code
CONTENT = "its content"
_NOT_SENT = "it was damaged in the outbox, and not sent"


def damage_of(claimed: Claimed) -> Outcome | None:
    """Return the outcome of a message whose damage shows before MAIL; None for a sound one."""
    if claimed.head is None:
        return damaged_outcome("its content or recipients, which cannot be read")
    if not has_its_envelope(claimed):
        return damaged_outcome("its sender or recipients")
    whole = len(claimed.head) == claimed.size_bytes
    if whole and claimed.content_digest not in (None, content_digest(claimed.head)):
        return damaged_outcome(CONTENT)
    return None


def damaged_outcome(what: str, dialogue: str = "") -> Outcome:
    """The outcome that gives a message up, for *what* of it is damaged."""
    return Outcome({}, error=STORAGE, detail=f"{_NOT_SENT}: {what}", dialogue=dialogue, damaged=True)


def verified(claimed: Claimed, rest: Iterable[bytes]) -> Iterator[bytes]:
    """*rest*, the content after its head.  Raises OutboxDamaged at its end unless both are what was submitted."""
    digest = hashlib.sha256(claimed.head or b"")
    for piece in rest:
        digest.update(piece)
        yield piece
    if claimed.content_digest not in (None, digest.hexdigest()):
        raise OutboxDamaged(CONTENT)
