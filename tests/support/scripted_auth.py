"""AUTH from the server's side: which user and which secret did the client present?"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

Ask = Callable[[str], str]
"""Send a 334 with this text (already base64) and return the client's next line."""

_XOAUTH2_RESPONSE = re.compile("user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01")
_XOAUTH2_REFUSAL = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode("ascii")


class AuthCancelledError(Exception):
    """The client answered "*", or something that is not base64."""


def present_credentials(mechanism: str, initial: str, ask: Ask) -> tuple[str, str]:
    """(user, secret) as the client gave them.

    initial: the initial response, "" without one, "=" for an empty one.  Raises AuthCancelledError.
    """
    match mechanism:
        case "PLAIN":
            _authorize_as, user, password = _split_plain(_decode(initial or ask("")))
            return user, password
        case "LOGIN":
            user = _decode(initial or ask(_encode("Username:")))
            return user, _decode(ask(_encode("Password:")))
        case "XOAUTH2":
            found = _XOAUTH2_RESPONSE.fullmatch(_decode(initial or ask("")))
            if found is None:
                raise AuthCancelledError
            return found[1], found[2]
    raise ValueError(f"no such mechanism: {mechanism}")


def explain_refusal(mechanism: str, ask: Ask) -> None:
    """XOAUTH2 tells why in a challenge, which the client has to answer before it gets its 535."""
    if mechanism == "XOAUTH2":
        ask(_XOAUTH2_REFUSAL)


def _split_plain(response: str) -> list[str]:
    parts = response.split("\0")
    if len(parts) != 3:
        raise AuthCancelledError
    return parts


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _decode(line: str) -> str:
    if line == "=":
        return ""
    try:
        return base64.b64decode(line, validate=True).decode()
    except (binascii.Error, ValueError):
        raise AuthCancelledError from None
