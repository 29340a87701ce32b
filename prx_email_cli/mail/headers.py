"""Header lines, encoded (RFC 2047) and folded (RFC 5322 section 2.2.3)."""

import re
from collections.abc import Iterable

from prx_email_cli.mail.addresses import Mailbox

LONGEST_LINE = 998  # octets without CRLF, RFC 5322 section 2.1.1
LONGEST_NAME = 990
FOLD_AT = 78  # characters without CRLF, RFC 5322 section 2.1.1
ENCODED_FOLD_AT = 76  # of a line with an encoded word, RFC 2047 section 2
_SHORTEST_ENCODED = 24  # of an encoded word: less room makes the first one too long
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_SPACED = re.compile(r"^ |  | $")  # spaces that a reader of plain words would drop
_BEFORE_WORDS = re.compile(r"(?<=[^ ]) ")
_FOLDABLE = re.compile(r"(?<=[^ ]) (?=[^ ])")


def text_header(name: str, value: str) -> str:
    """An unstructured header such as Subject, ending in CRLF.

    Plain ASCII is folded at single spaces; everything else travels as UTF-8 encoded words, and so does text that
    looks like an encoded word, so that it arrives as it was written.
    """
    if value.isascii() and "=?" not in value and not value.startswith(" ") and not value.endswith(" "):
        folded = _fold(f"{name}:", _FOLDABLE.split(value))
        if all(len(line) <= FOLD_AT for line in folded.split("\r\n")):
            return folded
    if len(name) + len(": ") + _SHORTEST_ENCODED <= ENCODED_FOLD_AT:
        return f"{name}: {encoded_words(value, len(name) + 2)}\r\n"
    return f"{name}:\r\n {encoded_words(value, 1)}\r\n"


def address_header(name: str, mailboxes: Iterable[Mailbox]) -> str:
    """An address header such as To, ending in CRLF, one fold between mailboxes where the line would grow too long."""
    items = [_mailbox(mailbox, len(name) + 2) for mailbox in mailboxes]
    pieces = [[*words[:-1], f"{words[-1]},"] for words in items[:-1]] + items[-1:]
    return _fold(f"{name}:", [piece for words in pieces for piece in words], ENCODED_FOLD_AT)


def further_header(name: str, value: str) -> str:
    """A header of a person's own.

    It may be a structured one such as List-Unsubscribe, where encoded words mean nothing: plain ASCII stays as it is,
    folded before the spaces in front of a word, so that no line has nothing but spaces (RFC 5322 section 3.2.2).
    """
    words = _BEFORE_WORDS.split(value)
    if value.isascii() and "=?" not in value and max(map(len, words)) < LONGEST_LINE:
        return words_header(name, words)
    return text_header(name, value)


def words_header(name: str, words: Iterable[str]) -> str:
    """A header of ASCII words that must not be encoded, such as the Message-IDs of References, folded between them."""
    return _fold(f"{name}:", list(words))


def encoded_words(value: str, offset: int = 0) -> str:
    """*value* as UTF-8 encoded words of at most 75 characters, folded; *offset* is where it starts on its line."""
    from email.header import Header

    return Header(value, "utf-8", maxlinelen=ENCODED_FOLD_AT, header_name="x" * max(offset - 2, 1)).encode(
        linesep="\r\n"
    )


def _mailbox(mailbox: Mailbox, offset: int) -> list[str]:
    """Name and address, between which a line may end; *offset* is where the first mailbox starts on its line."""
    name = mailbox.name
    if not name:
        return [mailbox.address]
    plain = name if _ATOMS.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if not name.isascii() or "=?" in name or len(plain) > FOLD_AT // 2 or _SPACED.search(name):
        plain = encoded_words(name, offset)
    return [plain, f"<{mailbox.address}>"]


def _fold(start: str, items: list[str], limit: int = FOLD_AT) -> str:
    """*start* and *items* joined by single spaces, a CRLF before the space wherever the line would pass *limit*.

    The first item stays beside the name, unless the line would be too long to travel.
    """
    lines = [start]
    for item in items:
        length = len(lines[-1]) + 1 + len(item.split("\r\n", 1)[0])
        if length > (limit if len(lines[-1]) > len(start) else LONGEST_LINE):
            lines.append("")
        lines[-1] += f" {item}"
        lines.extend(lines.pop().split("\r\n"))
    return "\r\n".join(lines) + "\r\n"
