"""Check, encode (RFC 2047) and fold (RFC 5322 section 2.2.3) header texts, and decode received ones."""

import binascii
import codecs
import re
from collections.abc import Iterable
from functools import lru_cache

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox

LONGEST_LINE = 998  # octets without CRLF, RFC 5322 section 2.1.1
LONGEST_NAME = 990
FOLD_AT = 78  # characters without CRLF, RFC 5322 section 2.1.1
ENCODED_FOLD_AT = 76  # of a line with an encoded word, RFC 2047 section 2
_SHORTEST_ENCODED = 24  # of an encoded word: less room makes the first one too long
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_SPACED = re.compile(r"^ |  | $")  # spaces that a reader of plain words would drop
_BEFORE_WORDS = re.compile(r"(?<=[^ ]) ")
_FOLDABLE = re.compile(r"(?<=[^ ]) (?=[^ ])")
MAX_HEADER_CHARACTERS = 32_000
# C0, DEL, C1 (with U+0085), the Unicode line and paragraph separators, and lone surrogates.  Each of them has ended a
# header early in some mail library (CVE-2024-6923 and its relatives).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
CONTROLS = re.compile(f"{_CONTROL.pattern}+")
_SURROGATE = re.compile("[\ud800-\udfff]")
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


def text_header(name: str, value: str) -> str:
    """Write an unstructured header such as Subject, ending in CRLF.

    Plain ASCII is folded at single spaces; other text, and text that looks like an encoded word, becomes UTF-8 encoded
    words, so that it arrives as it was written.
    """
    if value.isascii() and "=?" not in value and not value.startswith(" ") and not value.endswith(" "):
        folded = _fold(f"{name}:", _FOLDABLE.split(value))
        if all(len(line) <= FOLD_AT for line in folded.split("\r\n")):
            return folded
    if len(name) + len(": ") + _SHORTEST_ENCODED <= ENCODED_FOLD_AT:
        return f"{name}: {encoded_words(value, len(name) + 2)}\r\n"
    return f"{name}:\r\n {encoded_words(value, 1)}\r\n"


def address_header(name: str, mailboxes: Iterable[Mailbox]) -> str:
    """Write an address header such as To, ending in CRLF and folded between mailboxes."""
    items = [_mailbox(mailbox, len(name) + 2) for mailbox in mailboxes]
    pieces = [[*words[:-1], f"{words[-1]},"] for words in items[:-1]] + items[-1:]
    return _fold(f"{name}:", [piece for words in pieces for piece in words], ENCODED_FOLD_AT)


def further_header(name: str, value: str) -> str:
    """Write a header of the user's own, ending in CRLF.

    Plain ASCII stays as it is, since encoded words mean nothing in a structured header such as List-Unsubscribe.  It is
    folded before the spaces in front of a word, so that no line is all spaces (RFC 5322 section 3.2.2).
    """
    words = _BEFORE_WORDS.split(value)
    if value.isascii() and "=?" not in value and max(map(len, words)) < LONGEST_LINE:
        return words_header(name, words)
    return text_header(name, value)


def words_header(name: str, words: Iterable[str]) -> str:
    """Write a header of ASCII words that must not be encoded, such as References, folded between them."""
    return _fold(f"{name}:", list(words))


def encoded_words(value: str, offset: int = 0) -> str:
    """Encode *value* as folded UTF-8 encoded words of at most 75 characters.  offset: its column on the first line."""
    from email.header import Header  # on use

    return Header(value, "utf-8", maxlinelen=ENCODED_FOLD_AT, header_name="x" * max(offset - 2, 1)).encode(
        linesep="\r\n"
    )


def _mailbox(mailbox: Mailbox, offset: int) -> list[str]:
    """Write name and address, between which a line may end.  offset: the column of the header's first mailbox."""
    name = mailbox.name
    if not name:
        return [mailbox.address]
    plain = name if _ATOMS.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if not name.isascii() or "=?" in name or len(plain) > FOLD_AT // 2 or _SPACED.search(name):
        plain = encoded_words(name, offset)
    return [plain, f"<{mailbox.address}>"]


