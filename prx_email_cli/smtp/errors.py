"""How a connection to a server ends or goes wrong, in words for the user."""

from enum import StrEnum

from prx_email_cli.redaction import from_outside
from prx_email_cli.smtp.replies import Reply

_MAX_SHOWN = 60


class OpeningStep(StrEnum):
    """The steps of opening a session, in order."""

    CONNECTION = "connection"
    TLS = "tls"
    GREETING = "greeting"
    LOGIN = "login"


class ConnectionLost(OSError):
    """The connection ended, timed out or spoke no SMTP; ``args[0]`` says which, in words for the user."""

    def __init__(self, text: str, *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.timed_out = timed_out


class BadReply(ConnectionLost):
    """What came back is not an SMTP reply (RFC 5321 section 4.2), or none that has a place there.

    in_login: it came in answer to AUTH or what follows it.
    """

    in_login = False


class Unasked(BadReply):
    """The server spoke before it was asked.

    closing: its words, where they are 421, which may come at any time (RFC 5321 section 3.8).  midway: they came while
    something was being sent.
    """

    def __init__(self, said: bytes, *, midway: bool = False) -> None:
        line = from_outside(said.partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "replace"), strict=True)
        super().__init__(f"the server spoke before it was asked: {line[:_MAX_SHOWN]!r}")
        self.closing = Reply(421, line[4:]) if line.startswith("421") else None
        self.midway = midway


class Refused(OSError):
    """The server refused a step of the opening.

    reason: what it said of an OAuth token before the reply that refused it, "" for nothing.
    """

    def __init__(self, reply: Reply, step: OpeningStep, reason: str = "") -> None:
        super().__init__(str(reply))
        self.reply, self.step, self.reason = reply, step, reason
