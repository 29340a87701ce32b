"""AUTH from the server's side: which user and which secret did the client present?"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable

Ask = Callable[[str], str]
"""Send a 334 with this text (already base64) and return the client's next line."""

TOKEN_MECHANISMS = ("XOAUTH2", "OAUTHBEARER")
MAX_AUTH_OCTETS = 512  # of the whole command with an initial response, RFC 4954 section 4

_XOAUTH2_RESPONSE = re.compile("user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01")
# RFC 7628 section 3.1, with its host and port, and a saslname as RFC 5801 section 4 has it.
_OAUTHBEARER_RESPONSE = re.compile(
    "n,a=((?:[^,=\x00\x01]|=2C|=3D)*),\x01host=[^\x01]+\x01port=[0-9]+\x01auth=Bearer ([^\x01]*)\x01\x01"
)
_TOKEN_REFUSAL = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode("ascii")
_ANSWERS_TO_REFUSAL = {"XOAUTH2": "", "OAUTHBEARER": "AQ=="}  # nothing; ^A, RFC 7628 section 3.2.3


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
            return _found(_XOAUTH2_RESPONSE, _decode(initial or ask("")))
        case "OAUTHBEARER":
            user, token = _found(_OAUTHBEARER_RESPONSE, _decode(initial or ask("")))
            return user.replace("=2C", ",").replace("=3D", "="), token
    raise ValueError(f"no such mechanism: {mechanism}")


def explain_refusal(mechanism: str, ask: Ask, challenges: Iterable[str] | None) -> list[str]:
    """Tell why a token is refused in *challenges* (None: in a proper one), each of which the client has to answer.

    What was wrong with the client's answers.
    """
    if mechanism not in TOKEN_MECHANISMS:
        return []
    due = _ANSWERS_TO_REFUSAL[mechanism]
    answers = [ask(challenge) for challenge in ([_TOKEN_REFUSAL] if challenges is None else challenges)]
    return [f"{mechanism}: {answer!r} answers a refusal, not {due!r}" for answer in answers if answer != due]


def _found(form: re.Pattern[str], response: str) -> tuple[str, str]:
    found = form.fullmatch(response)
    if found is None:
        raise AuthCancelledError
    return found[1], found[2]


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
