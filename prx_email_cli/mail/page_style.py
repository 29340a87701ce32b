"""Move a page's style sheets into style attributes, which every mail reader obeys; nothing is ever fetched."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import css_inline
from selectolax.lexbor import LexborHTMLParser, LexborNode

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.page import written

_DIRECTIVE = "data-css-inline"  # css-inline's own: "ignore" leaves an element, or a whole sheet, as it is
_SET_APART = "data-prx-email-apart"  # beside it, where it was this module that wrote it
_INLINER = css_inline.CSSInliner(
    load_remote_stylesheets=False,  # neither from the network nor from files
    keep_link_tags=True,
    keep_style_tags=True,  # else a sheet that is to be ignored is dropped
    keep_at_rules=True,
    remove_inlined_selectors=True,
)
_STRING = r"\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?"
_TOKEN = re.compile(
    rf"/\*.*?(?:\*/|\Z)|<!--|-->|{_STRING}|url\(\s*+[^\"'\s)][^)]*+\)?|\\.|[{{}}();]", re.DOTALL | re.IGNORECASE
)
_IMPORTANT = re.compile(r"!\s*important\s*\Z", re.IGNORECASE)
_QUOTABLE = re.compile(rf"/\*.*?(?:\*/|\Z)|{_STRING}", re.DOTALL)
_QUOTE_WITHIN = re.compile(r"\\?[\"']|\\.", re.DOTALL)
_SPACE = " \t\n\r\f"
_DECLARATION = re.compile(rf"-*[a-z_][-\w]*[{_SPACE}]*:", re.IGNORECASE | re.ASCII)
# At-rules around ordinary rules.  All others, such as @font-face and @keyframes, hold what may not be !important.
_GROUP = re.compile(r"@(?:media|supports|container|layer|scope|(?:-moz-)?document|starting-style)\b", re.IGNORECASE)


def with_inlined_styles(page: LexborHTMLParser) -> LexborHTMLParser:
    """Turn style sheets into style attributes where possible; return the new page.  *page* is changed too.

    Rules for some media only, and for states such as ``:hover``, stay in their style elements.  Raises ValidationError.
    """
    for style in page.css("style"):
        _prepare(style)
    for element in page.css("[style]"):
        style_before = element.attributes.get("style") or ""
        style_after = declarations(style_before)
        if style_after != style_before:
            element.attrs["style"] = style_after
    try:
        inlined = _INLINER.inline(written(page, times_parsed=2))
    except ValueError as error:
        raise ValidationError(
            f"the style sheet of the HTML cannot be inlined: {error}",
            hint="correct that rule in its <style>, or remove it",
        ) from None
    result = LexborHTMLParser(inlined)
    for unseen in result.css("head, head *"):  # a rule for * styles them too
        if "style" in unseen.attributes:
            del unseen.attrs["style"]
    for style in result.css("style"):
        _finish(style)
    return result


def _prepare(style: LexborNode) -> None:
    """Mark a sheet that is for some media, or is no CSS, so that css-inline leaves it alone."""
    if style.attributes.get(_DIRECTIVE) == "ignore":
        return
    if not (_is_css(style) and _is_for_all(style) and _is_read(style)):
        style.attrs[_DIRECTIVE] = "ignore"
        style.attrs[_SET_APART] = ""
    elif style.child is not None:
        style.child.replace_with(with_escaped_quotes(style.child.text_content or ""))


def _finish(style: LexborNode) -> None:
    """Reduce a style element to the rules that must stay in it; remove it when there are none."""
    text = style.child
    sheet = (text.text_content or "") if text is not None else ""
    left = sheet
    if _SET_APART in style.attributes:
        del style.attrs[_DIRECTIVE]
        del style.attrs[_SET_APART]
        left = above_attributes(sheet) if _is_css(style) else sheet
    elif style.attributes.get(_DIRECTIVE) != "ignore":
        left = remainder(sheet)
    if text is None or not left.strip():
        style.decompose()
    elif left != sheet:
        text.replace_with(left)


def _is_css(style: LexborNode) -> bool:
    return (style.attributes.get("type") or "text/css").strip().lower() == "text/css"


def _is_for_all(style: LexborNode) -> bool:
    """Tell whether a sheet applies to all media, or to screens."""
    media = (style.attributes.get("media") or "all").lower().split(",")
    return any(one.strip() in ("all", "screen") for one in media)


def _is_read(style: LexborNode) -> bool:
    """Tell whether css-inline reads the sheet: inside some elements it does not."""
    around = style.parent
    while around is not None and around.tag not in ("svg", "noscript", "template"):
        around = around.parent
    return around is None


class _Rule(NamedTuple):
    """A rule at a sheet's top level.  prelude: the text before its block; text: all of it."""

    prelude: str
    text: str


