"""Text bodies on their way to the wire: byte-faithful and safe for every relay."""

import base64
import binascii
import re

_LINE_ENDS = re.compile(rb"\r\n|\r|\n")
_MAX_PLAIN_LINE = 78  # RFC 5322 section 2.1.1
_QP_LINE = 76  # RFC 2045 section 6.7, rule 5
# Spaces at a line's end get lost on the way, "From " gets a > in front of it in mbox files, a dot may end the message
# at a careless relay, and NUL ends a string in many.
_FRAGILE = re.compile(rb"[ \t](?:\n|\Z)|(?m:^From |^\.)|[\0\x7f-\xff]|.{79}")


def encode_text(text: str) -> tuple[str, bytes]:
    """A text as its Content-Transfer-Encoding and its encoded lines, ending in CRLF.

    Lines that end alike (all LF or all CRLF) travel as lines, plain where every relay keeps them, else as
    quoted-printable.  A text with mixed ends or a bare CR travels as base64, so that each byte arrives as written.
    """
    data = text.encode()
    if "\r" in text:
        ends = set(_LINE_ENDS.findall(data))
        if ends != {b"\r\n"}:
            return "base64", encode_base64(data)
        data = data.replace(b"\r\n", b"\n")
    if data.endswith(b"\n") and not _FRAGILE.search(data):
        return "7bit", data.replace(b"\n", b"\r\n")
    quoted = _quoted_printable(data)
    if quoted is None or len(quoted) > len(data) * 4 // 3 + 100:
        return "base64", encode_base64(data.replace(b"\n", b"\r\n"))
    return "quoted-printable", quoted


def encode_base64(data: bytes) -> bytes:
    """*data* as base64 lines of 76 characters, each ending in CRLF (RFC 2045 section 6.8)."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _quoted_printable(data: bytes) -> bytes | None:
    """*data*, whose lines end in LF, as quoted-printable; None when its last line leaves no room for the ``=``.

    Text that does not end in a line break ends in a soft one, so that none is added to it.
    """
    quoted = binascii.b2a_qp(data.replace(b"\n", b"\r\n"), quotetabs=False, istext=True, header=False)
    quoted = re.sub(rb"(?m)^From ", b"=46rom ", quoted)
    quoted = re.sub(rb"(?m)^\.", b"=2E", quoted)
    if any(len(line) > _QP_LINE for line in quoted.split(b"\r\n")):
        return None
    if quoted.endswith(b"\r\n") or not quoted:
        return quoted
    return quoted + b"=\r\n" if len(quoted) - quoted.rfind(b"\n") - 1 < _QP_LINE else None
