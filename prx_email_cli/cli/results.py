"""The send result and the row, as the contract names their keys."""

from dataclasses import asdict
from typing import Any

from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.views import Row

_RESULT_KEYS = ("outbox_id", "status", "retries", "provider_message_id", "next_attempt_at", "message_id")


def send_result(row: Row) -> dict[str, Any]:
    """What ``send``, ``reply`` and ``retry`` answer with."""
    return {name: getattr(row, name) for name in _RESULT_KEYS}


def row_object(row: Row, *, whole: bool = False) -> dict[str, Any]:
    """What ``list`` and, with *whole*, ``show`` answer with."""
    values = asdict(row)
    if not whole:
        del values["recipients"], values["attempts"]
    return values


def exit_status(row: Row) -> int:
    """The exit status that speaks of this message: sent or waiting, failed for now, or given up."""
    from prx_email_cli.errors import Exit

    if row.status != Status.FAILED:
        return Exit.OK
    return Exit.GAVE_UP if row.gave_up else Exit.TRY_LATER
