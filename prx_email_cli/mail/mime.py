"""Write a message's body, a tree of MIME parts, piece by piece; no attachment is ever whole in memory."""

import base64
import binascii
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_LINE_ENDS = re.compile(rb"\r\n|\r|\n")
_MAX_PLAIN_LINE = 78  # RFC 5322 section 2.1.1
_QP_LINE = 76  # RFC 2045 section 6.7, rule 5
# Spaces at a line's end get lost on the way, "From " gets a > in front of it in mbox files, a dot may end the message
# at a careless relay, and NUL ends a string in many.
_FRAGILE = re.compile(rb"[ \t](?:\n|\Z)|(?m:^From |^\.)|[\0\x7f-\xff]|.{79}")
_BASE64_LINES = 57 * 1024  # octets that become whole lines of 76 characters (RFC 2045 section 6.8)
# Quoted, as the stdlib writes them, they end a name early in some parsers, which would hide a file's real ending.
_MISREAD = frozenset('";\\')


class Leaf(NamedTuple):
    """A part without parts.  headers: its header lines, each ending in CRLF.  content: encoded, ending in CRLF."""

    headers: str
    content: Iterable[bytes]


class Multipart(NamedTuple):
    """A part of parts (RFC 2046 section 5.1).  subtype: mixed, alternative or related."""

    subtype: str
    children: "list[Leaf | Multipart]"


Part = Leaf | Multipart


class Attachment(NamedTuple):
    """A file to be attached: checked against the policy, its bytes still to be read.

    chunks: its decoded bytes in pieces, readable once.  content_id: set for an image that the HTML shows inline.
    """

    filename: str
    content_type: str
    chunks: Iterable[bytes]
    content_id: str | None = None


def text_leaf(text: str, subtype: str = "plain") -> Leaf:
    """Make a text part in UTF-8, from which each byte arrives as written."""
    encoding, content = encode_text(text)
    headers = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n'
    return Leaf(headers, [content])


def group(subtype: str, children: list[Part]) -> Part:
    """Join *children* in a multipart; a single child is returned as it is."""
    return children[0] if len(children) == 1 else Multipart(subtype, children)


def headers_and_content(part: Part) -> tuple[str, Iterator[bytes]]:
    """Return the header lines of *part* and the pieces of its content."""
    if isinstance(part, Leaf):
        return part.headers, iter(part.content)
    # "=_" occurs neither in quoted-printable nor in base64, and 128 random bits in no text by chance or design.
    boundary = f"=_{os.urandom(16).hex()}"
    return f'Content-Type: multipart/{part.subtype};\r\n boundary="{boundary}"\r\n', _children(part, boundary)


def _children(part: Multipart, boundary: str) -> Iterator[bytes]:
    for child in part.children:
        headers, content = headers_and_content(child)
        yield f"--{boundary}\r\n{headers}\r\n".encode()
        yield from content
        yield b"\r\n"  # belongs to the boundary, not to the part: its content ends with a line end of its own
    yield f"--{boundary}--\r\n".encode()


def attachment_leaf(attachment: Attachment) -> Leaf:
    """Make a part of *attachment*: its name by RFC 2231, its content in base64."""
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
        from email.utils import encode_rfc2231  # on use

        extended = encode_rfc2231(filename, "utf-8")  # RFC 2231 section 4: nothing in it needs quotes
        return f"Content-Disposition: {disposition};\r\n filename*={extended}\r\n"
    return _header("Content-Disposition", disposition, filename=filename)


def _header(name: str, value: str, **parameters: str) -> str:
    """Write one MIME header, encoded and folded by the standard library, ending in CRLF."""
    from email.message import MIMEPart  # on use
    from email.policy import SMTP  # on use

    part = MIMEPart(policy=SMTP)
    part.add_header(name, value, **parameters)
    return part.as_bytes().decode("ascii").rstrip("\r\n") + "\r\n"


def base64_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Encode *chunks* as base64 lines of 76 characters, each ending in CRLF."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        whole = len(buffer) - len(buffer) % _BASE64_LINES
        if whole:
            yield encode_base64(buffer[:whole])
            del buffer[:whole]
    yield encode_base64(buffer)


def encode_text(text: str) -> tuple[str, bytes]:
    """Encode *text*; return its Content-Transfer-Encoding and its lines, ending in CRLF.

    A text whose lines all end in LF, or all in CRLF, is 7bit where every relay keeps it, else quoted-printable.  One
    with mixed ends or a bare CR is base64, so that each byte arrives as written.
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


def encode_base64(data: bytes | bytearray) -> bytes:
    """Encode *data* as base64 lines of 76 characters, each ending in CRLF (RFC 2045 section 6.8)."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _quoted_printable(data: bytes) -> bytes | None:
    """Encode *data*, whose lines end in LF, as quoted-printable.

    Text that does not end in a line break gets a soft one; None when its last line leaves no room for that.
    """
    quoted = binascii.b2a_qp(data.replace(b"\n", b"\r\n"), quotetabs=False, istext=True, header=False)
    quoted = re.sub(rb"(?m)^From ", b"=46rom ", quoted)
    quoted = re.sub(rb"(?m)^\.", b"=2E", quoted)
    if any(len(line) > _QP_LINE for line in quoted.split(b"\r\n")):
        return None
    if quoted.endswith(b"\r\n") or not quoted:
        return quoted
    return quoted + b"=\r\n" if len(quoted) - quoted.rfind(b"\n") - 1 < _QP_LINE else None
