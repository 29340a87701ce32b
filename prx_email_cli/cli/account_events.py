"""Tell a person once when an account stops working, daily while it does not, and once when it works again."""

import json
from typing import TYPE_CHECKING

from prx_email_cli.cli.notify import run_hook
from prx_email_cli.cli.output import say
from prx_email_cli.cli.standing import standing_object, told_of

if TYPE_CHECKING:
    from prx_email_cli.cli.telling import Voices
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.accounts import AccountState, Event
    from prx_email_cli.outbox.store import Store

MOST_A_DAY = 4


def tell_accounts(
    store: "Store", settings: "Settings", now: int, events: "list[tuple[Event, AccountState]]", voices: "Voices | None"
) -> None:
    """Tell of these *events*, which are marked as told.

    voices: on stderr, beside the notify command, and not as often as a server fails and works again: mail about that
    may be what it fails at next.
    """
    accounts = store.stats(now).accounts
    for event, state in events:
        counts = accounts.get(state.account, {})
        waiting = sum(counts.get(status, 0) for status in ("pending", "sending", "failed"))
        text = told_of(event, state, waiting)
        tell = say if voices is None else voices.on(f"{event} {state.account}", MOST_A_DAY)
        if voices is not None:
            tell(text)
        if settings.notify.command is not None and event.value in settings.notify.events:
            document = {"event": event.value, **standing_object(state, now), "waiting": waiting, "message": text}
            run_hook(list(settings.notify.command), json.dumps(document), f"account {state.account}", tell)
