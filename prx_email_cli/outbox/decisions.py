"""Define what a person may decide of many messages at once."""

from enum import StrEnum
from typing import NamedTuple

from prx_email_cli.errors import PrxEmailError


class Decision(StrEnum):
    """What is decided of a message; see the methods of ``Operator`` for one message."""

    HOLD = "hold"
    RELEASE = "release"
    CANCEL = "cancel"
    SENT = "resolve as sent"
    NOT_SENT = "resolve as not sent"
    DISMISS = "dismiss"


class Decided(NamedTuple):
    """What became of a decision on one message.  error: why it is as it was, None if it was changed."""

    outbox_id: int
    error: PrxEmailError | None = None


class Spread(NamedTuple):
    """Messages that a person wants sent again by drains, evenly over so many *seconds* from *now* on.

    force: also those that are not due or held.
    """

    now: int
    seconds: int
    force: bool = False

    def due_at(self, number: int, many: int) -> int:
        """Return when the message of this number among so many is due."""
        return self.now + self.seconds * number // many
