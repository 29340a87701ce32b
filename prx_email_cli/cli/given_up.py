"""Report each given-up message once, on stderr and to the configured command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.notify import run_hook
from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.config.settings import Settings
from prx_email_cli.errors import NotFound, StorageError, ValidationError

if TYPE_CHECKING:
    from prx_email_cli.cli.telling import Tell, Voices
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Row


def tell_given_up(
    store: Store, settings: Settings, now: int, voices: Voices | None = None, *, only: int | None = None
) -> None:
    """Report each given-up message that was not reported yet, or *only* this one.

    now: Unix seconds.  voices: tell of it on stderr; of automatic messages once a day for each cause, or cron's mail
    about one would be the next.  Each is marked before it is reported, so that no two runs report it.  The notify
    command is told of all; one that fails is a warning.
    """
    for outbox_id in store.take_unreported(now, only):
        row = store.row(outbox_id)
        tell = say if voices is None else _voice(store, row, voices)
        if voices is not None:
            others = "" if tell is say else "; today prx-email status alone tells of others like it"
            what = f"{safe(row.gave_up)}: {safe(row.last_error)}{others}"
            tell(f"gave up outbox message {outbox_id} ({safe(row.subject)}): {what}")
        if settings.notify.command is not None and "gave_up" in settings.notify.events:
            from prx_email_cli.cli.shown import look, message_object  # on use

            shown = message_object(Invocation(settings.file), look(store, settings, outbox_id, now))
            document = {"event": "gave_up", **shown}
            run_hook(list(settings.notify.command), json.dumps(document), f"outbox message {outbox_id}", tell)


def _voice(store: Store, row: Row, voices: Voices) -> Tell:
    """Return what prints lines about this message."""
    if not _is_automatic(store, row):
        return say
    code = [(one.code, one.enhanced) for one in row.attempts[-1:]]
    return voices.on_automatic(f"gave up {row.account} {row.gave_up} {row.error_code} {code}")


def _is_automatic(store: Store, row: Row) -> bool:
    """Tell whether the message is automatic; False where its content is gone."""
    from prx_email_cli.cli.starter import CRONS  # on use
    from prx_email_cli.mail.automatic import is_automatic  # on use
    from prx_email_cli.mail.raw_head import split_head  # on use

    by = row.particulars.caller if row.particulars is not None else None
    if by is not None and by.command.rpartition("called by ")[2] in CRONS:
        return True  # not every cron says so in a header
    try:
        exported = store.exported(row.outbox_id)
        fields, _ = split_head(iter(exported.content))
    except (NotFound, StorageError, ValidationError):
        return False
    return is_automatic(exported.sender, fields)
