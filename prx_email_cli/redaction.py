"""Mask known secrets in all that is stored or shown: whole ones in our own texts, pieces in a server's."""

import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

PIECE = 6  # so many adjacent characters of a secret are masked; fewer of a short one
_SHORTEST = 4  # a shorter secret is part of too many words
_MASK = "***"
_ROUNDS = 3  # how often what is escaped may have been escaped again
# Dropped: the characters that folding an echo adds.  Merged: the two alphabets of base64, and the cases of a letter.
_ADDED = bytes([*range(33), 127])
_FOLDING = bytes(ord(chr(octet).lower()) for octet in range(256)).translate(bytes.maketrans(b"-_", b"+/"))
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " "}
_ESCAPE = re.compile(
    r"%(?P<percent>[0-9a-f]{2})|=(?P<quoted>[0-9a-f]{2})|(?P<soft>=\r?\n)|\\x(?P<x>[0-9a-f]{2})"
    r"|\\u(?P<u>[0-9a-f]{4})|\\u\{(?P<braced>[0-9a-f]{1,6})\}|\\(?P<octal>[0-3][0-7]{2})|\\(?P<slashed>[^0-9a-z])"
    r"|&#x(?P<hex>[0-9a-f]{1,6});|&#(?P<decimal>[0-9]{1,7});|&(?P<named>amp|lt|gt|quot|apos|nbsp);",
    re.IGNORECASE,
)
_HEX_PAIRS = re.compile("[0-9a-f]{2}(?:[-:, ]{0,2}(?:0x)?[0-9a-f]{2}){3,}[0-9a-f]?", re.IGNORECASE)
_DIGIT = re.compile("0x|([0-9a-f])", re.IGNORECASE)

_known: set[str] = set()  # whole, in each form that redact looks for
_pieces: dict[int, set[str]] = {}  # by length, in the form of _folded
_hex_pieces: dict[int, set[str]] = {}
_short: set[str] = set()


def remember(secret: str) -> str:
    """Note *secret*, so that ``redact`` and ``from_outside`` mask it in every form; return it."""
    octets = _octets(secret).encode("latin-1")
    if len(octets) < _SHORTEST:
        _short.update([secret] * bool(secret))
    elif secret not in _known:
        forms = (secret, quote(octets), quote(octets, safe=""), quote_plus(octets), repr(secret)[1:-1], octets.hex())
        _note_pieces(octets)
        _known.update(form for form in (*forms, *_base64(octets)) if len(form) >= _SHORTEST)
    return secret


def remember_encoded(response: str) -> str:
    """Note *response*, the base64 form of a secret that is known already; return it."""
    if response not in _known and len(response) >= _SHORTEST:
        _add(_pieces, _folded(response), 8)
        _known.add(response)
    return response


def redact(text: str) -> str:
    """Replace every whole known secret in *text* by ``***``, the longest first."""
    found = [secret for secret in tuple(_known) if secret in text]
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return text


def from_outside(text: str, *, strict: bool = False) -> str:
    """Replace every piece of a known secret in a server's text by ``***``.

    Masks it raw, in base64 or hexadecimal digits, percent-encoded, escaped, in another case, folded over lines, and cut
    off anywhere.  Call it before *text* is cut.  strict: mask the shortest secrets too, where they are a word.
    """
    if strict and _short:
        text = re.sub(
            rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(_short, key=len, reverse=True)))})(?!\w)", _MASK, text
        )
    return _masked(text, len(_known)) if _known else text


def reported(text: str, most: int) -> str:
    """Make a server's text fit to be stored: without secrets and half characters, cut to *most* characters."""
    return from_outside(text).encode("utf-8", "replace").decode()[:most]


def forget_all() -> None:
    """Forget every secret."""
    for known in (_known, _pieces, _hex_pieces, _short):
        known.clear()
    _masked.cache_clear()


@lru_cache(maxsize=256)  # most replies of a server are the same few
def _masked(text: str, known: int) -> str:
    """Mask the pieces of secrets in *text*.  known: how many forms are known; part of the cache's key."""
    if _occurs(_folded(_octets(text)), _pieces) or _ESCAPE.search(text) or _has_hex(text):
        return _without(text, sorted(_found(text)))
    return text


def _has_hex(text: str) -> bool:
    return any(_occurs("".join(_DIGIT.findall(pairs[0].lower())), _hex_pieces) for pairs in _HEX_PAIRS.finditer(text))


