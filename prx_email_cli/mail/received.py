"""Read received messages as far as a reply needs them; any bytes give some text."""

import binascii
import codecs
import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import bracketed
from prx_email_cli.mail.headers import CONTROLS, cleaned, decode, decode_base64

MAX_ID_CHARACTERS = 900  # with "In-Reply-To: " still below the 998 octets of a line (RFC 5322 section 2.1.1)
MAX_FIELD_CHARACTERS = 256 * 1024
MAX_TEXT_CHARACTERS = 64 * 1024

_CONTENT_HEADERS = frozenset((b"content-type", b"content-transfer-encoding", b"content-disposition"))

_ENCODED_BYTES = 8  # at most, of a character
_MAX_DEPTH = 8
_MAX_PARTS = 100
_CHARSET = re.compile(rb"charset\*?\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_BOUNDARY = re.compile(rb"boundary\s*=\s*(?:\"([^\"]*)\"|([^\s;]+))", re.IGNORECASE)
_FIELD = rb"[!-9;-~]++[ \t]*+:[^\n]*+(?:\n|\Z)"  # RFC 5322 sections 2.2 and 4.5.8
_HEAD = re.compile(rb"(?:(?:>?From [^\n]*+\n)*+%b(?:[ \t]++[^\n]*+(?:\n|\Z))*+)*+" % _FIELD)
_BLANK_LINE = re.compile(rb"\r*+\n")
_FOLD = re.compile(rb"\n[ \t]+")
_ID = re.compile(rf"[!-;=?-~]{{1,{MAX_ID_CHARACTERS - 2}}}")
_ID_OF_OURS = re.compile(r"no-message-id-[0-9a-f]{24}")
_WANTED = _CONTENT_HEADERS | {
    b"message-id", b"in-reply-to", b"references", b"from", b"reply-to", b"to", b"cc", b"subject", b"date",
}  # fmt: skip


class KnownMessage(NamedTuple):
    """A message that can be answered.

    message_id: with its angle brackets, or without them an id of ours for a message that has none; in_reply_to,
    reference_ids: ids of the first kind, separated by spaces.  sender, reply_to, recipients, copies, subject, date: the
    headers From, Reply-To, To, Cc, Subject and Date, unfolded, without control characters, encoded words still encoded
    (structure is read before words are decoded).  "" for what is missing.
    """

    message_id: str
    in_reply_to: str
    reference_ids: str
    sender: str
    reply_to: str
    recipients: str
    copies: str
    subject: str
    date: str
    text: str

    @property
    def has_message_id(self) -> bool:
        """Tell whether it has a Message-ID of its own, so that a reply may name it."""
        return self.message_id.startswith("<")


def known_message(data: bytes, message_id: str | None = None) -> KnownMessage:
    """Read the message in *data*, of which the beginning is enough.

    message_id: instead of the one inside.  Raises ValidationError when *data* is blank.
    """
    if not data.strip():
        raise ValidationError("the message is empty")
    head, body = head_and_body(data)
    fields = header_fields(head, _WANTED)
    if not fields and not body:  # a single "Word: and what follows" is a field by its form alone
        body = head
    return KnownMessage(
        message_id=message_id or normal_id(_value(fields, b"message-id", header_text)) or _id_of_ours(data),
        in_reply_to=" ".join(ids_in(_value(fields, b"in-reply-to", header_text))),
        reference_ids=" ".join(ids_in(_value(fields, b"references", header_text))),
        sender=_value(fields, b"from", address_text),
        reply_to=_value(fields, b"reply-to", address_text),
        recipients=_value(fields, b"to", address_text),
        copies=_value(fields, b"cc", address_text),
        subject=_value(fields, b"subject", header_text),
        date=_value(fields, b"date", header_text),
        text=text_of(fields, body),
    )


def ids_in(text: str) -> list[str]:
    """Find the Message-IDs in a header's value, each with its angle brackets; other text is left out."""
    inner = ("".join(found.split()) for found in bracketed(text))
    return [f"<{bare}>" for bare in inner if _ID.fullmatch(bare)]


def normal_id(text: str) -> str | None:
    """Find the first Message-ID in *text*, and add its brackets if missing; None when there is none."""
    bare = text.strip()
    return next(iter(ids_in(text)), None) or (f"<{bare}>" if _ID.fullmatch(bare) else None)


def known_id(text: str) -> str | None:
    """Normalise the id of a known message as a person typed it; None if it cannot be one."""
    bare = text.strip()
    return bare if _ID_OF_OURS.fullmatch(bare) else normal_id(bare)


def _id_of_ours(data: bytes) -> str:
    """Make an id for a message without one; the same in an mbox or alone, with LF or CRLF."""
    content = data.replace(b"\r\n", b"\n").strip()
    return f"no-message-id-{hashlib.sha256(content).hexdigest()[:24]}"


def _value(fields: dict[bytes, bytes], name: bytes, read: Callable[[bytes], str]) -> str:
    value = fields.get(name)
    return "" if value is None else read(value[:MAX_FIELD_CHARACTERS])


def head_and_body(data: bytes) -> tuple[bytes, bytes]:
    """Split a message or part into headers and body, which begins after a blank line or with what is no field.

    A "From " line of an mbox between fields is skipped (RFC 4155), and so is a byte order mark.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    head = _HEAD.match(data)
    at = head.end() if head else 0
    blank = _BLANK_LINE.match(data, at)
    return data[:at], data[blank.end() if blank else at :]


def header_fields(head: bytes, wanted: Collection[bytes]) -> dict[bytes, bytes]:
    """Return the unfolded values of the *wanted* headers (lower-case names), the first where there are several."""
    found: dict[bytes, bytes] = {}
    for line in _FOLD.sub(b" ", head.replace(b"\r\n", b"\n")).split(b"\n"):
        name, colon, value = line.partition(b":")
        name = name.strip().lower()
        if colon and name in wanted:
            found.setdefault(name, value.strip())
    return found


def header_text(value: bytes) -> str:
    """Decode a header's value, without control characters; encoded words stay as they are."""
    return cleaned(decode(value, None))


def address_text(value: bytes) -> str:
    """Decode an address header's value; control characters become U+FFFD: a space would change the addresses."""
    text = decode(value, None).replace("\t", " ")
    return text.strip() if text.isprintable() else CONTROLS.sub("\ufffd", text).strip()


def whole_text(data: bytes) -> str:
    """Return the plain text of a whole message, however long, as ``text_of`` does."""
    head, body = head_and_body(data)
    return text_of(header_fields(head, _CONTENT_HEADERS), body, len(data))


def text_of(fields: dict[bytes, bytes], body: bytes, most: int = MAX_TEXT_CHARACTERS) -> str:
    """Return the plain text of a message, made from its HTML if it has no other; "" for none.

    fields: its _CONTENT_HEADERS.  most: so many characters of it, at most.
    """
    markup = ""
    for subtype, text in _leaves(fields, body, 0, most * _ENCODED_BYTES):
        if subtype != b"html" and text.strip():
            return _tidy(text, most)
        if subtype == b"html" and not markup:
            markup = text
    return _tidy(rough_text(markup), most) if markup else ""


def rough_text(markup: str) -> str:
    """Return the words and links of some HTML.  Takes time in proportion to its length."""
    from prx_email_cli.mail.page import flat, parsed  # on use
    from prx_email_cli.mail.page_text import is_block, page_text  # on use

    try:
        return page_text(parsed(markup))
    except ValidationError:  # too deep for a tree
        return page_text(flat(markup, is_block))


def _leaves(fields: dict[bytes, bytes], body: bytes, depth: int, most: int) -> Iterator[tuple[bytes, str]]:
    """Yield subtype and text of every text part that is no attachment, in order, so many encoded bytes of each."""
    content_type = fields.get(b"content-type", b"")
    kind, _, subtype = content_type.partition(b";")[0].strip().lower().partition(b"/")
    if kind == b"multipart" and depth < _MAX_DEPTH:
        for part in _parts(content_type, body):
            head, content = head_and_body(part)
            inner = header_fields(head, _CONTENT_HEADERS)
            if not inner.get(b"content-disposition", b"").lower().startswith(b"attachment"):
                yield from _leaves(inner, content, depth + 1, most)
    elif subtype in (b"plain", b"html", b""):
        charset = _CHARSET.search(content_type)
        raw = _transfer_decoded(fields.get(b"content-transfer-encoding", b""), body[:most])
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


def _tidy(text: str, most: int) -> str:
    """Give *text* LF line ends, remove NUL, and cut it to *most* characters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text if len(text) <= most else text[:most] + "\n[...]\n"
