"""Reading what other programs wrote: whatever the bytes are, some text comes back and nothing is raised."""

import binascii
import codecs
import re
from collections.abc import Collection
from functools import lru_cache

# What could end or hide a header of ours: C0, DEL, C1, the Unicode separators, lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FOLD = re.compile(rb"\n[ \t]+")
_ENCODED_WORD = re.compile(r"=\?([^?\s*]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_ASCII = ("", "ascii", "us-ascii", "unknown-8bit", "x-unknown", "default", "default_charset", "8bit", "7bit")
_NOT_FOR_MAIL = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined")  # slow, or no charset at all


def head_and_body(data: bytes) -> tuple[bytes, bytes]:
    """The header section of a message or part, and its body."""
    for blank in (b"\n", b"\r\n"):
        if data.startswith(blank):
            return b"", data[len(blank) :]
    found = [(at, len(blank)) for blank in (b"\n\n", b"\n\r\n") if (at := data.find(blank)) >= 0]
    at, length = min(found, default=(len(data), 0))
    return data[:at], data[at + length :]


def header_fields(head: bytes, wanted: Collection[bytes]) -> dict[bytes, bytes]:
    """The unfolded values of the *wanted* headers (lower-case names), the first where there are several."""
    found: dict[bytes, bytes] = {}
    for line in _FOLD.sub(b" ", head.replace(b"\r\n", b"\n")).split(b"\n"):
        name, colon, value = line.partition(b":")
        name = name.strip().lower()
        if colon and name in wanted:
            found.setdefault(name, value.strip())
    return found


def header_text(value: bytes) -> str:
    """A header's value as text without control characters; encoded words stay as they are."""
    return cleaned(decode(value, None))


def address_text(value: bytes) -> str:
    """The same of an address header, where a control character is no space: it would join what it stands between."""
    text = decode(value, None).replace("\t", " ")
    return text.strip() if text.isprintable() else _CONTROL.sub("\ufffd", text).strip()


def cleaned(text: str) -> str:
    """*text* without control characters and lone surrogates."""
    return text.strip() if text.isprintable() else _CONTROL.sub(" ", text).strip()


def decoded_words(text: str) -> str:
    """*text* with its encoded words decoded (RFC 2047), then without control characters."""
    if "=?" not in text:
        return cleaned(text)
    pieces: list[str] = []
    held, held_charset, end = b"", "", 0  # words that follow each other are decoded together: some split a character
    for word in _ENCODED_WORD.finditer(text):
        gap = text[end : word.start()]
        charset = word[1].lower()
        if held and (gap.strip() or charset != held_charset):
            pieces.append(decode(held, held_charset))
            held = b""
        if gap.strip() or not end:
            pieces.append(gap)
        held, held_charset, end = held + _word_bytes(word[2], word[3]), charset, word.end()
    return cleaned("".join([*pieces, decode(held, held_charset), text[end:]]))


def _word_bytes(encoding: str, payload: str) -> bytes:
    data = payload.encode("utf-8", "replace")
    return decode_base64(data) if encoding in "bB" else binascii.a2b_qp(data, header=True)


def decode_base64(data: bytes) -> bytes:
    """The bytes in *data*, also when it is cut off or has foreign characters in it."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        digits = _NOT_BASE64.sub(b"", data)
        return binascii.a2b_base64(digits[: len(digits) & ~3])


def decode(data: bytes, charset: str | None) -> str:
    """*data* as text in *charset*; without one that is known and true, UTF-8 if it is that, else Windows-1252."""
    codec = _codec((charset or "").strip().strip("\"'").lower())
    if codec is not None:
        try:
            text = data.decode(codec, "replace")
        except (UnicodeError, ValueError):
            codec = None
    if codec is None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("windows-1252", "replace")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


@lru_cache(64)
def _codec(charset: str) -> str | None:
    if charset in _ASCII:
        return None
    try:
        name = codecs.lookup(charset).name
        b"".decode(name)
    except (LookupError, ValueError):
        return None
    return None if name.replace("_", "-") in _NOT_FOR_MAIL else name
