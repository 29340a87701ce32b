"""Parse address lists (RFC 5322 section 3.4): those that people type, and those in received headers.

Structure is read first, encoded words are decoded later.  Takes time in proportion to the text.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]++)
      | (?P<atom>[^ \t\r\n()<>\[\]:;@\\,."]++)
      | (?P<quoted>"(?:[^"\\]|\\.)*+")
      | (?P<literal>\[(?:[^\[\]\\]|\\.)*+\])
      | (?P<special>[<>@,;:.])""",
    re.VERBOSE | re.DOTALL,
)
# The forms in which nearly every address comes, "a@b.c" and "Name <a@b.c>": their tokens say nothing more.
_PLAIN = re.compile(
    r"""(?:(?P<name>[^ \t\r\n()<>\[\]:;@\\,."]++(?:[ ]++[^ \t\r\n()<>\[\]:;@\\,."]++)*+)?[ ]*+(?P<angle><))?
        (?P<local>[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+)
        @(?P<domain>[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)*+)
        (?(angle)>)""",
    re.VERBOSE,
)
_COMMENT_PIECE = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)
_BRACKET_OR_SKIPPED = re.compile(r'<[^<>]*+>|[("]')
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ATEXT = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_WORDS = ("atom", "quoted")
_NAMING = (*_WORDS, ".", "comment")
_ROUTE = ("@", ",", ".", "atom", "literal")


class Mailbox(NamedTuple):
    """One address; ``address`` is what goes into the envelope (its domain in ASCII), ``name`` is for readers only."""

    name: str
    address: str


class Entry(NamedTuple):
    """A mailbox.  name: unquoted, encoded words still encoded.  local: quoted only where it must be."""

    name: str
    local: str
    domain: str


class Broken(NamedTuple):
    """A piece of the list that is no mailbox.  at: the index in the text where it begins."""

    at: int


class _Token(NamedTuple):
    """A token.  kind: a special's is its character.  gap: the white space before it; a comment counts as a space."""

    kind: str
    text: str
    gap: str
    at: int
    inner: "tuple[_Token, ...]" = ()


def entries(text: str, *, obsolete: bool) -> Iterator[Entry | Broken]:
    """Yield the mailboxes in *text*, in order, with those of groups.

    Yields Broken for each piece that is no mailbox.  obsolete: accept also the obsolete forms of RFC 5322 section 4.4,
    a semicolon between mailboxes, and a group without its end.
    """
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        yield from parsed_entries(text, obsolete=obsolete)
    else:
        yield Entry((plain["name"] or "").strip(), plain["local"], plain["domain"])


def parsed_entries(text: str, *, obsolete: bool) -> Iterator[Entry | Broken]:
    """Yield what ``entries`` does, from tokens, whatever *text* holds."""
    in_group = after_group = after_comma = spoiled = False  # spoiled: the member so far is no phrase
    member: list[_Token] = []
    for token in [*_with_angles(_tokens(text)), _Token("end", "", "", len(text))]:
        if token.kind == ":" and not (in_group or spoiled) and (obsolete or not after_group) and _is_phrase(member):
            member, in_group, after_comma = [], True, False
        elif token.kind in (",", "end") or (token.kind == ";" and (in_group or obsolete)):
            real = [one for one in member if one.kind != "comment"]
            if not obsolete and _misplaced(
                token.kind, filled=bool(real), in_group=in_group, after_group=after_group, after_comma=after_comma
            ):
                yield Broken(member[0].at if member else token.at)
            elif real:
                yield _entry(member, real, obsolete=obsolete)
            after_group = token.kind == ";" and in_group
            in_group = in_group and token.kind == ","
            member, after_comma, spoiled = [], token.kind == ",", False
        else:
            member.append(token)
            spoiled = spoiled or token.kind not in _NAMING


def _misplaced(end: str, *, filled: bool, in_group: bool, after_group: bool, after_comma: bool) -> bool:
    """Tell whether the grammar forbids a member to end here, as when it is empty."""
    if in_group and end == "end":
        return True
    return after_group if filled else after_comma or (end == "," and not after_group)


def bracketed(text: str) -> Iterator[str]:
    """Yield the texts between angle brackets, as in In-Reply-To; skip comments and quoted strings."""
    position = 0
    while found := _BRACKET_OR_SKIPPED.search(text, position):
        if found[0] == "(":
            position = _comment_end(text, found.start())
        elif found[0] == '"':
            quoted = _TOKEN.match(text, found.start())
            position = quoted.end() if quoted else 0
        else:
            position = found.end()
            yield found[0][1:-1]
        if not position:
            return


def _tokens(text: str) -> Iterator[_Token]:
    """Yield the tokens of *text*; the first piece that cannot be read is the last, ``unreadable``.

    After an unclosed comment, quotation or bracket, or an unopened one, it is uncertain which commas separate
    mailboxes, so the rest is not read.
    """
    position, gap = 0, ""
    while position < len(text):
        at = position
        if text[at] == "(":
            position = _comment_end(text, at)
            if not position:
                yield _Token("unreadable", text[at:], gap, at)
                return
            yield _Token("comment", _PAIR.sub(r"\1", text[at + 1 : position - 1]), gap, at)
            gap = " "
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            yield _Token("unreadable", text[at:], gap, at)
            return
        position, kind = found.end(), found.lastgroup or ""
        if kind == "space":
            gap += found[0]
            continue
        yield _Token(found[0] if kind == "special" else kind, found[0], gap, at)
        gap = ""