def _note_pieces(octets: bytes) -> None:
    raw = octets.decode("latin-1")
    length = min(PIECE, max(_SHORTEST, len(raw) // 2 + 1))
    forms = {raw, raw.replace(" ", "+"), raw.replace(" ", "_")}
    if not raw.isascii():  # as a server without UTF-8 reads it
        forms.add(octets.decode("utf-8", "replace").encode("latin-1", "ignore").decode("latin-1"))
        text = octets.decode("utf-8", "surrogateescape")  # the other case of such a letter has other octets
        forms.update(map(_octets, (text.upper(), text.lower(), text.swapcase())))
    for form in forms:
        _add(_pieces, _folded(form), length)
    for encoded in _base64(octets):
        _add(_pieces, _folded(encoded), max(_SHORTEST, (8 * length - 4) // 6))
    _add(_hex_pieces, octets.hex(), 2 * length, step=2)


def _add(pieces: dict[int, set[str]], form: str, length: int, step: int = 1) -> None:
    length = min(length, len(form))
    if length >= _SHORTEST:
        pieces.setdefault(length, set()).update(form[at : at + length] for at in range(0, len(form) - length + 1, step))


def _base64(octets: bytes) -> Iterator[str]:
    """Yield *octets* in base64 at each of the three offsets, without the edges, which depend on their neighbours."""
    for before in range(3):
        encoded = b2a_base64(bytes(before) + octets, newline=False).decode()
        yield encoded[(8 * before + 5) // 6 : (8 * (before + len(octets))) // 6]


def _octets(text: str) -> str:
    """Return the octets of *text*, each as one character."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:  # lone surrogates, from escapes
        return text.encode("utf-8", "replace").decode("latin-1")


def _folded(octets: str) -> str:
    """Drop what an echo may change: case, gaps, line ends, and the alphabet of base64."""
    return octets.encode("latin-1").translate(_FOLDING, _ADDED).decode("latin-1")


def _occurs(text: str, pieces: dict[int, set[str]]) -> bool:
    return any(
        not known.isdisjoint([text[at : at + length] for at in range(len(text) - length + 1)])
        for length, known in tuple(pieces.items())
    )


def _found(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of *text* that are pieces of secrets."""
    units = [(octet, at, at + 1) for at, c in enumerate(text) for octet in _octets(c)]
    for _ in range(_ROUNDS):
        yield from _runs([unit for unit in units if _folded(unit[0])], _pieces)
        for pairs in _HEX_PAIRS.finditer("".join(octet for octet, _, _ in units)):
            digits = [units[pairs.start() + digit.start()] for digit in _DIGIT.finditer(pairs[0]) if digit[1]]
            yield from _runs(digits, _hex_pieces)
        decoded = list(_unescaped(units))
        if len(decoded) == len(units):
            return
        units = decoded


def _runs(units: list[tuple[str, int, int]], pieces: dict[int, set[str]]) -> Iterator[tuple[int, int]]:
    folded = "".join(_folded(octet) for octet, _, _ in units)
    for length, known in tuple(pieces.items()):
        for at in range(len(folded) - length + 1):
            if folded[at : at + length] in known:
                yield units[at][1], units[at + length - 1][2]


def _unescaped(units: list[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    text = "".join(octet for octet, _, _ in units)
    at = 0
    for escape in _ESCAPE.finditer(text):
        yield from units[at : escape.start()]
        at = escape.end()
        start, end = units[escape.start()][1], units[at - 1][2]
        for octet in _octets(_meant(escape)):
            yield octet, start, end
    yield from units[at:]


def _meant(escape: re.Match[str]) -> str:
    kind, value = escape.lastgroup, escape[escape.lastgroup or 0]
    if kind in ("percent", "quoted", "x", "octal"):
        octet = int(value, 8 if kind == "octal" else 16)
        return chr(octet) if octet < 0x80 else chr(0xDC00 + octet)  # one octet, perhaps of several
    if kind in ("u", "braced", "hex", "decimal"):
        code = int(value, 10 if kind == "decimal" else 16)
        return chr(code) if code < 0x110000 else ""
    return "" if kind == "soft" else _NAMED.get(value.lower(), value)


def _without(text: str, found: Iterable[tuple[int, int]]) -> str:
    kept: list[str] = []
    at = 0
    for start, end in found:
        if start > at or not kept:
            kept += [text[at:start], _MASK]
        at = max(at, end)
    return "".join([*kept, text[at:]]) if kept else text
