"""Delete what the config's ``keep_content`` and ``keep_records`` keep no longer, after a drain."""

from typing import TYPE_CHECKING

from prx_email_cli.cli.render import safe
from prx_email_cli.config.durations import seconds_of
from prx_email_cli.errors import OutboxBusy, PrxEmailError
from prx_email_cli.outbox.views import Keeping

if TYPE_CHECKING:
    from prx_email_cli.cli.telling import Tell
    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.store import Store


def tidy(store: "Store", outbox: "OutboxSettings", now: int, tell: "Tell") -> None:
    """Delete a part of it; *tell* prints what fails, which changes nothing of what the drain did."""
    keeping = Keeping(now, _before(outbox.keep_content, now), _before(outbox.keep_records, now))
    try:
        store.tidy(keeping)
    except OutboxBusy:
        return  # the next drain does it
    except PrxEmailError as error:
        tell(f"warning: old messages could not be deleted: {safe(error.message)}")


def _before(keep: str | None, now: int) -> int | None:
    seconds = None if keep is None else seconds_of(keep)
    return None if seconds is None else now - seconds