def _comment_end(text: str, start: int) -> int:
    """Find the end of the comment that begins at *start*; 0 if it has none.  They nest (RFC 5322 section 3.2.2)."""
    depth = 0
    for piece in _COMMENT_PIECE.finditer(text, start):
        depth += (piece[0] == "(") - (piece[0] == ")")
        if not depth:
            return piece.end()
    return 0


def _with_angles(tokens: Iterator[_Token]) -> list[_Token]:
    """Join each ``<...>`` into one token; an unmatched angle bracket stays a token, which no mailbox may hold."""
    kept: list[_Token] = []
    opened: int | None = None
    for token in tokens:
        if token.kind == ">" and opened is not None:
            angle, inner = kept[opened], tuple(one for one in kept[opened + 1 :] if one.kind != "comment")
            del kept[opened:]
            kept.append(_Token("angle", "", angle.gap, angle.at, inner))
            opened = None
        else:
            if token.kind == "<":
                opened = len(kept)
            kept.append(token)
    return kept


def _entry(member: list[_Token], real: list[_Token], *, obsolete: bool) -> Entry | Broken:
    """Make the mailbox of *member*; *real* is the same without its comments.  Broken if it is none."""
    *before, last = real
    if last.kind != "angle":
        spec = _addr_spec(real, obsolete=obsolete)
        behind = member[member.index(last) + 1 :]
        return Entry(behind[0].text.strip() if behind else "", *spec) if spec else Broken(member[0].at)
    spec = _addr_spec(_without_route(last.inner) if obsolete else last.inner, obsolete=obsolete)
    if spec and (not before or _is_phrase(before)):
        return Entry(_phrase(before), *spec)
    # Many write the address as its own name and forget the quotes.
    if spec and obsolete and _same(_addr_spec(before, obsolete=obsolete), spec):
        return Entry("", *spec)
    return Broken(member[0].at)


def _same(one: tuple[str, str] | None, other: tuple[str, str]) -> bool:
    return one is not None and "@".join(one).lower() == "@".join(other).lower()


def _addr_spec(tokens: Sequence[_Token], *, obsolete: bool) -> tuple[str, str] | None:
    """Split an address into local part and domain; None for what is no address."""
    at = next((index for index, token in enumerate(tokens) if token.kind == "@"), 0)
    local, domain = tokens[:at], tokens[at + 1 :]
    if not _is_dotted(local, _WORDS, obsolete=obsolete):
        return None
    if len(domain) == 1 and domain[0].kind == "literal":
        return _local_part(local), domain[0].text
    if not _is_dotted(domain, ("atom",), obsolete=obsolete):
        return None
    return _local_part(local), ".".join(token.text for token in domain[::2])


def _is_dotted(tokens: Sequence[_Token], kinds: Sequence[str], *, obsolete: bool) -> bool:
    """Tell whether *tokens* are words with single dots between them; white space and quotes there are obsolete."""
    if len(tokens) % 2 == 0:
        return False
    found = [token.kind for token in tokens]
    if any(kind not in kinds for kind in found[::2]) or any(kind != "." for kind in found[1::2]):
        return False
    return obsolete or len(tokens) == 1 or (not any(token.gap for token in tokens[1:]) and "quoted" not in found)


def _local_part(words: Sequence[_Token]) -> str:
    """Write a local part in the one form of RFC 5321 section 4.1.2: quoted only where it must be."""
    if not any(word.kind == "quoted" for word in words):
        return "".join(word.text for word in words)
    text = "".join(_content(word) for word in words)
    if all(map(_ATEXT.fullmatch, text.split("."))):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _without_route(tokens: Sequence[_Token]) -> Sequence[_Token]:
    """Drop the relays that may stand before an address (RFC 5322 section 4.4)."""
    if not tokens or tokens[0].kind not in ("@", ","):
        return tokens
    end = next((index for index, token in enumerate(tokens) if token.kind not in _ROUTE), 0)
    return tokens[end + 1 :] if end and tokens[end].kind == ":" else tokens


def _is_phrase(tokens: Sequence[_Token]) -> bool:
    """Tell whether *tokens* are a display name; a dot in it is obsolete (RFC 5322 section 4.1) but common."""
    real = [token.kind for token in tokens if token.kind != "comment"]
    return bool(real) and real[0] != "." and all(kind in (*_WORDS, ".") for kind in real)


def _phrase(tokens: Sequence[_Token]) -> str:
    return "".join(token.gap + _content(token) for token in tokens).strip()


def _content(token: _Token) -> str:
    return _PAIR.sub(r"\1", token.text[1:-1]) if token.kind == "quoted" else token.text
