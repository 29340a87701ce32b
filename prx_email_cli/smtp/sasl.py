"""Log in with an OAuth token, by XOAUTH2 or, if only that is offered, OAUTHBEARER."""

import binascii
import json
import smtplib
from base64 import b64encode

from prx_email_cli.redaction import remember_encoded, reported
from prx_email_cli.smtp.connection import MAX_COMMAND_OCTETS, Wire
from prx_email_cli.smtp.errors import BadReply, OpeningStep, Refused

_MAX_SHOWN = 300


def log_in_with_token(wire: Wire, user: str, token: str) -> None:
    """Log in over *wire*.

    Raises Refused, smtplib.SMTPNotSupportedError when neither mechanism is offered, ConnectionLost, BadReply.
    """
    wire.ehlo_or_helo_if_needed()
    offered = wire.esmtp_features.get("auth", "").upper().split()
    for mechanism, dialogue in (("XOAUTH2", _xoauth2), ("OAUTHBEARER", _oauthbearer)):
        if mechanism in offered:
            _speak(wire, mechanism, dialogue(wire, user, token))
            return
    raise smtplib.SMTPNotSupportedError(f"offered: {' '.join(offered)}" if offered else "")


def _xoauth2(wire: Wire, user: str, token: str) -> "_Dialogue":
    """Make the dialogue of XOAUTH2; a refusal's challenge gets an empty answer.

    developers.google.com/workspace/gmail/imap/xoauth2-protocol.
    """
    return _Dialogue(f"user={user}\1auth=Bearer {token}\1\1", "")


def _oauthbearer(wire: Wire, user: str, token: str) -> "_Dialogue":
    """Make the dialogue of OAUTHBEARER (RFC 7628 section 3.1).

    A refusal's challenge gets the answer of its section 3.2.3.
    """
    host, port = wire.server
    name = user.replace("=", "=3D").replace(",", "=2C")  # saslname, RFC 5801 section 4
    return _Dialogue(f"n,a={name},\1host={host}\1port={port}\1auth=Bearer {token}\1\1", "\1")


def _speak(wire: Wire, mechanism: str, dialogue: "_Dialogue") -> None:
    encoded = remember_encoded(b64encode(dialogue.first.encode()).decode())
    fits = len(f"AUTH {mechanism} {encoded}\r\n") <= MAX_COMMAND_OCTETS
    with wire.logging_in():
        try:
            wire.auth(mechanism, dialogue, initial_response_ok=fits)
        except smtplib.SMTPAuthenticationError:
            if dialogue.status:
                wire.transcript.event(f"the server's reason: {dialogue.status}")
            raise Refused(wire.last_reply, OpeningStep.LOGIN, dialogue.status) from None
        except smtplib.SMTPException:  # smtplib ends after some challenges; its error would show the last one
            raise BadReply("the server's AUTH challenges do not end") from None
        except binascii.Error:
            raise BadReply("the server's AUTH challenge is not base64") from None
    wire.profile.login = mechanism


class _Dialogue:
    """Answers the server's challenges: with the token, then with what ends a refusal.

    status: the server's reason for refusing, "" until it gives one.
    """

    def __init__(self, first: str, to_refusal: str) -> None:
        self.first = first
        self.status = ""
        self._to_refusal = to_refusal
        self._said = False

    def __call__(self, challenge: bytes | None = None) -> str:
        if not self._said:
            self._said = True
            return self.first
        self.status = _readable(challenge or b"")
        return self._to_refusal


def _readable(challenge: bytes) -> str:
    """Return the reason in a refusal's challenge, such as ``status 400, scope ...``.

    A challenge that is no JSON object is returned as text.
    """
    text = challenge.decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        text = ", ".join(f"{key} {value}" for key, value in said.items() if isinstance(value, str | int) and value)
    return reported(text, _MAX_SHOWN)
