"""One attachment as a MIME part."""

import base64
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prx_email_cli.mail.parts import Leaf

_BASE64_LINES = 57 * 1024  # octets that become whole lines of 76 characters (RFC 2045 section 6.8)


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
    from email.message import MIMEPart
    from email.policy import SMTP

    part = MIMEPart(policy=SMTP)
    part["Content-Type"] = attachment.content_type
    disposition = "attachment" if attachment.content_id is None else "inline"
    part.add_header("Content-Disposition", disposition, filename=attachment.filename)
    part["Content-Transfer-Encoding"] = "base64"
    if attachment.content_id is not None:
        part["Content-ID"] = f"<{attachment.content_id}>"
    headers = part.as_bytes().decode("ascii").split("\r\n\r\n", 1)[0].rstrip("\r\n") + "\r\n"
    return Leaf(headers, base64_lines(attachment.chunks))


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
