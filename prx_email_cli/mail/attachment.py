"""One attachment as a MIME part."""

import base64
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prx_email_cli.mail.parts import Leaf

_BASE64_LINES = 57 * 1024  # octets that become whole lines of 76 characters (RFC 2045 section 6.8)


# Quoted, as the stdlib writes them, they end a name early in some parsers, which would hide a file's real ending.
_MISREAD = frozenset('";\\')


class Attachment(NamedTuple):
    """A file on its way into a message: already checked against the policy, its bytes still to be read.

    chunks: its decoded bytes in pieces, readable once.  content_id: set for an image that the HTML shows inline.
    """

    filename: str
    content_type: str
    chunks: Iterable[bytes]
    content_id: str | None = None


def attachment_leaf(attachment: Attachment) -> Leaf:
    """*attachment* as a part: names in any script by RFC 2231, content in base64."""
    disposition = "attachment" if attachment.content_id is None else "inline"
    headers = [
        _header("Content-Type", attachment.content_type),
        _disposition(disposition, attachment.filename),
        "Content-Transfer-Encoding: base64\r\n",
        f"Content-ID: <{attachment.content_id}>\r\n" if attachment.content_id is not None else "",
    ]
    return Leaf("".join(headers), base64_lines(attachment.chunks))


def _disposition(disposition: str, filename: str) -> str:
    if _MISREAD.intersection(filename) and filename.isascii():
        from email.utils import encode_rfc2231

        extended = encode_rfc2231(filename, "utf-8")  # RFC 2231 section 4: nothing in it needs quotes
        return f"Content-Disposition: {disposition};\r\n filename*={extended}\r\n"
    return _header("Content-Disposition", disposition, filename=filename)


def _header(name: str, value: str, **parameters: str) -> str:
    """One MIME header as the stdlib encodes and folds it, ending in CRLF."""
    from email.message import MIMEPart
    from email.policy import SMTP

    part = MIMEPart(policy=SMTP)
    part.add_header(name, value, **parameters)
    return part.as_bytes().decode("ascii").rstrip("\r\n") + "\r\n"


def base64_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """*chunks* as base64 lines of 76 characters, each ending in CRLF."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        whole = len(buffer) - len(buffer) % _BASE64_LINES
        if whole:
            yield base64.encodebytes(buffer[:whole]).replace(b"\n", b"\r\n")
            del buffer[:whole]
    yield base64.encodebytes(buffer).replace(b"\n", b"\r\n")
