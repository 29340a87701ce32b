"""Recognize the names to greet with in EHLO: domains and address literals.

RFC 5321 sections 4.1.2 and 4.1.3.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MOST_OCTETS = 255


def is_domain(text: str) -> bool:
    """Tell whether *text* is a domain, whose last label is no number.

    RFC 1123 section 2.1.
    """
    return len(text) <= _MOST_OCTETS and bool(_DOMAIN.fullmatch(text)) and not text.rpartition(".")[2].isdigit()


def is_full_domain(text: str) -> bool:
    """Tell whether *text* is a domain of two labels or more."""
    return "." in text and is_domain(text)


def is_address_literal(text: str) -> bool:
    """Tell whether *text* is a literal as ``[192.0.2.7]`` or ``[IPv6:2001:db8::7]``."""
    if not (text.startswith("[") and text.endswith("]")):
        return False
    inside = text[1:-1]
    try:
        if inside[:5].lower() == "ipv6:":
            return IPv6Address(inside[5:]).scope_id is None
        return bool(IPv4Address(inside).packed)
    except AddressValueError:
        return False


def address_literal(address: str) -> str:
    """Return an IP *address* as an address literal, without a zone such as ``%eth0``.

    Raises ValueError for what is no IP address.
    """
    plain = ip_address(address.partition("%")[0])
    if isinstance(plain, IPv6Address):
        return f"[IPv6:{plain}]" if plain.ipv4_mapped is None else f"[{plain.ipv4_mapped}]"
    return f"[{plain}]"
