"""Certificates that a mail client must accept, and those that it must refuse."""

from __future__ import annotations

import ssl
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import trustme

CertificateKind = Literal["valid", "wrong_host", "expired", "untrusted", "cn_only", "name_only"]
"""valid: localhost and 127.0.0.1.  untrusted: the same names from the other CA.  cn_only: localhost, but no
subjectAltName.  name_only: localhost without the address, so a connection to 127.0.0.1 must fail."""


@dataclass(frozen=True)
class Certificates:
    """PEM files in one directory.  Immutable, so one set serves a whole test session."""

    directory: Path

    @classmethod
    def create(cls, directory: Path) -> Certificates:
        """Write the files of both CAs and of every `CertificateKind` (some 20 ms) into *directory*."""
        made = cls(directory)
        ca, other_ca = trustme.CA(), trustme.CA()
        ca.cert_pem.write_to_path(made.ca_file)
        other_ca.cert_pem.write_to_path(made.other_ca_file)
        for kind in get_args(CertificateKind):
            issuer = other_ca if kind == "untrusted" else ca
            _issue(issuer, kind).private_key_and_cert_chain_pem.write_to_path(made.server_file(kind))
        return made

    @property
    def ca_file(self) -> Path:
        """What a client must trust to accept a `valid` server."""
        return self.directory / "ca.pem"

    @property
    def other_ca_file(self) -> Path:
        """An unrelated CA: a client that trusts only this one must refuse a `valid` server."""
        return self.directory / "other-ca.pem"

    def server_file(self, kind: CertificateKind = "valid") -> Path:
        """The private key and the chain of one server certificate, in one file."""
        return self.directory / f"server-{kind}.pem"

    def server_context(self, kind: CertificateKind = "valid") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file(kind))
        return context

    def old_tls_context(self) -> ssl.SSLContext:
        """A server with a valid certificate that speaks nothing newer than TLS 1.1."""
        context = self.server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():  # Python warns of the old versions: here they are the point
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        return context

    def client_context(self, ca_file: Path | None = None) -> ssl.SSLContext:
        """A verifying client that trusts *ca_file* (default: the good CA) and nothing else.

        Left alone, Python accepts a certificate by its common name when it has no subjectAltName (`cn_only`).
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.hostname_checks_common_name = False
        context.load_verify_locations(ca_file or self.ca_file)
        return context


def _issue(ca: trustme.CA, kind: CertificateKind) -> trustme.LeafCert:
    match kind:
        case "valid" | "untrusted":
            return ca.issue_cert("localhost", "127.0.0.1")
        case "name_only":
            return ca.issue_cert("localhost")
        case "cn_only":
            return ca.issue_cert(common_name="localhost")
        case "wrong_host":
            return ca.issue_cert("mail.elsewhere.example")
        case "expired":
            begin, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC)
            return ca.issue_cert("localhost", "127.0.0.1", not_before=begin, not_after=end)
