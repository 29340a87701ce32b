"""Errors of a connection to a server; their texts are for the user."""

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
    """The connection ended, timed out or did not speak SMTP.

    ``args[0]``: which of these, in words for the user.  timed_out: the server did not answer or read in time.  sent:
    where it broke a write, how many bytes of that may have left.
    """

    sent = 0

    def __init__(self, text: str, *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.timed_out = timed_out


class BadReply(ConnectionLost):
    """The server sent what is no SMTP reply, or a reply that has no place there.

    RFC 5321 sections 4.2 and 4.3.2.  in_login: it answered AUTH or what follows AUTH.
    """

    in_login = False


class Unasked(BadReply):
    """The server spoke before it was asked.

    closing: its reply if that is 421, which may come at any time (RFC 5321 section 3.8); else None.
    """

    def __init__(self, said: bytes) -> None:
        line = from_outside(said.partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "replace"), strict=True)
        super().__init__(f"the server spoke before it was asked: {line[:_MAX_SHOWN]!r}")
        self.closing = Reply(421, line[4:]) if line.startswith("421") else None


class Refused(OSError):
    """The server refused a step of opening a session.

    reason: what it said about an OAuth token before the reply that refused it, "" for nothing.
    """

    def __init__(self, reply: Reply, step: OpeningStep, reason: str = "") -> None:
        super().__init__(str(reply))
        self.reply, self.step, self.reason = reply, step, reason
