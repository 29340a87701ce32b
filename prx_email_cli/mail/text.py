"""What a header value may contain, checked before anything is built from it."""

import re

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.lenient import raw_words

MAX_HEADER_CHARACTERS = 32_000
# C0, DEL, C1 (with U+0085), the Unicode line and paragraph separators, and lone surrogates.  Each of them has ended a
# header early in some mail library (CVE-2024-6923 and its relatives).
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


_SURROGATE = re.compile("[\ud800-\udfff]")


def check_unicode(value: str, what: str) -> str:
    """*value*, which can be stored and sent as UTF-8; *what* names it in the error.

    Raises ValidationError for a lone surrogate: that is what JSON's escapes can hold beside text, and what Python makes
    of bytes on the command line that are no text.
    """
    if not value.isascii() and _SURROGATE.search(value):
        raise ValidationError(f"{what} is not valid Unicode text", hint="convert it to UTF-8, with iconv for example")
    return value


def check_header_text(value: str, what: str) -> str:
    """*value* without surrounding white space, fit for a header; *what* names it in the error.

    Raises ValidationError for a control character or lone surrogate, also one hidden in an RFC 2047 encoded word, and
    for more than MAX_HEADER_CHARACTERS characters.
    """
    found = _FORBIDDEN.search(value)
    if found:
        raise ValidationError(
            f"{what} contains a control character (U+{ord(found[0]):04X})",
            hint="remove line breaks and other invisible characters",
        )
    if len(value) > MAX_HEADER_CHARACTERS:
        raise ValidationError(f"{what} is longer than {MAX_HEADER_CHARACTERS} characters", hint="move text to the body")
    if "=?" in value and any(_FORBIDDEN.search(text) for text in (raw_words(value), _decoded(value))):
        raise ValidationError(
            f"{what} hides a control character in an encoded word", hint="write the text itself: it is encoded for you"
        )
    return value.strip(" ")


def _decoded(value: str) -> str:
    """*value* as the standard library's readers decode it, which take more for encoded words than RFC 2047 does."""
    from email.header import decode_header

    try:
        parts = decode_header(value)
    except Exception:  # noqa: BLE001 - decode_header leaks its codecs' errors; what it cannot read hides nothing
        return ""
    return "".join(part if isinstance(part, str) else _to_the_letter(part, charset) for part, charset in parts)


def _to_the_letter(word: bytes, charset: str | None) -> str:
    """*word* in its charset as readers have it that take the label at its word: ISO 8859-1 has control characters."""
    try:
        return word.decode(charset or "ascii", "replace")
    except Exception:  # noqa: BLE001 - no charset at all: what it would hide in ASCII is looked at all the same
        return word.decode("ascii", "replace")
