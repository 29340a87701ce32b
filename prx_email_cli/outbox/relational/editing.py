"""Correct stored messages: envelope, headers and digests together, each message in one transaction."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from prx_email_cli.errors import NotAllowedForStatus, NotFound, OutboxDamaged, PrxEmailError, StorageError
from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.decisions import Decided
from prx_email_cli.outbox.digest import envelope_digest
from prx_email_cli.outbox.editing import Edit, Editable, Edited, check_editable, edited
from prx_email_cli.outbox.lifecycle import RecipientStatus, Status
from prx_email_cli.outbox.relational import actions
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import Connection, Database
from prx_email_cli.outbox.relational.slices import in_slices

PREPARED_AT_ONCE = 100  # messages, whose heads are in memory

_MESSAGE = """
SELECT account, status, uncertain, sender, next_attempt_at, expires_at, size_bytes, content_digest, envelope_digest,
       esmtp IS NOT NULL, pruned_at IS NOT NULL, anonymised_at IS NOT NULL
  FROM outbox WHERE id = ?
"""
_RECIPIENTS = "SELECT number, address, status FROM recipient WHERE outbox_id = ? ORDER BY number"
_PIECE = "SELECT data FROM content WHERE id = ?"

_EDIT = """
-- pending|failed stay, corrected: if nobody has changed the message since it was read; gave_up stays
UPDATE outbox
   SET account = :account, sender = :sender, needs_smtputf8 = :smtputf8, size_bytes = :size,
       content_digest = :digest, envelope_digest = :envelope, next_attempt_at = :due, expires_at = :expires,
       first_due_at = CASE WHEN :moved THEN :due ELSE first_due_at END,
       drained_from = CASE WHEN :moved THEN NULL ELSE drained_from END,
       by_account = CASE WHEN account = :account THEN by_account ELSE FALSE END
 WHERE id = :id AND status IN ('pending', 'failed') AND NOT uncertain AND pruned_at IS NULL
   AND coalesce(content_digest, '') = :digest_before AND coalesce(envelope_digest, '') = :envelope_before
"""

# pending|refused -> pending: a recipient with another address, who has not received the message.
_READDRESS = """
UPDATE recipient SET address = :address, status = 'pending', code = NULL, response = NULL
 WHERE outbox_id = :id AND number = :number AND status <> 'accepted'
"""

# Replaces the first piece of a message's content.
_REPLACE_HEAD = "UPDATE content SET data = ? WHERE id = ?"


class _Prepared(NamedTuple):
    """A correction that is worked out.  values: for the statements.  head: the first piece, None if it stays."""

    before: Editable
    after: Edited
    values: dict[str, Any]
    head: bytes | None


def edit(database: Database, ids: Sequence[int], change: Edit, who: str) -> Iterator[list[Decided]]:
    """Correct these messages; yield what became of some of them once that is durable.

    Contents are read and their digests computed before the transactions, so that these are short.
    """
    for at in range(0, len(ids), PREPARED_AT_ONCE):
        prepared: dict[int, _Prepared | PrxEmailError] = {}
        some = ids[at : at + PREPARED_AT_ONCE]
        for outbox_id in some:
            try:
                prepared[outbox_id] = _prepare(database, outbox_id, change)
            except PrxEmailError as error:
                if isinstance(error, StorageError) and not isinstance(error, OutboxDamaged):
                    raise
                prepared[outbox_id] = error

        def act(connection: Connection, outbox_id: int, found: dict[int, Any] = prepared) -> None:
            one = found[outbox_id]
            if isinstance(one, PrxEmailError):
                raise one
            _store(connection, one, Deed("edited", change.now, who, one.after.said))

        yield from in_slices(database, some, act, None)


def _prepare(database: Database, outbox_id: int, change: Edit) -> _Prepared:
    """Work the correction of one message out.  Raises NotFound, NotAllowedForStatus, ValidationError, OutboxDamaged."""
    with database.reading() as connection:
        found = connection.execute(_MESSAGE, (outbox_id,)).fetchone()
        if found is None:
            raise NotFound("outbox record not found", hint=f"there is no {outbox_id}: prx-email list shows the ids")
        recipients = connection.execute(_RECIPIENTS, (outbox_id,)).fetchall()
        head = connection.execute(_PIECE, (outbox_id * PIECES_PER_MESSAGE,)).fetchone()
    (account, status, uncertain, sender, due_at, expires_at, size, digest_before, envelope_before, raw, pruned,
     anonymised) = found  # fmt: skip
    gone = "its addresses are gone" if anonymised else "its content is gone" if pruned else None
    before = Editable(
        outbox_id, account, Status(status), bool(uncertain), sender,
        [(address, RecipientStatus(standing)) for _, address, standing in recipients],
        head[0] if head else b"", bool(raw), due_at, expires_at, gone,
    )  # fmt: skip
    check_editable(before)
    after = edited(before, change)
    digests = hashlib.sha256(before.content), hashlib.sha256(after.content)
    length = len(before.content)
    for piece in _rest(database, outbox_id):
        length += len(piece)
        for one in digests:
            one.update(piece)
    if length != size or digest_before not in (None, digests[0].hexdigest()):
        raise OutboxDamaged(
            f"the content of outbox message {outbox_id} is not what was stored", hint="prx-email doctor checks the rest"
        )
    numbered = [(number, after.recipients.get(place, address))
                for place, (number, address, _) in enumerate(recipients)]  # fmt: skip
    digest = digests[1].hexdigest()
    values = {
        "id": outbox_id, "account": after.account, "sender": after.sender, "smtputf8": after.needs_smtputf8,
        "size": size - len(before.content) + len(after.content), "digest": digest, "due": after.due_at,
        "expires": after.expires_at, "moved": change.due_at is not None, "digest_before": digest_before or "",
        "envelope": envelope_digest(outbox_id, after.sender, numbered, digest),
        "envelope_before": envelope_before or "",
        "addresses": {recipients[place][0]: address for place, address in after.recipients.items()},
    }  # fmt: skip
    return _Prepared(before, after, values, None if after.content == before.content else after.content)


def _rest(database: Database, outbox_id: int) -> Iterator[bytes]:
    """Yield the pieces of a message's content after the first one."""
    for place in range(outbox_id * PIECES_PER_MESSAGE + 1, (outbox_id + 1) * PIECES_PER_MESSAGE):
        with database.reading() as connection:
            found = connection.execute(_PIECE, (place,)).fetchone()
        if found is None:
            return
        yield found[0]


def _store(connection: Connection, one: _Prepared, deed: Deed) -> None:
    """Store a correction.  Raises NotAllowedForStatus, having changed nothing, if the message is another by now."""
    outbox_id, account = one.before.outbox_id, one.before.account
    values = {name: value for name, value in one.values.items() if name != "addresses"}
    if not connection.execute(_EDIT, values).rowcount:
        raise NotAllowedForStatus(
            f"outbox message {outbox_id} changed meanwhile and was not edited",
            hint=f"prx-email show {outbox_id} tells what happened to it",
        )
    for number, address in one.values["addresses"].items():
        connection.execute(_READDRESS, {"id": outbox_id, "number": number, "address": address})
    if one.head is not None:
        connection.execute(_REPLACE_HEAD, (one.head, outbox_id * PIECES_PER_MESSAGE))
    if one.after.account != account:
        connection.count_elsewhere(account, one.after.account)
    actions.record(connection, [outbox_id], deed)
