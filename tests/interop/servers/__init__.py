"""Throwaway Postfix, OpenSMTPD and Exim, each started from an unpacked package on a free loopback port."""

from .base import DOMAIN, GREYLISTED, REFUSED, SIZE_LIMIT, Certs, MailServer, Received, ServerError, make_certs
from .exim import Exim
from .opensmtpd import OpenSMTPD
from .postfix import Postfix

SERVERS: dict[str, type[MailServer]] = {server.name: server for server in (Postfix, OpenSMTPD, Exim)}

__all__ = [
    "DOMAIN",
    "GREYLISTED",
    "REFUSED",
    "SERVERS",
    "SIZE_LIMIT",
    "Certs",
    "Exim",
    "MailServer",
    "OpenSMTPD",
    "Postfix",
    "Received",
    "ServerError",
    "make_certs",
]
