"""Write the Received header of a message that came by SMTP (RFC 5321 section 4.4)."""

import re
import time
from typing import NamedTuple

from prx_email_cli.config.domains import address_literal

_FOREIGN = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_MOST_OF_A_NAME = 255
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Passage(NamedTuple):
    """How a message came.

    greeting: what the client calls itself.  address: its IP address, "" for one of this machine, which *local* names.
    """

    greeting: str
    address: str
    local: str
    host: str
    protocol: str


def protocol_of(*, extended: bool, utf8: bool, tls: bool, login: bool) -> str:
    """Name the protocol as RFC 3848 and RFC 6531 register it."""
    if not extended:
        return "SMTP"
    return ("UTF8SMTP" if utf8 else "ESMTP") + "S" * tls + "A" * login


def received(passage: Passage, now: float) -> bytes:
    """Return the header, folded, with its line end."""
    greeting = _FOREIGN.sub("?", passage.greeting)[:_MOST_OF_A_NAME] or "unknown"
    source = address_literal(passage.address) if passage.address else passage.local
    text = (
        f"Received: from {greeting} ({source})\r\n\tby {passage.host} (prx-email) with {passage.protocol};"
        f"\r\n\t{_date(now)}\r\n"
    )
    return text.encode()


def _date(now: float) -> str:
    at = time.gmtime(now)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"
    )
