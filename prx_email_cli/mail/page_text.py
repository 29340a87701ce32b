"""Write an HTML page as plain text: its words and links, no markup of any kind."""

import contextlib
import html
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

from prx_email_cli.mail.page_lines import Lines, Place

_NOWHERE = re.compile(r"(?:#.*|(?:javascript|vbscript|data|cid|about|blob):.*)?", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?://)?", re.IGNORECASE)
_ESCAPED = str.maketrans({" ": "%20", "<": "%3C", ">": "%3E", '"': "%22"})
_UNSEEN = frozenset(
    ("head", "script", "style", "template", "title", "iframe", "noembed", "noframes", "datalist", "input")
)
_PICTURES = "img, svg, video, canvas, object, embed, input[type=image], [background], [style*='background']"
_LISTS = frozenset(("ul", "ol", "menu", "dir"))
_APART = _LISTS | frozenset(
    (
        "p",
        "blockquote",
        "pre",
        "listing",
        "xmp",
        "plaintext",
        "dl",
        "figure",
        "table",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
    )
)
_BLOCKS = _APART | frozenset(
    ("address", "article", "aside", "body", "caption", "center", "dd", "details", "dialog", "div", "dt", "fieldset",
     "figcaption", "footer", "form", "header", "hgroup", "html", "legend", "li", "main", "nav", "option", "search",
     "section", "summary", "tbody", "tfoot", "thead", "tr")
)  # fmt: skip
_CELLS = ("td", "th")
_KEPT = frozenset(("pre", "listing", "xmp", "plaintext", "textarea"))
_HIDDEN = re.compile(r"(?:^|[;\s])(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))", re.IGNORECASE)
_BLOCK_STYLE = re.compile(r"(?:^|[;\s])display\s*:\s*(?:block|flex|grid|list-item|table)\s*(?:[;!]|$)", re.IGNORECASE)
_KEPT_STYLE = re.compile(r"(?:^|[;\s])white-space\s*:\s*(?:pre|break-spaces)", re.IGNORECASE)
_UNMARKED_STYLE = re.compile(r"(?:^|[;\s])list-style(?:-type)?\s*:[^;]*\bnone\b", re.IGNORECASE)
_RAISED = str.maketrans("0123456789+-=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾")
_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,9})")
_RULE = "-" * 40
_MAX_BASE = 500  # it is written again with every link

_Attributes = dict[str, str | None]


def page_text(tree: LexborHTMLParser) -> str:
    """Write the words that *tree* shows, a line to a block, links written out; "" for a page that shows none.

    Hidden elements are left out; pictures become their alternative texts.
    """
    return _Writer(tree).written()


def shows_a_picture(tree: LexborHTMLParser) -> bool:
    """Tell whether the page shows a picture."""
    return tree.css_first(_PICTURES) is not None


def is_block(name: str) -> bool:
    """Tell whether elements of this name stand on lines of their own."""
    return name in _BLOCKS or name in _CELLS or name in ("br", "hr")


class _List(NamedTuple):
    """A list that is being written: next holds the number of its next item, None for a list without numbers."""

    next: list[int] | None
    marked: bool


