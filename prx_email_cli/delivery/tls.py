"""TLS that always verifies: the certificate, the host name, and version 1.2 at least."""

import ssl

from prx_email_cli.config.settings import Account
from prx_email_cli.errors import ConfigError


def verifying_context(account: Account) -> ssl.SSLContext:
    """A context for *account*: the system's CAs, plus its ``tls_ca_file``.  Raises ConfigError when that is no use."""
    context = ssl.create_default_context()
    context.hostname_checks_common_name = False  # RFC 9525 section 2: only subjectAltName counts
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    ca_file = account.smtp.tls_ca_file
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"accounts.{account.name}.smtp.tls_ca_file: {ca_file}: {error.strerror or error}",
                hint="it must be a readable PEM file of CA certificates",
            ) from None
    return context


def explain(error: ssl.SSLError, account: Account) -> tuple[str, str]:
    """What went wrong with TLS and what to do about it, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not valid: {error.verify_message}", _certificate_hint(error, account)
    if error.reason == "WRONG_VERSION_NUMBER":
        return (
            f"the server does not speak TLS from the first byte on port {account.port}",
            'port 587 wants tls = "starttls", port 465 tls = "implicit"',
        )
    if error.reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"):
        return "the server offers no TLS 1.2 or newer", "ask its operator to enable TLS 1.2: older ones are not secure"
    return f"TLS failed: {error.reason or error.strerror or error}", "check host, port and tls of the account"


def _certificate_hint(error: ssl.SSLCertVerificationError, account: Account) -> str:
    text = error.verify_message.lower()
    if "hostname mismatch" in text or "ip address mismatch" in text:
        return f"set smtp.host to a name that is in the certificate (it is {account.host!r} now)"
    if "expired" in text or "not yet valid" in text:
        return "the server's operator must renew it; also check this machine's clock"
    return "if the server uses a private CA, name its PEM file as smtp.tls_ca_file"
