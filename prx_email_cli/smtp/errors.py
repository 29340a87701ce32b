"""How a connection to a server ends or goes wrong, in words for the user."""

import smtplib

from prx_email_cli.redaction import from_outside
from prx_email_cli.smtp.replies import Reply

_MAX_SHOWN = 60


class ConnectionLost(OSError):
    """The connection ended, timed out or spoke no SMTP; ``args[0]`` says which, in words for the user."""

    def __init__(self, text: str, *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.timed_out = timed_out


class BadReply(ConnectionLost):
    """What came back is not an SMTP reply (RFC 5321 section 4.2)."""


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


class StartTlsRefused(smtplib.SMTPResponseException):
    """The server offers STARTTLS but does not do it now."""
