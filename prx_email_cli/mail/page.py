"""Parse HTML as a browser does (WHATWG), also hostile HTML; nothing is ever fetched."""

import re
from collections.abc import Callable
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from prx_email_cli.errors import ValidationError

MAX_DEPTH = 500  # browsers stop nesting near here too

_MAX_OPEN = 1_000
_MAX_REOPENED = 250_000
_REOPENED_PER_TAG = 5
_MAX_WORDS_IN_A_TAG = 4_000
# A page with no more than these reaches none of the limits above: each tag opens one element, and repeats at most those
# before it, 245,350 in all; each word takes a space too.
FEW_TAGS = 700
FEW_CHARACTERS = 2 * _MAX_WORDS_IN_A_TAG
_DECLARATION = re.compile(r"\s*<\?xml\b[^>]*>", re.IGNORECASE)
_RAW = "script|style|title|textarea|xmp|iframe|noembed|noframes|plaintext"
# A comment, an element whose content is no markup, or a tag.  Each alternative ends at the page's end at the latest, so
# that no text is looked at twice.
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)"
    rf"|<(?P<raw>{_RAW})(?=[\s/>]).*?(?:</(?P=raw)(?=[\s/>])[^>]*(?:>|\Z)|\Z)"
    r"|<(?P<end>/?)(?P<name>[a-z][^\s/>]*)"
    r"(?:[^=>]|=\s*+(?:\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z))?)*+(?:>|\Z)"
    r"|<[!?/][^>]*(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_FORMATTING = frozenset(
    ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
)
_CELLS = frozenset(("td", "th", "tr", "caption"))
_CLOSED = frozenset(
    ("table", "object", "applet", "marquee", "template", "foreignobject")
)  # nothing inside ends p outside
_LEAVES = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
     "li", "dt", "dd", "option", "optgroup", "tbody", "thead", "tfoot", "colgroup", "html", "head", "body")
)  # fmt: skip


class NestedTooDeeply(ValidationError):
    """The elements of a page are nested too deeply to be parsed in reasonable time, or to be shown."""

    def __init__(self) -> None:
        super().__init__("the HTML is nested too deeply", hint="close its elements; mail readers would not show it")


def parsed(source: str) -> LexborHTMLParser:
    """Parse an HTML page or fragment, without a byte order mark or XML declaration in front of it.

    Raises NestedTooDeeply, and ValidationError for text that cannot be encoded.
    """
    try:
        source.encode()  # the parser drops what it cannot encode
    except UnicodeEncodeError:
        raise ValidationError("the HTML is not valid Unicode text", hint="save it as UTF-8") from None
    source = _without_preamble(source)
    if (len(source) > FEW_CHARACTERS or source.count("<") > FEW_TAGS) and too_deep(source):
        raise NestedTooDeeply()
    return LexborHTMLParser(source)


def written(page: LexborHTMLParser, times_parsed: int = 1) -> str:
    """Write the root element of *page* so that a parser reads it alike; changes elements of *page*.

    times_parsed: how many parsers will read it one after the other.  Each drops a line break right after ``<pre>`` and
    its like.
    """
    for element in page.css("pre, textarea, listing"):
        first = element.child
        text = (first.text_content or "") if first is not None and first.is_text_node else ""
        if first is not None and text.startswith("\n"):
            first.replace_with("\n" * times_parsed + text)
    return (page.root.html if page.root is not None else None) or ""


def flat(source: str, is_block: Callable[[str], bool]) -> LexborHTMLParser:
    """Parse only the words of a page, without its elements: for one that is nested too deeply."""

    def replaced(token: re.Match[str]) -> str:
        return "\n" if token["name"] and is_block(token["name"].lower()) else ""

    words = _TOKEN.sub(replaced, _without_preamble(source)).replace("<", "&lt;")
    return LexborHTMLParser(f"<body><pre>\n{words}")


def depth(root: LexborNode) -> int:
    """Measure how deeply the elements below *root* are nested."""
    node: LexborNode | None = root
    level = deepest = 1
    while node is not None:
        deepest = max(deepest, level)
        if node.child is not None:
            node, level = node.child, level + 1
            continue
        while node is not None and node.next is None:
            node, level = (None if level == 1 else node.parent), level - 1
        node = node.next if node is not None and level >= 1 else None
    return deepest


def _without_preamble(source: str) -> str:
    source = source.removeprefix("\ufeff")
    declaration = _DECLARATION.match(source)
    return source[declaration.end() :] if declaration else source


def too_deep(source: str) -> bool:
    """Tell whether a page keeps too many elements open, or would repeat open formatting too often.

    The parser's time grows with the number of open elements and of a tag's attributes, and its memory with the
    formatting that each new paragraph opens again; this takes time in proportion to the length alone.
    """
    levels = [_Level([], [])]
    outside = reopened = tags = 0
    for token in _TOKEN.finditer(source):
        tag, name = token[0], (token["name"] or "").lower()
        if name and len(tag) > _MAX_WORDS_IN_A_TAG and len(tag.split(None, _MAX_WORDS_IN_A_TAG)) > _MAX_WORDS_IN_A_TAG:
            return True
        if not name or name in _LEAVES:
            continue
        tags += 1
        if name in _CLOSED and not token["end"]:
            outside += levels[-1].size() + 1
            levels.append(_Level([], []))
        elif name in _CLOSED:
            if len(levels) > 1:
                levels.pop()
                outside -= levels[-1].size() + 1
        elif name in _CELLS:
            if len(levels) > 1:
                levels[-1].clear()
        elif token["end"]:
            levels[-1].end(name)
        else:
            levels[-1].start(name, tag)
        reopened += len(levels[-1].formatting)
        if outside + levels[-1].size() > _MAX_OPEN or reopened > _MAX_REOPENED + _REOPENED_PER_TAG * tags:
            return True
    return False


class _Level(NamedTuple):
    """The elements open inside the innermost table: formatting as name and whole tag, others as names."""

    formatting: list[tuple[str, str]]
    others: list[str]

    def size(self) -> int:
        return len(self.formatting) + len(self.others)

    def start(self, name: str, tag: str) -> None:
        if name in _FORMATTING:
            if self.formatting.count((name, tag)) >= 3:  # the parser repeats no more of the same
                self.formatting.remove((name, tag))
            self.formatting.append((name, tag))
        else:
            if name == "p":
                self.end(name)
            self.others.append(name)

    def end(self, name: str) -> None:
        if name in _FORMATTING:
            found = next((one for one in reversed(self.formatting) if one[0] == name), None)
            if found is not None:
                self.formatting.remove(found)
        elif name in self.others:
            while self.others.pop() != name:
                pass

    def clear(self) -> None:
        self.formatting.clear()
        self.others.clear()
