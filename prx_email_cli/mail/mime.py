"""Write a message's body, a tree of MIME parts, piece by piece; no attachment is ever whole in memory."""

import base64
import binascii
import os
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import NamedTuple

_MAX_PLAIN_LINE = 78  # RFC 5322 section 2.1.1
_FROM, _DOT = b"From ", b"."  # at a line's start mbox files put a > before it, and a careless relay ends the message
_QP_LINE = 76  # RFC 2045 section 6.7, rule 5
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
        if not text.count("\r") == text.count("\n") == text.count("\r\n"):
            return "base64", encode_base64(data)
        data = data.replace(b"\r\n", b"\n")
    if data.endswith(b"\n") and not _is_fragile(data):
        return "7bit", data.replace(b"\n", b"\r\n")
    quoted = _quoted_printable(data)
    if quoted is None or len(quoted) > len(data) * 4 // 3 + 100:
        return "base64", encode_base64(data.replace(b"\n", b"\r\n"))
    return "quoted-printable", quoted


def _is_fragile(data: bytes) -> bool:
    """Tell whether a relay may change *data*, whose lines, at least one, all end in LF.

    Spaces at a line's end get lost on the way, and NUL ends a string in many programs.  A search for each, in C, takes
    a tenth of the time of one regular expression.
    """
    return (
        not data.isascii()
        or (b" \n" in data or b"\t\n" in data or b"\0" in data or b"\x7f" in data)
        or (data.startswith((_FROM, _DOT)) or b"\n" + _FROM in data or b"\n" + _DOT in data)
        or max(map(len, BytesIO(data))) > _MAX_PLAIN_LINE + len(b"\n")
    )


def encode_base64(data: bytes | bytearray) -> bytes:
    """Encode *data* as base64 lines of 76 characters, each ending in CRLF (RFC 2045 section 6.8)."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _quoted_printable(data: bytes) -> bytes | None:
    """Encode *data*, whose lines end in LF, as quoted-printable.

    Text that does not end in a line break gets a soft one; None when its last line leaves no room for that.
    """
    quoted = binascii.b2a_qp(data.replace(b"\n", b"\r\n"), quotetabs=False, istext=True, header=False)
    quoted = (b"\n" + quoted).replace(b"\n" + _FROM, b"\n=46rom ").replace(b"\n" + _DOT, b"\n=2E")[1:]
    if max(map(len, quoted.split(b"\r\n"))) > _QP_LINE:
        return None
    if quoted.endswith(b"\r\n") or not quoted:
        return quoted
    return quoted + b"=\r\n" if len(quoted) - quoted.rfind(b"\n") - 1 < _QP_LINE else None
