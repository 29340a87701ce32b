"""Collect a server's profile while a session with it is opened."""

import hashlib
import ssl
from typing import Any, NamedTuple

from prx_email_cli.redaction import from_outside


class Certificate(NamedTuple):
    """A server's certificate.

    names: its subjectAltName.  expires_at: Unix seconds; None if only its fingerprint was compared.  sha256: the
    fingerprint of its DER form in hexadecimal digits, as in ``tls_fingerprint``.
    """

    subject: str | None
    issuer: str | None
    names: list[str]
    expires_at: int | None
    sha256: str


class ServerProfile:
    """A server's profile; what opening the session did not reach stays None or empty.

    peer: its address and port.  extensions: what EHLO offered, names in lower case, with their parameters.
    """

    def __init__(self) -> None:
        self.peer: str | None = None
        self.tls: str | None = None
        self.cipher: str | None = None
        self.certificate: Certificate | None = None
        self.extensions: dict[str, str] = {}
        self.login: str | None = None  # the mechanism that worked
        self.greeting = ""

    def connected(self, peer: tuple[Any, ...]) -> None:
        """Record the address that answered; *peer* as ``getpeername`` returns it."""
        host = f"[{peer[0]}]" if ":" in str(peer[0]) else peer[0]
        self.peer = f"{host}:{peer[1]}"

    def secured(self, sock: ssl.SSLSocket) -> None:
        """Record the TLS of *sock* and the server's certificate."""
        self.extensions = {}  # what was offered in clear no longer counts: RFC 3207 section 4.2
        cipher = sock.cipher()
        self.tls, self.cipher = sock.version(), cipher[0] if cipher else None
        der = sock.getpeercert(binary_form=True)
        if der is None:
            return
        shown: Any = sock.getpeercert() or {}
        until = shown.get("notAfter")
        self.certificate = Certificate(
            _name(shown.get("subject", ())),
            _name(shown.get("issuer", ())),
            [from_outside(str(value)) for _, value in shown.get("subjectAltName", ())],
            int(ssl.cert_time_to_seconds(until)) if until else None,
            hashlib.sha256(der).hexdigest(),
        )

    def offers(self, extension: str) -> bool:
        """Tell whether the reply to EHLO named this extension, given in lower case."""
        return extension in self.extensions

    @property
    def shown_extensions(self) -> list[str]:
        """Return the names of the extensions, sorted, with secrets masked."""
        return [from_outside(name) for name in sorted(self.extensions)]

    @property
    def breaks_on_joined_envelopes(self) -> bool:
        """Tell whether it is Dovecot's submission service, known by its greeting or by BURL (RFC 4468).

        Version 2.3 offers PIPELINING, and its process aborts (pending_rcpt_cmds) when RCPT comes behind a content: the
        message before is accepted, and nobody hears of it.
        """
        return "dovecot" in self.greeting.lower() or self.offers("burl")

    @property
    def size_limit(self) -> int | None:
        """Return the server's limit of a message in bytes (RFC 1870); None without one."""
        announced = self.extensions.get("size", "").strip()
        return int(announced) if announced.isascii() and announced.isdigit() and int(announced) > 0 else None


def _name(parts: Any) -> str | None:
    """Return a distinguished name's common name, else organisation, else last part.

    None for an empty one.
    """
    found = {key: from_outside(str(value)) for part in parts for key, value in part}
    return found.get("commonName") or found.get("organizationName") or next(reversed(found.values()), None)
