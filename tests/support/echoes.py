"""Every form in which a server may repeat what it was told."""

from __future__ import annotations

import base64
import json
import quopri
from collections.abc import Callable
from urllib.parse import quote, quote_plus

ECHOES: dict[str, Callable[[str], str]] = {
    "raw": lambda secret: secret,
    "upper case": str.upper,
    "swapped case": str.swapcase,
    "base64": lambda secret: _base64(secret),
    "base64 of PLAIN": lambda secret: _base64(f"\0ops@example.com\0{secret}"),
    "base64 behind one octet": lambda secret: _base64(f"x{secret}y"),
    "base64 behind two octets": lambda secret: _base64(f"xx{secret}"),
    "base64 without padding": lambda secret: _base64(secret).rstrip("="),
    "base64url": lambda secret: base64.urlsafe_b64encode(f"\0u\0{secret}".encode()).decode(),
    "base64 in percent": lambda secret: quote(_base64(secret), safe=""),
    "base64 in lines": lambda secret: base64.encodebytes(f"\0ops@example.com\0{secret}".encode()).decode().strip(),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "HEXADECIMAL": lambda secret: secret.encode().hex().upper(),
    "hexadecimal with colons": lambda secret: secret.encode().hex(":"),
    "hexadecimal behind a digit": lambda secret: f"a{secret.encode().hex()}",
    "hexadecimal as in C": lambda secret: ", ".join(f"0x{octet:02x}" for octet in secret.encode()),
    "percent": lambda secret: quote(secret, safe=""),
    "percent, lower case": lambda secret: "".join(f"%{octet:02x}" for octet in secret.encode()),
    "percent, a form's": quote_plus,
    "percent of percent": lambda secret: quote(quote(secret, safe=""), safe=""),
    "JSON": lambda secret: json.dumps(secret),
    "JSON, all escaped": lambda secret: "".join(f"\\u{ord(c):04x}" for c in secret),
    "repr": repr,
    "repr of octets": lambda secret: repr(secret.encode()),
    "backslash x": lambda secret: "".join(f"\\x{octet:02X}" for octet in secret.encode()),
    "octal": lambda secret: "".join(f"\\{octet:03o}" for octet in secret.encode()),
    "shell": lambda secret: "".join(f"\\{c}" if not c.isalnum() else c for c in secret),
    "quoted-printable": lambda secret: quopri.encodestring(secret.encode(), quotetabs=True).decode(),
    "quoted-printable, all": lambda secret: "".join(f"={octet:02X}" for octet in secret.encode()),
    "HTML": lambda secret: (
        secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    ),
    "HTML, decimal": lambda secret: "".join(f"&#{ord(c)};" for c in secret),
    "HTML, hexadecimal": lambda secret: "".join(f"&#x{ord(c):X};" for c in secret),
    "UTF-16": lambda secret: "\0".join(secret),
    "spaced": " ".join,
    "one character a line": "\n".join,
    "in two lines": lambda secret: f"{secret[: len(secret) // 2]}\n{secret[len(secret) // 2 :]}",
}


def pieces_in(text: str, secret: str, length: int) -> list[str]:
    """The pieces of *secret* of this many characters that can be read in *text*: raw, in base64, hexadecimal digits or
    percent-encoded, in any case and with any gaps."""
    seen = "".join(text.split()).lower()
    found = []
    for start in range(len(secret) - length + 1):
        piece = secret[start : start + length]
        if len("".join(piece.split())) == length and any(form.lower() in seen for form in _forms(piece)):
            found.append(piece)
    return found


def _forms(piece: str) -> list[str]:
    raw = piece.encode()
    forms = [piece, raw.hex(), quote(piece, safe=""), "".join(f"%{octet:02x}" for octet in raw)]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        inner = encoded[(8 * before + 5) // 6 : 8 * (before + len(raw)) // 6]
        forms += [inner, inner.translate({ord("+"): "-", ord("/"): "_"})]
    return forms


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
