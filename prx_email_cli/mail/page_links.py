"""Write out the address of a link where its text does not already say it."""

import contextlib
import html
import re
from urllib.parse import unquote, urljoin

_NOWHERE = re.compile(r"(?:#.*|(?:javascript|vbscript|data|cid|about|blob):.*)?", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?://)?", re.IGNORECASE)
_ESCAPED = str.maketrans({" ": "%20", "<": "%3C", ">": "%3E", '"': "%22"})


def address_of(href: str, base: str) -> str:
    """Where a link with this href leads, "" for nowhere outside the page.  *base* is the page's own address or ""."""
    address = href.strip("".join(map(chr, range(33)))).translate({9: None, 10: None, 13: None})
    if _NOWHERE.fullmatch(address):
        return ""
    if base:
        with contextlib.suppress(ValueError):  # no address at all: it stays what is written
            address = urljoin(base.strip(), address)
    scheme, colon, rest = address.partition(":")
    if colon and scheme.lower() == "mailto" and "?" not in rest:
        return unquote(rest).strip()
    return address.translate(_ESCAPED)


def says_the_same(text: str, address: str) -> bool:
    """Whether the text of a link is its address, give or take what browsers hide of one.

    Authors who write an address with bare ampersands write it twice: in the href ``&currency=`` stays what it is, in
    the text it becomes a sign.  That text still is the address.
    """
    return _comparable(text) == _comparable(address)


def says_enough(text: str, address: str) -> bool:
    """Whether the text of a link contains the mail address or telephone number to which it leads."""
    scheme, colon, rest = address.partition(":")
    if colon and scheme.lower() in ("tel", "sms", "callto"):
        return bool(_digits(rest)) and _digits(rest).lstrip("0")[-7:] in _digits(text)
    return not colon and "@" in address and address.lower() in text.lower()


def _comparable(address: str) -> str:
    return _SCHEME.sub("", unquote(html.unescape(address)), count=1).strip().rstrip("/").lower()


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))
