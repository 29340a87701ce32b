"""The steps of a dialogue: what a transaction asks to be done, and how it ends."""

from enum import StrEnum
from typing import NamedTuple

from prx_email_cli.smtp.envelope import Result
from prx_email_cli.smtp.errors import ConnectionLost
from prx_email_cli.smtp.replies import Reply


class Patience(NamedTuple):
    """How many seconds to wait for a reply, and for the reply to the final dot."""

    reply: float
    final_reply: float


class Write(NamedTuple):
    """Write these commands whole, by the time *until*, unless the server has spoken.

    seconds: how long to wait, at most, for the server to read on.
    """

    data: bytes
    seconds: float
    until: float | None


class WriteContent(NamedTuple):
    """Write this piece of the content whole, unless the server speaks meanwhile.

    joins: it is the last one, and the envelope of the next message may leave with it (RFC 2920 section 3.1).
    """

    data: bytes
    seconds: float
    until: float | None
    joins: bool = False


class Read(NamedTuple):
    """Read one reply, whole within *seconds* and before the time *until*, if any."""

    seconds: float
    until: float | None


class Look(NamedTuple):
    """Look, without waiting, whether the server has spoken unasked."""

    until: None = None


class After(StrEnum):
    """What the connection is good for after a transaction."""

    KEPT = "kept"
    WORN = "worn"  # open, but to be renewed before the next message
    ENDED = "ended"  # to be closed without QUIT


class Done(NamedTuple):
    """The transaction is over."""

    result: Result
    after: After


Step = Write | WriteContent | Read | Look | Done
Heard = Reply | ConnectionLost | None
"""What a step brought: the reply for Read; ConnectionLost or Unasked if the step failed, or Look found something; else
None."""
