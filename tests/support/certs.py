"""Certificates that a mail client must accept, and those that it must refuse."""

from __future__ import annotations

import hashlib
import ssl
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CertificateKind = Literal[
    "valid", "wrong_host", "expired", "untrusted", "cn_only", "ends_tomorrow", "hostile", "self_signed"
]
"""valid: localhost and 127.0.0.1.  untrusted: the same names from the other CA.  cn_only: localhost, but no
subjectAltName.  ends_tomorrow: valid for another day.  hostile: valid, with escape sequences in its
subject.  self_signed: for no name at all."""
ClientKind = Literal["valid", "untrusted", "expired"]
HOSTILE_SUBJECT = "\x1b[31mred\x07"


@dataclass(frozen=True)
class Certificates:
    """PEM files in one directory.  Immutable, so one set serves a whole test session."""

    directory: Path

    @classmethod
    def create(cls, directory: Path) -> Certificates:
        """Write the files of both CAs and of every `CertificateKind` and `ClientKind` (some 40 ms) into *directory*."""
        made = cls(directory)
        ca, other_ca = trustme.CA(), trustme.CA()
        ca.cert_pem.write_to_path(made.ca_file)
        other_ca.cert_pem.write_to_path(made.other_ca_file)
        for kind in get_args(CertificateKind):
            issuer = other_ca if kind == "untrusted" else ca
            made.server_file(kind).write_bytes(_issue(issuer, kind))
        for client in get_args(ClientKind):
            made._write_client(client, other_ca if client == "untrusted" else ca)
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

    def fingerprint(self, kind: CertificateKind = "valid") -> str:
        """SHA-256 of one server certificate, in lower case and without colons."""
        (_, pem) = self.server_file(kind).read_text().split("-----BEGIN CERTIFICATE-----")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----{pem}")).hexdigest()

    def client_file(self, kind: ClientKind = "valid") -> Path:
        """One client's private key and certificate, in one file of mode 0600; see `client_part`."""
        return self.directory / f"client-{kind}.pem"

    def client_part(self, part: Literal["cert", "key", "encrypted"], kind: ClientKind = "valid") -> Path:
        """Only the certificate, only the key, or the key under a passphrase.  Both keys have mode 0600."""
        return self.directory / f"client-{kind}-{part}.pem"

    def server_context(self, kind: CertificateKind = "valid", *, demands_client: bool = False) -> ssl.SSLContext:
        """demands_client: whoever shows no certificate of the good CA is turned away."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file(kind))
        if demands_client:
            context.load_verify_locations(self.ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
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

    def _write_client(self, kind: ClientKind, ca: trustme.CA) -> None:
        begin, end = _PAST if kind == "expired" else (None, None)
        client = ca.issue_cert(f"{kind}@client.example", not_before=begin, not_after=end)
        key = client.private_key_pem.bytes()
        encrypted = serialization.load_pem_private_key(key, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
        for file, content in {
            self.client_file(kind): client.private_key_and_cert_chain_pem.bytes(),
            self.client_part("cert", kind): client.cert_chain_pems[0].bytes(),
            self.client_part("key", kind): key,
            self.client_part("encrypted", kind): encrypted,
        }.items():
            file.touch(0o600)
            file.write_bytes(content)


_PAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC)


def _issue(ca: trustme.CA, kind: CertificateKind) -> bytes:
    """The private key and the certificate."""
    names = ("localhost", "127.0.0.1")
    match kind:
        case "valid" | "untrusted":
            made = ca.issue_cert(*names)
        case "cn_only":
            return _without_alternative_names(ca, ca.issue_cert(common_name="localhost"))
        case "wrong_host":
            made = ca.issue_cert("mail.elsewhere.example")
        case "expired":
            made = ca.issue_cert(*names, not_before=_PAST[0], not_after=_PAST[1])
        case "ends_tomorrow":
            made = ca.issue_cert(*names, not_after=datetime.now(UTC) + timedelta(days=1, hours=12))
        case "hostile":
            made = ca.issue_cert(*names, common_name=HOSTILE_SUBJECT)
        case "self_signed":
            alone = trustme.CA()
            return alone.private_key_pem.bytes() + alone.cert_pem.bytes()
    return made.private_key_and_cert_chain_pem.bytes()


def _without_alternative_names(ca: trustme.CA, made: trustme.LeafCert) -> bytes:
    """Issue *made* again without the extension, which trustme leaves empty and Python 3.13 refuses for that."""
    (pem,) = made.cert_chain_pems
    leaf = x509.load_pem_x509_certificate(pem.bytes())
    builder = x509.CertificateBuilder(leaf.issuer, leaf.subject, leaf.public_key(), leaf.serial_number)
    builder = builder.not_valid_before(leaf.not_valid_before_utc).not_valid_after(leaf.not_valid_after_utc)
    for extension in leaf.extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, extension.critical)
    signer = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issued = builder.sign(signer, hashes.SHA256())
    return made.private_key_pem.bytes() + issued.public_bytes(serialization.Encoding.PEM)
