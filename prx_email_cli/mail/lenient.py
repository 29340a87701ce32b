"""Reading what other programs wrote: whatever the bytes are, some text comes back and nothing is raised."""

import binascii
import codecs
import re
from collections.abc import Collection
from functools import lru_cache

# What could end or hide a header of ours: C0, DEL, C1, the Unicode separators, lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FIELD = rb"[!-9;-~]++[ \t]*+:[^\n]*+(?:\n|\Z)"  # RFC 5322 sections 2.2 and 4.5.8
_HEAD = re.compile(rb"(?:(?:>?From [^\n]*+\n)*+%b(?:[ \t]++[^\n]*+(?:\n|\Z))*+)*+" % _FIELD)
_BLANK_LINE = re.compile(rb"\r*+\n")
_FOLD = re.compile(rb"\n[ \t]+")
_ENCODED_WORD = re.compile(r"=\?([^?\s*]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_ASCII = ("", "ascii", "us-ascii", "unknown-8bit", "x-unknown", "default", "default_charset", "8bit", "7bit")
# What a label means in practice (WHATWG Encoding section 4.2): the larger set that programs write under a smaller name.
_IN_TRUTH = {
    "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874", "gb2312": "gb18030",
    "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932", "big5": "big5hkscs",
}  # fmt: skip
_LABELS = {"x-sjis": "cp932", "x-gbk": "gb18030", "iso-8859-8-i": "iso8859-8", "windows-874": "cp874",
           "x-euc-jp": "euc_jp", "x-mac-cyrillic": "mac_cyrillic", "unicode-1-1-utf-8": "utf-8"}  # fmt: skip
_NOT_FOR_MAIL = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined")  # slow, or no charset at all


def head_and_body(data: bytes) -> tuple[bytes, bytes]:
    """The header section of a message or part, and its body: it begins after a blank line, or with what is no field.

    The "From " line of an mbox between fields is neither (RFC 4155); a byte order mark is nothing at all.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    head = _HEAD.match(data)
    at = head.end() if head else 0
    blank = _BLANK_LINE.match(data, at)
    return data[:at], data[blank.end() if blank else at :]


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
    return cleaned(raw_words(text))


def raw_words(text: str) -> str:
    """*text* with its encoded words decoded, whatever they hold."""
    if "=?" not in text:
        return text
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
    return "".join([*pieces, decode(held, held_charset), text[end:]])


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
        except Exception:  # noqa: BLE001 - each codec fails in its own way, and none may stop a message
            codec = None
    if codec is None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("windows-1252", "replace")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


@lru_cache(64)
def _codec(charset: str) -> str | None:
    """Python's name of a charset, None for an unknown one: hex, zlib and their like are codecs, but no charsets."""
    if charset in _ASCII:
        return None
    try:
        found = codecs.lookup(_LABELS.get(charset, charset))
        b"".decode(found.name)
    except Exception:  # noqa: BLE001 - the search for a codec imports modules by its name
        return None
    known = getattr(found, "_is_text_encoding", True) and found.name.replace("_", "-") not in _NOT_FOR_MAIL
    return _IN_TRUTH.get(found.name, found.name) if known else None