class _Writer:
    """Writes the text of a tree; it never recurses, so a tree may be of any depth."""

    def __init__(self, tree: LexborHTMLParser) -> None:
        self._root = tree.root
        base = tree.css_first("base[href]")
        self._base = (base.attributes.get("href") or "")[:_MAX_BASE] if base is not None else ""
        self._lines = Lines()
        self._kept = 0  # how many elements around keep white space as written
        self._lists: list[_List] = []
        self._pictures = 0  # those without words
        self._flowing: set[int] = set()  # blocks that fill a cell of a table alone
        self._on_leaving: list[Callable[[], None]] = []

    def written(self) -> str:
        """Return the text of the whole tree."""
        node = self._root
        open_elements: list[int] = []  # for each, how much there is to do when it is left
        while node is not None:
            before = len(self._on_leaving)
            if self._enter(node) and node.child is not None:
                open_elements.append(before)
                node = node.child
                continue
            self._leave(before)
            while node is not None and node.next is None and open_elements:
                self._leave(open_elements.pop())
                node = node.parent
            node = node.next if node is not None and open_elements else None
        return self._lines.finished()

    def _leave(self, before: int) -> None:
        while len(self._on_leaving) > before:
            self._on_leaving.pop()()

    def _enter(self, node: LexborNode) -> bool:
        """Write the text before the children of *node*; tell whether to write them."""
        name = node.tag or ""
        if node.is_text_node:
            text = node.text_content or ""
            if self._kept:
                self._lines.kept(text)
            else:
                self._lines.text(text)
            return False
        if name in _UNSEEN or name.startswith(("-", "!")):
            return False
        attributes = node.attributes
        style = attributes.get("style") or ""
        if (
            "hidden" in attributes
            or (style and _HIDDEN.search(style))
            or (name == "dialog" and "open" not in attributes)
        ):
            return False
        if (name in _BLOCKS or (style and _BLOCK_STYLE.search(style))) and node.mem_id not in self._flowing:
            self._block(name)
        if name in _KEPT or (style and _KEPT_STYLE.search(style)):
            self._keep_white_space()
        special = _SPECIAL.get(name)
        if special is not None:
            special(self, node, attributes)
        return True

    def _block(self, name: str) -> None:
        between = self._lines.gap if name in _APART and not (name in _LISTS and self._lists) else self._lines.end
        between()
        self._on_leaving.append(between)

    def _keep_white_space(self) -> None:
        self._kept += 1
        self._on_leaving.append(self._collapse_white_space)

    def _collapse_white_space(self) -> None:
        self._kept -= 1

    def _break(self, node: LexborNode, attributes: _Attributes) -> None:
        self._lines.line_break()

    def _rule(self, node: LexborNode, attributes: _Attributes) -> None:
        self._lines.gap()
        self._lines.text(_RULE)
        self._lines.gap()

    def _cell(self, node: LexborNode, attributes: _Attributes) -> None:
        self._lines.space(width=2)
        inside = [child for child in node.iter(include_text=True) if not _is_blank(child)]
        if len(inside) != 1 or inside[0].tag not in ("p", "div"):
            return
        if not any(is_block(child.tag or "") for child in inside[0].iter()):
            self._flowing.add(inside[0].mem_id)

    def _quote(self, node: LexborNode, attributes: _Attributes) -> None:
        self._lines.indent("> ", "> ")
        self._on_leaving.append(self._lines.outdent)

    def _described(self, node: LexborNode, attributes: _Attributes) -> None:
        self._lines.indent("    ", "    ")
        self._on_leaving.append(self._lines.outdent)

    def _list(self, node: LexborNode, attributes: _Attributes) -> None:
        start = _number(attributes.get("start"), 1) if node.tag == "ol" else None
        marked = not _UNMARKED_STYLE.search(attributes.get("style") or "")
        self._lists.append(_List(None if start is None else [start], marked))
        self._on_leaving.append(lambda: (self._lists.pop(), None)[1])

    def _item(self, node: LexborNode, attributes: _Attributes) -> None:
        around = self._lists[-1] if self._lists else _List(None, marked=True)
        marker = "* "
        if around.next is not None:
            number = _number(attributes.get("value"), around.next[0])
            around.next[0] = number + 1
            marker = f"{number}. "
        if around.marked:
            self._lines.indent(marker, " " * len(marker))
            self._on_leaving.append(self._lines.outdent)

    def _quotation(self, node: LexborNode, attributes: _Attributes) -> None:
        self._lines.text("“")
        self._on_leaving.append(lambda: self._lines.text("”"))

    def _raised(self, node: LexborNode, attributes: _Attributes) -> None:
        place = self._lines.place()

        def raise_number() -> None:
            text = self._lines.since(place)
            if text and all(ord(character) in _RAISED for character in text):
                self._lines.rewrite(place, text.translate(_RAISED))

        if place.pieces:  # 10<sup>6</sup> is not 106
            self._on_leaving.append(raise_number)

    def _picture(self, node: LexborNode, attributes: _Attributes) -> None:
        words = (attributes.get("alt") or "").strip()
        name = PurePosixPath(unquote(attributes.get("src") or "")).name
        if any(attributes.get(side) in ("0", "1") for side in ("width", "height")):
            return  # it only counts who looks
        if words and words != name:
            self._lines.apart(words)
        else:
            self._pictures += 1

    def _link(self, node: LexborNode, attributes: _Attributes) -> None:
        address = _address_of(attributes.get("href") or "", self._base)
        if address:
            place, pictures = self._lines.place(), self._pictures
            self._on_leaving.append(lambda: self._write_out(address, place, picture=self._pictures > pictures))

    def _write_out(self, address: str, place: Place, *, picture: bool) -> None:
        text = self._lines.since(place)
        if text == "":
            if picture:
                self._lines.space()
                self._lines.text(f"<{address}>")
        elif text is not None and _says_the_same(text, address):
            self._lines.rewrite(place, address)
        elif text is None or not _says_enough(text, address):
            self._lines.append(f"<{address}>")


_SPECIAL: dict[str, Callable[[_Writer, LexborNode, _Attributes], None]] = {
    "a": _Writer._link, "br": _Writer._break, "hr": _Writer._rule, "img": _Writer._picture, "q": _Writer._quotation,
    "sup": _Writer._raised, "blockquote": _Writer._quote, "dd": _Writer._described, "li": _Writer._item,
    "td": _Writer._cell, "th": _Writer._cell, **dict.fromkeys(_LISTS, _Writer._list),
}  # fmt: skip


def _is_blank(node: LexborNode) -> bool:
    return node.tag == "-comment" or (bool(node.is_text_node) and not (node.text_content or "").strip())


def _number(text: str | None, otherwise: int) -> int:
    found = _NUMBER.match(text or "")
    return int(found[1]) if found else otherwise


def _address_of(href: str, base: str) -> str:
    """Return the address of a link, "" for one within the page.  base: the page's own address or ""."""
    address = href.strip("".join(map(chr, range(33)))).translate({9: None, 10: None, 13: None})
    if _NOWHERE.fullmatch(address):
        return ""
    if base:
        with contextlib.suppress(ValueError):  # no address at all: it stays as written
            address = urljoin(base.strip(), address)
    scheme, colon, rest = address.partition(":")
    if colon and scheme.lower() == "mailto" and "?" not in rest:
        return unquote(rest).strip()
    return address.translate(_ESCAPED)


def _says_the_same(text: str, address: str) -> bool:
    """Tell whether the text of a link is its address, except for parts that browsers hide.

    A bare ``&currency=`` stays as it is in an href and becomes a sign in the text, which still is the address.
    """
    return _comparable(text) == _comparable(address)


def _says_enough(text: str, address: str) -> bool:
    """Tell whether the text of a link contains the mail address or telephone number to which it leads."""
    scheme, colon, rest = address.partition(":")
    if colon and scheme.lower() in ("tel", "sms", "callto"):
        return bool(_digits(rest)) and _digits(rest).lstrip("0")[-7:] in _digits(text)
    return not colon and "@" in address and address.lower() in text.lower()


def _comparable(address: str) -> str:
    return _SCHEME.sub("", unquote(html.unescape(address)), count=1).strip().rstrip("/").lower()


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))