def _fold(start: str, items: list[str], limit: int = FOLD_AT) -> str:
    """Join *start* and *items* by spaces, with a CRLF before the space where the line would pass *limit*.

    The first item stays beside the name, unless the line would pass LONGEST_LINE.
    """
    whole = " ".join([start, *items])
    if len(whole) <= limit:
        return whole + "\r\n"
    lines = [start]
    for item in items:
        length = len(lines[-1]) + 1 + len(item.split("\r\n", 1)[0])
        if length > (limit if len(lines[-1]) > len(start) else LONGEST_LINE):
            lines.append("")
        lines[-1] += f" {item}"
        lines.extend(lines.pop().split("\r\n"))
    return "\r\n".join(lines) + "\r\n"


def check_unicode(value: str, what: str) -> str:
    """Check that *value* can be encoded as UTF-8, and return it; *what* names it in the error.

    Raises ValidationError for a lone surrogate, which comes from a JSON escape or from a command line that is not
    UTF-8.
    """
    if not value.isascii() and _SURROGATE.search(value):
        raise ValidationError(f"{what} is not valid Unicode text", hint="convert it to UTF-8, with iconv for example")
    return value


def check_header_text(value: str, what: str) -> str:
    """Check that *value* is fit for a header, and strip it; *what* names it in the error.

    Raises ValidationError for a control character or lone surrogate, also one hidden in an RFC 2047 encoded word, and
    for more than MAX_HEADER_CHARACTERS characters.
    """
    found = _CONTROL.search(value)
    if found:
        raise ValidationError(
            f"{what} contains a control character (U+{ord(found[0]):04X})",
            hint="remove line breaks and other invisible characters",
        )
    if len(value) > MAX_HEADER_CHARACTERS:
        raise ValidationError(f"{what} is longer than {MAX_HEADER_CHARACTERS} characters", hint="move text to the body")
    if "=?" in value and any(_CONTROL.search(text) for text in (raw_words(value), _decoded_by_stdlib(value))):
        raise ValidationError(
            f"{what} hides a control character in an encoded word", hint="write the text itself: it is encoded for you"
        )
    return value.strip(" ")


def _decoded_by_stdlib(value: str) -> str:
    """Decode *value* as the standard library does, which takes more for encoded words than RFC 2047 does."""
    from email.header import decode_header  # on use

    try:
        parts = decode_header(value)
    except Exception:  # noqa: BLE001 - decode_header leaks its codecs' errors; what it cannot read hides nothing
        return ""
    return "".join(part if isinstance(part, str) else _to_the_letter(part, charset) for part, charset in parts)


def _to_the_letter(word: bytes, charset: str | None) -> str:
    """Decode *word* in the very charset of its label, as some readers do: ISO 8859-1 has control characters."""
    try:
        return word.decode(charset or "ascii", "replace")
    except Exception:  # noqa: BLE001 - an unknown charset: ASCII in it is checked all the same
        return word.decode("ascii", "replace")


def cleaned(text: str) -> str:
    """Replace control characters and lone surrogates of *text* by spaces."""
    return text.strip() if text.isprintable() else CONTROLS.sub(" ", text).strip()


def decoded_words(text: str) -> str:
    """Decode the encoded words of *text* (RFC 2047) and replace control characters by spaces."""
    return cleaned(raw_words(text))


def raw_words(text: str) -> str:
    """Decode the encoded words of *text* (RFC 2047); control characters in them stay."""
    if "=?" not in text:
        return text
    pieces: list[str] = []
    held, held_charset, end = b"", "", 0  # adjacent words are decoded together: some split a character
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
    """Decode base64 *data*, even when it is cut off or holds other characters."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        digits = _NOT_BASE64.sub(b"", data)
        return binascii.a2b_base64(digits[: len(digits) & ~3])


def decode(data: bytes, charset: str | None) -> str:
    """Decode *data* by *charset*; if that is unknown or fails, as UTF-8, and if that fails, as Windows-1252."""
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
    """Return Python's name of a charset; None for an unknown one, and for codecs such as hex that are no charsets."""
    if charset in _ASCII:
        return None
    try:
        found = codecs.lookup(_LABELS.get(charset, charset))
        b"".decode(found.name)
    except Exception:  # noqa: BLE001 - the search for a codec imports modules by its name
        return None
    known = getattr(found, "_is_text_encoding", True) and found.name.replace("_", "-") not in _NOT_FOR_MAIL
    return _IN_TRUTH.get(found.name, found.name) if known else None
