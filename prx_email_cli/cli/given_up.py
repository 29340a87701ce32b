"""Report each given-up message once, on stderr and to the configured command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.notify import run_hook
from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.config.settings import Settings

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store


def tell_given_up(store: Store, settings: Settings, now: int, *, say_so: bool, only: int | None = None) -> None:
    """Report each given-up message that was not reported yet, or *only* this one.

    now: Unix seconds.  say_so: also on stderr.  Each is marked before it is reported, so that no two runs report it.  A
    notify command that fails is a warning.
    """
    for outbox_id in store.take_unreported(now, only):
        row = store.row(outbox_id)
        if say_so:
            say(
                f"gave up outbox message {outbox_id} ({safe(row.subject)}): {safe(row.gave_up)}: {safe(row.last_error)}"
            )
        if settings.notify.command is not None and "gave_up" in settings.notify.events:
            from prx_email_cli.cli.shown import look, message_object  # on use

            shown = message_object(Invocation(settings.file), look(store, settings, outbox_id, now))
            document = {"event": "gave_up", **shown}
            run_hook(list(settings.notify.command), json.dumps(document), f"outbox message {outbox_id}")
