"""Header lines, encoded (RFC 2047) and folded (RFC 5322 section 2.2.3)."""

import re
from collections.abc import Iterable

from prx_email_cli.mail.addresses import Mailbox

FOLD_AT = 78  # characters without CRLF, RFC 5322 section 2.1.1
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_SPACED = re.compile(r"^ |  | $")  # spaces that a reader of plain words would drop
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
    return f"{name}: {encoded_words(value, len(name) + 2)}\r\n"


def address_header(name: str, mailboxes: Iterable[Mailbox]) -> str:
    """An address header such as To, ending in CRLF, one fold between mailboxes where the line would grow too long."""
    items = [_mailbox(mailbox) for mailbox in mailboxes]
    return _fold(f"{name}:", [item + "," for item in items[:-1]] + items[-1:])


def words_header(name: str, words: Iterable[str]) -> str:
    """A header of ASCII words that must not be encoded, such as the Message-IDs of References, folded between them."""
    return _fold(f"{name}:", list(words))


def encoded_words(value: str, offset: int = 0) -> str:
    """*value* as UTF-8 encoded words of at most 75 characters, folded; *offset* is where it starts on its line."""
    from email.header import Header

    return Header(value, "utf-8", maxlinelen=FOLD_AT - 2, header_name="x" * max(offset - 2, 1)).encode(linesep="\r\n")


def _mailbox(mailbox: Mailbox) -> str:
    name = mailbox.name
    if not name:
        return mailbox.address
    if not name.isascii() or "=?" in name or len(name) > FOLD_AT // 2 or _SPACED.search(name):
        return f"{encoded_words(name)} <{mailbox.address}>"
    if not _ATOMS.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{mailbox.address}>"


def _fold(start: str, items: list[str]) -> str:
    """*start* and *items* joined by single spaces, a CRLF before the space wherever the line would pass FOLD_AT."""
    lines = [start]
    for item in items:
        first_line = item.split("\r\n", 1)[0]
        if len(lines[-1]) + 1 + len(first_line) > FOLD_AT and len(lines[-1]) > len(start):
            lines.append("")
        lines[-1] += f" {item}"
        lines.extend(lines.pop().split("\r\n"))
    return "\r\n".join(lines) + "\r\n"
