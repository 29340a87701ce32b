"""What a client is answered when its message is stored, or why it is not."""

import re

from prx_email_cli.errors import ConfigError, OutboxBusy, PrxEmailError, StorageError, ValidationError

LATER = "451 4.3.0 the message cannot be stored now; try again later"
_UNPRINTABLE = re.compile(r"[^ -~]")
_MOST = 400  # RFC 5321 section 4.5.3.1.5 allows 512 with the end of the line


def stored(outbox_ids: list[int]) -> str:
    """Answer that a message is durable, with its outbox id (several when recipients have different wishes)."""
    return f"250 2.0.0 Ok: queued as {' '.join(map(str, outbox_ids))}"


def refused(error: PrxEmailError) -> str:
    """Answer why a message was not stored."""
    if isinstance(error, ValidationError):
        return _as_line(f"{_code(error)} {error.message}")
    if isinstance(error, OutboxBusy):
        return "451 4.3.0 the outbox is busy; try again later"
    if isinstance(error, StorageError) and "free some space" in error.hint:
        return "452 4.3.1 no space to store the message; try again later"
    if isinstance(error, ConfigError):
        return "451 4.3.5 the config has no account for the message; try again later"
    return LATER


def is_of_the_client(error: PrxEmailError) -> bool:
    """Tell whether only the client need hear of *error*."""
    return isinstance(error, ValidationError)


def _code(error: ValidationError) -> str:
    if "loop" in error.message:
        return "554 5.4.6"
    return "552 5.3.4" if "size limit" in error.message else "554 5.6.0"


def _as_line(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:_MOST]
