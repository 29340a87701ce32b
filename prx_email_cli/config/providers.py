"""What the big providers document about their submission servers.

Policy of theirs that may change: each line carries its source and the date it was read.
"""

from typing import NamedTuple


class Provider(NamedTuple):
    """A preset for ``[accounts.X] provider``.

    tls: "implicit" or "starttls".  connections: the documented limit, None where none is
    published.
    """

    host: str
    port: int
    tls: str
    connections: int | None = None


PROVIDERS = {
    # support.google.com/mail/answer/7126229, read 2026-11: smtp.gmail.com, 465 for SSL, 587 for TLS.
    "gmail": Provider("smtp.gmail.com", 465, "implicit"),
    # learn.microsoft.com, "client SMTP submission": smtp.office365.com, 587 with STARTTLS; at most
    # 3 connections at a time, beyond which it answers 432 4.3.2 (MicrosoftDocs, 2025-06).
    "outlook": Provider("smtp.office365.com", 587, "starttls", connections=3),
    # help.yahoo.com SLN4724, read 2026-11: smtp.mail.yahoo.com, 465 with SSL.
    "yahoo": Provider("smtp.mail.yahoo.com", 465, "implicit"),
    # fastmail.help "Server names and ports", read 2026-11: smtp.fastmail.com, 465 with SSL/TLS.
    "fastmail": Provider("smtp.fastmail.com", 465, "implicit"),
}
