"""Addresses as people type them and as SMTP wants them."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.text import check_header_text

MAX_LOCAL_OCTETS, MAX_DOMAIN_OCTETS, MAX_ADDRESS_OCTETS = (
    64,
    255,
    254,
)  # RFC 5321 section 4.5.3.1, RFC 3696 erratum 1690

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WORD = r'[^\s"<>@,;:\\()\[\]]+'
_ADDRESS = rf"(?:{_QUOTED}|{_WORD})@(?:\[[^\]\s]*\]|{_WORD})"
_MAILBOX = re.compile(
    rf' *(?:(?P<name>{_QUOTED} *|[^"<>@,;:\\\[\]]*)< *(?P<angle>{_ADDRESS}) *>|(?P<bare>{_ADDRESS})) *(?P<end>,|$)'
)
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class Mailbox(NamedTuple):
    """One address; ``address`` is what goes into the envelope (its domain in ASCII), ``name`` is for readers only."""

    name: str
    address: str


def parse_mailboxes(texts: Iterable[str], what: str) -> list[Mailbox]:
    """Every mailbox in *texts*, each of which may hold several, comma-separated.

    Accepts ``a@b.c``, ``Name <a@b.c>`` and ``"Name, with comma" <a@b.c>``.  Raises ValidationError, naming *what*, for
    anything else.  Non-ASCII domains come back in punycode (RFC 5891).
    """
    found: list[Mailbox] = []
    for text in texts:
        found.extend(_parse_list(check_header_text(text, what), what))
    return found


def parse_mailbox(text: str, what: str) -> Mailbox:
    """The single mailbox in *text*; ValidationError when there is none or more than one."""
    found = parse_mailboxes([text], what)
    if len(found) != 1:
        raise ValidationError(f"{what} must be exactly one address, not {len(found)}")
    return found[0]


def without_repeats(mailboxes: Iterable[Mailbox]) -> list[Mailbox]:
    """*mailboxes* in their order, each address once."""
    seen: dict[str, Mailbox] = {}
    for mailbox in mailboxes:
        seen.setdefault(mailbox.address, mailbox)
    return list(seen.values())


def _parse_list(text: str, what: str) -> list[Mailbox]:
    mailboxes = []
    position = 0
    while position < len(text):
        match = _MAILBOX.match(text, position)
        if match is None:
            raise _malformed(text[position:], what)
        mailboxes.append(Mailbox(_display_name(match["name"]), check_address(match["angle"] or match["bare"], what)))
        position = match.end()
        if match["end"] and position == len(text):
            raise _malformed(text, what)
    return mailboxes


def _display_name(raw: str | None) -> str:
    name = (raw or "").strip()
    if name.startswith('"'):
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name


def check_address(address: str, what: str) -> str:
    """*address* in the form for the envelope.  Raises ValidationError when RFC 5321 section 4.1.2 does not allow it."""
    local, _, domain = address.rpartition("@")
    if not local.startswith('"') and not _is_dot_atom(local):
        raise _malformed(address, what)
    if len(local.encode()) > MAX_LOCAL_OCTETS:
        raise ValidationError(f"{what}: the part before @ is longer than {MAX_LOCAL_OCTETS} octets: {address!r}")
    domain = _check_domain(domain, address, what)
    if len(local.encode()) + 1 + len(domain) > MAX_ADDRESS_OCTETS:
        raise ValidationError(f"{what}: address longer than {MAX_ADDRESS_OCTETS} octets: {address!r}")
    return f"{local}@{domain}"


def _check_domain(domain: str, address: str, what: str) -> str:
    if domain.startswith("["):
        return _check_literal(domain, address, what)
    if not domain.isascii():
        import idna

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValidationError(f"{what}: not a domain name: {domain!r} ({error})") from None
    labels = domain.split(".")
    if len(domain) > MAX_DOMAIN_OCTETS or labels[-1].isdigit() or not all(map(_LABEL.fullmatch, labels)):
        raise _malformed(address, what)
    return domain


def _is_dot_atom(local: str) -> bool:
    """RFC 5322 section 3.2.3, with RFC 6531's letters beyond ASCII (they become ?, which an atom may hold)."""
    ascii_form = local.encode("ascii", "replace").decode()
    return bool(_ATOMS.fullmatch(ascii_form)) and all(local.split("."))


def _check_literal(domain: str, address: str, what: str) -> str:
    import ipaddress

    inner = domain[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        raise _malformed(address, what) from None
    return domain


def _malformed(text: str, what: str) -> ValidationError:
    shown = text if len(text) <= 100 else text[:100] + "…"
    return ValidationError(
        f"{what}: not an email address: {shown!r}",
        hint='write user@example.com or "Name" <user@example.com>, separated by commas',
    )