def remainder(sheet: str) -> str:
    """Return the rules of *sheet* that cannot be inlined; "" when there are none.

    These are at-rules, and rules whose selector depends on more than the tree, such as ``a:hover``; each gets
    !important, because a style attribute would win over it otherwise.
    """
    rules = [rule for rule in _rules(sheet) if rule.prelude.startswith("@") or ":" in rule.prelude]
    rules.sort(key=lambda rule: not rule.prelude.lower().startswith("@import"))  # elsewhere than in front it is ignored
    return "\n".join(rule.text for rule in rules)


def above_attributes(sheet: str) -> str:
    """Add !important to the declarations of *sheet*, so that they win over style attributes."""
    return "\n".join(rule.text for rule in _rules(sheet))


def with_escaped_quotes(sheet: str) -> str:
    """Write quotes inside the strings of *sheet* as numbers: css-inline turns every ``"`` into a ``'``."""
    return _QUOTABLE.sub(_with_escaped_quotes, sheet)


def declarations(style: str) -> str:
    """Keep of a style attribute the declarations that a browser reads, in the form that css-inline reads.

    css-inline fails for the whole page if one piece is no declaration, such as ``*zoom: 1``.
    """
    phrases = list(_phrases(style))
    sound = [bare for _, bare, end in phrases if end in ("", ";") and _DECLARATION.match(bare)]
    written = [words.strip(_SPACE) + end.strip(";") for words, _, end in phrases]
    return with_escaped_quotes(style if sound == [words for words in written if words] else "; ".join(sound))


def _with_escaped_quotes(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith("/"):
        return text
    end = text[0] if len(text) > 1 and text.endswith(text[0]) else ""
    return text[0] + _QUOTE_WITHIN.sub(_as_number, text[1 : len(text) - len(end)]) + end


def _as_number(found: re.Match[str]) -> str:
    return f"\\{ord(found[0][-1]):x} " if found[0][-1] in "\"'" else found[0]


def _rules(sheet: str) -> Iterator[_Rule]:
    """Yield the rules of *sheet* in order; its end closes every open block."""
    pieces: list[str] = []  # of the rule that is being read
    blocks: list[bool] = []  # for each open block: whether it holds declarations that may be !important
    prelude = ""
    for words, bare, end in _phrases(sheet):
        if not blocks:
            prelude = bare
        pieces.append(_important(words, bare) if blocks and blocks[-1] and end != "{" else words)
        if end == "{":
            blocks.append(_takes_important(bare, blocks))
        elif end == "}" and blocks:
            blocks.pop()
        pieces.append(end or "}" * len(blocks))
        if not blocks or not end:
            if prelude:
                yield _Rule(prelude, "".join(pieces).strip())
            pieces = []


def _phrases(sheet: str) -> Iterator[tuple[str, str, str]]:
    """Yield the texts between ``{``, ``}`` and ``;``: as written, bare of comments and space, and their end."""
    bare, written_from, bare_from, parentheses = "", 0, 0, 0
    for token in _TOKEN.finditer(sheet):
        sign = token[0]
        if sign in ("(", ")"):
            parentheses = max(0, parentheses + (1 if sign == "(" else -1))
        elif sign == "}" or (sign in ("{", ";") and not parentheses):
            yield sheet[written_from : token.start()], (bare + sheet[bare_from : token.start()]).strip(_SPACE), sign
            bare, written_from, bare_from, parentheses = "", token.end(), token.end(), 0
        elif sign.startswith("/*") or sign in ("<!--", "-->"):
            bare, bare_from = bare + sheet[bare_from : token.start()], token.end()
    yield sheet[written_from:], (bare + sheet[bare_from:]).strip(_SPACE), ""


def _takes_important(prelude: str, around: list[bool]) -> bool:
    """Tell whether the block after *prelude* holds, at any depth, declarations that may be !important."""
    if around and not around[-1]:
        return False
    return bool(_GROUP.match(prelude)) if prelude.startswith("@") else not prelude.startswith("--")


def _important(words: str, bare: str) -> str:
    """Add !important to a declaration; return any other text as it is."""
    if ":" not in bare or _IMPORTANT.search(bare) or bare.startswith("@"):
        return words
    return f"{words.rstrip()} !important"
