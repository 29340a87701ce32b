"""Read a stored message as its next attempt would send it."""

import hashlib
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from prx_email_cli.errors import NotFound, OutboxDamaged
from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.lifecycle import Status, message_id_for_attempt
from prx_email_cli.outbox.messages import Exported

if TYPE_CHECKING:
    from prx_email_cli.outbox.relational.database import Database

_READ_BYTES = 256 * 1024
_MESSAGE = """
SELECT status, retries, coalesce(claimed_as, message_id), uncertain, sender, created_at, pruned_at, size_bytes,
       content_digest, own_message_id
  FROM outbox WHERE id = ?
"""
_PART = "SELECT substr(data, ?, ?) FROM content WHERE id = ?"


def exported(store: "Database", outbox_id: int, domain: str) -> Exported:
    """Return one message as it would be sent.  Raises NotFound, also for deleted content, and OutboxDamaged.

    The content is read once to verify it, and again by who takes it: however large, little of it is held.
    """
    with store.reading() as connection:
        found = connection.execute(_MESSAGE, (outbox_id,)).fetchone()
    if found is None:
        raise NotFound("outbox record not found", hint=f"there is no {outbox_id}: prx-email list shows the ids")
    status, retries, latest, uncertain, sender, created_at, pruned_at, size, digest, own = found
    if pruned_at is not None:
        raise NotFound(f"the content of outbox message {outbox_id} was pruned", hint="show tells what is left of it")
    if status not in (Status.SENDING, Status.SENT) or latest is None:
        latest = own or message_id_for_attempt(outbox_id, retries, domain, latest, bool(uncertain))
    content = _Content(store, outbox_id)
    seen, length = hashlib.sha256(), 0
    for part in content:
        seen.update(part)
        length += len(part)
    if length != size or digest not in (None, seen.hexdigest()):
        raise OutboxDamaged(
            f"the content of outbox message {outbox_id} is not what was stored", hint="prx-email doctor checks the rest"
        )
    return Exported(outbox_id, latest, sender, created_at, content, has_it=own is not None)


class _Content:
    """A message's content, from its beginning each time."""

    def __init__(self, store: "Database", outbox_id: int) -> None:
        self._store, self._first = store, outbox_id * PIECES_PER_MESSAGE

    def __iter__(self) -> Iterator[bytes]:
        for place in range(self._first, self._first + PIECES_PER_MESSAGE):
            for start in count(1, _READ_BYTES):
                with self._store.reading() as connection:
                    found = connection.execute(_PART, (start, _READ_BYTES, place)).fetchone()
                if found is None:
                    return
                if found[0]:
                    yield found[0]
                if len(found[0]) < _READ_BYTES:
                    break
