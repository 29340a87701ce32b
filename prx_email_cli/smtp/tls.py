"""Verify servers by certificate and host name, or by the one pinned certificate."""

import hashlib
import os
import ssl
from pathlib import Path
from typing import NoReturn

from prx_email_cli.config.settings import Account
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.files import check_unchangeable, is_open

CLIENT_CERTIFICATE_HINT = "if the server wants a client certificate, or another one, set smtp.tls_cert_file"


def verifying_context(account: Account) -> ssl.SSLContext:
    """Return the TLS context of *account*, for TLS 1.2 or newer.

    It verifies by CAs and host name.  ``tls_fingerprint`` replaces the host name, and also the CAs unless there is a
    ``tls_ca_file``.  Raises ConfigError for a file that cannot be used, ReadableByOthers for a private key that others
    can read and for a file that others can change.
    """
    context = ssl.create_default_context()
    context.hostname_checks_common_name = False  # RFC 9525 section 2: only subjectAltName counts
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if account.smtp.tls_ca_file is not None:
        _trust(context, account)
    if account.smtp.tls_fingerprint is not None:
        context.check_hostname = False
        if account.smtp.tls_ca_file is None:
            context.verify_mode = ssl.CERT_NONE  # the fingerprint is compared in its place
        context.sslsocket_class = _pinned_to(account.smtp.tls_fingerprint)
    if account.smtp.tls_cert_file is not None:
        _show_certificate(context, account)
    return context


class NotThePinnedCertificate(ssl.SSLError):
    """The server showed another certificate than the one in ``tls_fingerprint``.

    found: its SHA-256 in hexadecimal digits.
    """

    def __init__(self, found: str) -> None:
        super().__init__(f"another certificate than the pinned one: {found}")
        self.found = found


def _pinned_to(fingerprint: str) -> type[ssl.SSLSocket]:
    """Return a socket class that compares the certificate before anything is sent."""

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001 - as ssl has it
            super().do_handshake(block)
            found = hashlib.sha256(self.getpeercert(binary_form=True) or b"").hexdigest()
            if found != fingerprint:
                raise NotThePinnedCertificate(found)

    return PinnedSocket


def _trust(context: ssl.SSLContext, account: Account) -> None:
    ca_file = account.smtp.tls_ca_file
    try:
        if ca_file is not None:
            check_unchangeable(ca_file)
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"accounts.{account.name}.smtp.tls_ca_file: {ca_file}: {error.strerror or error}",
            hint="it must be a readable PEM file of CA certificates",
        ) from None


def _show_certificate(context: ssl.SSLContext, account: Account) -> None:
    smtp = account.smtp
    key_file = smtp.tls_key_file or smtp.tls_cert_file
    name = f"accounts.{account.name}.smtp.{'tls_key_file' if smtp.tls_key_file else 'tls_cert_file'}"

    def refuse_to_ask() -> NoReturn:  # OpenSSL would ask on the terminal, and cron has none
        raise ConfigError(f"{name}: {key_file} is encrypted", hint="store the key without a passphrase, mode 0600")

    try:
        for file in {smtp.tls_cert_file, key_file} - {None}:
            check_unchangeable(Path(str(file)))
        if key_file is not None and is_open(Path(key_file), os.stat(key_file)):
            raise ReadableByOthers(
                f"{key_file} holds a private key and is readable by others", hint=f"chmod 600 {key_file}"
            )
        context.load_cert_chain(str(smtp.tls_cert_file), str(key_file), password=refuse_to_ask)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{name}: cannot use {smtp.tls_cert_file} with {key_file}: {error.strerror or error}",
            hint="both must be readable PEM files, and the key the certificate's own",
        ) from None


def explain(error: ssl.SSLError, account: Account) -> tuple[str, str]:
    """Return what went wrong with TLS, and what to do about it."""
    if isinstance(error, NotThePinnedCertificate):
        return (
            f"the server shows another certificate than the pinned one: SHA-256 {error.found}",
            "if its operator has renewed it, and says that this is the new one, set it as smtp.tls_fingerprint",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not valid: {error.verify_message}", _certificate_hint(error, account)
    if error.reason == "WRONG_VERSION_NUMBER":
        return (
            f"the server does not speak TLS from the first byte on port {account.port}",
            'port 587 wants smtp.tls = "starttls", port 465 smtp.tls = "implicit"',
        )
    if error.reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"):
        return "the server offers no TLS 1.2 or newer", "ask its operator to enable TLS 1.2: older ones are not secure"
    if "ALERT" in (error.reason or ""):
        return f"the server broke TLS off: {error.reason}", CLIENT_CERTIFICATE_HINT
    return f"TLS failed: {error.reason or error.strerror or error}", "check smtp.host, smtp.port and smtp.tls"


def _certificate_hint(error: ssl.SSLCertVerificationError, account: Account) -> str:
    text = error.verify_message.lower()
    if "hostname mismatch" in text or "ip address mismatch" in text:
        return f"set smtp.host to a name that is in the certificate (it is {account.host!r} now)"
    if "expired" in text or "not yet valid" in text:
        return "the server's operator must renew it; also check this machine's clock"
    return "set smtp.tls_ca_file to the PEM file of the CA, or smtp.tls_fingerprint to accept this certificate alone"
