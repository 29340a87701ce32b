"""The text that a person reads in somebody else's message: of any MIME structure, however broken."""

import binascii
import re
from collections.abc import Iterator

from prx_email_cli.mail.lenient import decode, decode_base64, head_and_body, header_fields

MAX_TEXT_CHARACTERS = 64 * 1024
CONTENT_HEADERS = frozenset((b"content-type", b"content-transfer-encoding", b"content-disposition"))

_MAX_ENCODED_BYTES = 8 * MAX_TEXT_CHARACTERS
_MAX_DEPTH = 8
_MAX_PARTS = 100
_CHARSET = re.compile(rb"charset\*?\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_BOUNDARY = re.compile(rb"boundary\s*=\s*(?:\"([^\"]*)\"|([^\s;]+))", re.IGNORECASE)


def text_of(fields: dict[bytes, bytes], body: bytes) -> str:
    """The plain text of a message with these CONTENT_HEADERS, a rough one where there is only HTML, "" for none."""
    markup = ""
    for subtype, text in _leaves(fields, body, 0):
        if subtype != b"html" and text.strip():
            return _tidy(text)
        if subtype == b"html" and not markup:
            markup = text
    return _tidy(rough_text(markup)) if markup else ""


def rough_text(markup: str) -> str:
    """The words and links of some HTML, as a browser shows them.  Takes time in proportion to its length."""
    from prx_email_cli.errors import ValidationError
    from prx_email_cli.mail.page import flat, parsed
    from prx_email_cli.mail.page_text import is_block, page_text

    try:
        return page_text(parsed(markup))
    except ValidationError:  # too deep for a tree
        return page_text(flat(markup, is_block))


def _leaves(fields: dict[bytes, bytes], body: bytes, depth: int) -> Iterator[tuple[bytes, str]]:
    """Subtype and text of every text part that is no attachment, in order."""
    content_type = fields.get(b"content-type", b"")
    kind, _, subtype = content_type.partition(b";")[0].strip().lower().partition(b"/")
    if kind == b"multipart" and depth < _MAX_DEPTH:
        for part in _parts(content_type, body):
            head, content = head_and_body(part)
            inner = header_fields(head, CONTENT_HEADERS)
            if not inner.get(b"content-disposition", b"").lower().startswith(b"attachment"):
                yield from _leaves(inner, content, depth + 1)
    elif subtype in (b"plain", b"html", b""):
        charset = _CHARSET.search(content_type)
        raw = _transfer_decoded(fields.get(b"content-transfer-encoding", b""), body[:_MAX_ENCODED_BYTES])
        yield subtype, decode(raw, charset and charset[1].decode("ascii", "replace"))


def _parts(content_type: bytes, body: bytes) -> list[bytes]:
    named = _BOUNDARY.search(content_type)
    boundary = (named[1] or named[2] or b"").rstrip() if named else b""
    if not boundary:
        return []
    parts: list[bytes] = []
    delimiter = b"\n--" + boundary
    for piece in (b"\n" + body).split(delimiter, _MAX_PARTS)[1:]:
        line, _, part = piece.partition(b"\n")
        if line.strip() in (b"", b"--"):
            parts.append(part)
        elif parts:  # another boundary, which begins like this one
            parts[-1] += delimiter + piece
    return parts


def _transfer_decoded(encoding: bytes, body: bytes) -> bytes:
    encoding = encoding.strip().lower()
    if encoding == b"base64":
        return decode_base64(body)
    return binascii.a2b_qp(body) if encoding == b"quoted-printable" else body


def _tidy(text: str) -> str:
    """*text* with LF line ends, no NUL, and of bounded length."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text if len(text) <= MAX_TEXT_CHARACTERS else text[:MAX_TEXT_CHARACTERS] + "\n[...]\n"
