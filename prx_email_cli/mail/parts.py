"""A message's body as a tree of MIME parts, written piece by piece: no part is ever whole in memory because of us."""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prx_email_cli.mail.body import encode_text


class Leaf(NamedTuple):
    """A part without parts.  headers: its header lines, each ending in CRLF.  content: encoded, ending in CRLF."""

    headers: str
    content: Iterable[bytes]


class Multipart(NamedTuple):
    """A part of parts (RFC 2046 section 5.1).  subtype: mixed, alternative or related."""

    subtype: str
    children: "list[Leaf | Multipart]"


Part = Leaf | Multipart


def text_leaf(text: str, subtype: str = "plain") -> Leaf:
    """A text part in UTF-8, byte-faithful."""
    encoding, content = encode_text(text)
    headers = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n'
    return Leaf(headers, [content])


def group(subtype: str, children: list[Part]) -> Part:
    """*children* as one part; a single child needs no multipart around it."""
    return children[0] if len(children) == 1 else Multipart(subtype, children)


def headers_and_content(part: Part) -> tuple[str, Iterator[bytes]]:
    """The header lines of *part* and the pieces of its content."""
    if isinstance(part, Leaf):
        return part.headers, iter(part.content)
    # "=_" can stand neither in quoted-printable nor in base64, and 128 random bits in no text by chance or design.
    boundary = f"=_{os.urandom(16).hex()}"
    return f'Content-Type: multipart/{part.subtype};\r\n boundary="{boundary}"\r\n', _children(part, boundary)


def _children(part: Multipart, boundary: str) -> Iterator[bytes]:
    for child in part.children:
        headers, content = headers_and_content(child)
        yield f"--{boundary}\r\n{headers}\r\n".encode()
        yield from content
        yield b"\r\n"  # belongs to the boundary, not to the part: its content ends with a line end of its own
    yield f"--{boundary}--\r\n".encode()
