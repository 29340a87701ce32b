"""Text from outside as a terminal may show it: what could move its cursor or mislead its reader is escaped."""

# Letters, marks and signs that show nothing; what else is invisible is known by its category.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SELECTORS = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
_PICTOGRAPHS = range(0x1F000, 0x1FC00)  # newer ones than this Python knows, but none of them is invisible


def safe(text: object) -> str:
    """*text* on one line, fit for a terminal."""
    shown = str(text)
    if shown.isprintable() and (shown.isascii() or (_BLANK.isdisjoint(shown) and _SELECTORS.isdisjoint(shown))):
        return shown
    return "".join(map(_visible, shown, " " + shown))


def safe_lines(text: str) -> str:
    """Like ``safe``, but keeps line breaks."""
    return "\n".join(safe(line) for line in text.split("\n"))


def _visible(character: str, before: str) -> str:
    """*character*, escaped if a reader would not see it as itself after the one *before*."""
    if character in "\n\t":
        return "\\n" if character == "\n" else "\\t"
    if character in _SELECTORS:  # one after a character says how that looks
        return character if before.isprintable() and before != " " and not _hides(before) else _escaped(character)
    return _escaped(character) if _hides(character) else character


def _hides(character: str) -> bool:
    if character.isprintable():
        return character in _BLANK or character in _SELECTORS
    from unicodedata import category

    kind = category(character)
    return kind != "Zs" and not (kind == "Cn" and ord(character) in _PICTOGRAPHS)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
