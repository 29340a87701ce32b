"""Addresses as people type them and as SMTP wants them."""

import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Broken, Entry, Mailbox, entries
from prx_email_cli.mail.headers import check_header_text

MAX_LOCAL_OCTETS, MAX_DOMAIN_OCTETS, MAX_ADDRESS_OCTETS = (
    64,
    255,
    254,
)  # RFC 5321 section 4.5.3.1, RFC 3696 erratum 1690

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def parse_mailboxes(texts: Iterable[str], what: str) -> list[Mailbox]:
    """Parse every mailbox in *texts*, each of which may hold several, comma-separated.

    Accepts the forms of RFC 5322 section 3.4: ``a@b.c``, ``Name <a@b.c>``, ``"Name, with comma" <a@b.c>``,
    ``a@b.c (Name)``, groups.  Raises ValidationError, naming *what*, for anything else.  Non-ASCII domains come back in
    punycode (RFC 5891).
    """
    found: list[Mailbox] = []
    for text in texts:
        checked = check_header_text(text, what)
        for entry in entries(checked, obsolete=False):
            if isinstance(entry, Broken):
                raise _malformed(checked[entry.at :], what)
            found.append(Mailbox(entry.name, _checked(entry, what)))
    return found


@lru_cache(maxsize=64)  # the sender of a batch
def parse_mailbox(text: str, what: str) -> Mailbox:
    """Parse the single mailbox in *text*.  Raises ValidationError when there is none or more than one."""
    found = parse_mailboxes([text], what)
    if len(found) != 1:
        raise ValidationError(f"{what} must be exactly one address, not {len(found)}")
    return found[0]


def understood_mailboxes(text: str) -> list[Mailbox]:
    """Parse the usable mailboxes of a received address header; the others are left out."""
    found: list[Mailbox] = []
    for entry in entries(text, obsolete=True):
        if isinstance(entry, Entry):
            with suppress(ValidationError):
                found.append(Mailbox(entry.name, _checked(entry, "address")))
    return found


def without_repeats(mailboxes: Iterable[Mailbox]) -> list[Mailbox]:
    """Drop repeated addresses; the first of each stays, in order."""
    seen: dict[str, Mailbox] = {}
    for mailbox in mailboxes:
        seen.setdefault(delivered_to(mailbox.address), mailbox)
    return list(seen.values())


def delivered_to(address: str) -> str:
    """Normalise an address, so that two that must reach the same mailbox are equal.

    Case means nothing in a domain, and may mean something before it (RFC 5321 section 2.4).
    """
    local, _, domain = address.rpartition("@")
    if domain.startswith("["):
        return f"{local}@{_ip_address(domain)}"
    return f"{local}@{domain.lower()}"


def _checked(entry: Entry, what: str) -> str:
    """Return the address for the envelope.  Raises ValidationError unless RFC 5321 section 4.1.2 allows it."""
    local, domain = entry.local, entry.domain
    address = f"{local}@{domain}"
    if "\ufffd" in local or not (local.startswith('"') or _is_dot_atom(local)):  # U+FFFD: the character was lost
        raise _malformed(address, what)
    if len(local.encode()) > MAX_LOCAL_OCTETS:
        raise ValidationError(
            f"{what}: the part before @ is longer than {MAX_LOCAL_OCTETS} bytes: {_shortened(address)!r}"
        )
    domain = _check_domain(domain, address, what)
    if len(local.encode()) + 1 + len(domain) > MAX_ADDRESS_OCTETS:
        raise ValidationError(f"{what}: address longer than {MAX_ADDRESS_OCTETS} bytes: {_shortened(address)!r}")
    return f"{local}@{domain}"


def _check_domain(domain: str, address: str, what: str) -> str:
    if domain.startswith("["):
        try:
            _ip_address(domain)
        except ValueError:
            raise _malformed(address, what) from None
        return domain
    if len(domain) > MAX_DOMAIN_OCTETS:
        raise _malformed(address, what)
    if not domain.isascii():
        import idna  # on use

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValidationError(f"{what}: not a domain name: {domain!r} ({error})") from None
    labels = domain.split(".")
    if len(domain) > MAX_DOMAIN_OCTETS or labels[-1].isdigit() or not all(map(_LABEL.fullmatch, labels)):
        raise _malformed(address, what)
    return domain


def _is_dot_atom(local: str) -> bool:
    """Tell whether *local* is a dot-atom (RFC 5322 section 3.2.3), with letters beyond ASCII (RFC 6531).

    Such a letter is checked as ``?``, which an atom may hold.
    """
    if not local.isascii():
        return not any(map(str.isspace, local)) and _is_dot_atom(local.encode("ascii", "replace").decode())
    return bool(_ATOMS.fullmatch(local)) and all(local.split("."))


def _ip_address(literal: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Parse the address in a domain literal (RFC 5321 section 4.1.3).  Raises ValueError for anything else."""
    inner = literal[1:-1]
    return ipaddress.IPv6Address(inner[5:]) if inner[:5].lower() == "ipv6:" else ipaddress.IPv4Address(inner)


def _malformed(text: str, what: str) -> ValidationError:
    return ValidationError(
        f"{what}: not an email address: {_shortened(text)!r}",
        hint='write user@example.com or "Name" <user@example.com>, separated by commas',
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else text[:100] + "…"
