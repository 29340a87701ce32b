"""Hold, release, cancel and resolve messages that no run has claimed, as a person decides."""

from prx_email_cli.errors import NotAllowedForStatus, NotFound, PrxEmailError
from prx_email_cli.outbox.lifecycle import RecipientStatus
from prx_email_cli.outbox.relational import sql
from prx_email_cli.outbox.relational.database import Connection


def hold(connection: Connection, outbox_id: int, now: int) -> None:
    """Keep drains from this message.  Raises NotFound, NotAllowedForStatus."""
    if not connection.execute(sql.HOLD, {"id": outbox_id, "now": now}).rowcount:
        raise _refusal(connection, outbox_id, "held")


def release(connection: Connection, outbox_id: int) -> None:
    """Let drains take this message again.  Raises NotFound, NotAllowedForStatus when it is not held."""
    if not connection.execute(sql.RELEASE, {"id": outbox_id}).rowcount:
        raise _refusal(connection, outbox_id, "released: it is not held")


def cancel(connection: Connection, outbox_id: int, now: int) -> None:
    """Give this message up.  Raises NotFound, NotAllowedForStatus."""
    if not connection.execute(sql.CANCEL, {"id": outbox_id, "now": now}).rowcount:
        raise _refusal(connection, outbox_id, "cancelled")


def dismiss(connection: Connection, outbox_id: int, now: int) -> None:
    """Note that a person has seen that this message was given up.  Raises NotFound, NotAllowedForStatus."""
    if not connection.execute(sql.DISMISS, {"id": outbox_id, "now": now}).rowcount:
        raise _refusal(connection, outbox_id, "dismissed: it is not given up")


def resolve(connection: Connection, outbox_id: int, now: int, *, sent: bool) -> None:
    """Settle the uncertain recipients, and no others, as *sent* or not.  Raises NotFound, NotAllowedForStatus."""
    if not connection.execute(sql.RESOLVE, {"id": outbox_id}).rowcount:
        raise _refusal(connection, outbox_id, "resolved: its outcome is not uncertain")
    connection.execute(sql.RESOLVE_RECIPIENTS, {"id": outbox_id, "sent": sent})
    if not sent or connection.execute(sql.RESOLVE_SENT, {"id": outbox_id, "now": now}).rowcount:
        return
    left = {status for (status,) in connection.execute(sql.STATUSES_OF_RECIPIENTS, {"id": outbox_id})}
    refused = RecipientStatus.PENDING not in left
    connection.execute(sql.RESOLVE_PARTLY_SENT, {"id": outbox_id, "now": now, "refused": refused})


def _refusal(connection: Connection, outbox_id: int, what: str) -> PrxEmailError:
    found = connection.execute(sql.STATUS_OF, (outbox_id,)).fetchone()
    if found is None:
        return NotFound("outbox record not found", hint=f"there is no {outbox_id}: prx-email list shows the ids")
    return NotAllowedForStatus(
        f"outbox message {outbox_id} is {found[0]} and cannot be {what}",
        hint=f"prx-email show {outbox_id} tells what happened to it",
    )
