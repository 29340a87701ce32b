"""Warn that messages are due and nothing drains."""

from contextlib import suppress
from typing import TYPE_CHECKING

from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.errors import StorageError

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store


def warn_undrained(this: Invocation, store: "Store", now: int) -> None:
    """Say on stderr, once a day, since when a message is due, when a drain ended last, and what starts drains."""
    with suppress(StorageError):  # of what is no part of the work
        due_at = store.take_undrained(now)
        if due_at is None:
            return
        from prx_email_cli.checks.backlog import shown_age  # on use

        drained_at, last = store.last_drain_at(), "no drain has ended here yet"
        if drained_at is not None:
            last = f"the last drain ended {shown_age(now - drained_at)} ago"
        say(f"warning: a message has been due for {shown_age(now - due_at)}, and {last}")
        say(f"hint: {safe(this.command('cron'))} prints the line that lets cron start drains")
