"""Move a page's style sheets into style attributes, which every mail reader obeys; nothing is ever fetched."""

import css_inline
from selectolax.lexbor import LexborHTMLParser, LexborNode

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.page import written
from prx_email_cli.mail.page_sheet import above_attributes, declarations, remainder, with_escaped_quotes

_DIRECTIVE = "data-css-inline"  # css-inline's own: "ignore" leaves an element, or a whole sheet, as it is
_SET_APART = "data-prx-email-apart"  # beside it, where it was this module that wrote it
_INLINER = css_inline.CSSInliner(
    load_remote_stylesheets=False,  # neither from the network nor from files
    keep_link_tags=True,
    keep_style_tags=True,  # else a sheet that is to be ignored is dropped
    keep_at_rules=True,
    remove_inlined_selectors=True,
)


def with_inlined_styles(page: LexborHTMLParser) -> LexborHTMLParser:
    """A page like *page*, which is changed too, with its style sheets turned into style attributes where they can be.

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
            f"the style sheet of the HTML cannot be inlined: {error}", hint="take the odd rule out of its <style>"
        ) from None
    result = LexborHTMLParser(inlined)
    for unseen in result.css("head, head *"):  # a rule for * styles them too
        if "style" in unseen.attributes:
            del unseen.attrs["style"]
    for style in result.css("style"):
        _finish(style)
    return result


def _prepare(style: LexborNode) -> None:
    """Keep css-inline, which looks at no attribute but its own, from a sheet that is for some media or is no CSS."""
    if style.attributes.get(_DIRECTIVE) == "ignore":
        return
    if not (_is_css(style) and _is_for_all(style) and _is_read(style)):
        style.attrs[_DIRECTIVE] = "ignore"
        style.attrs[_SET_APART] = ""
    elif style.child is not None:
        style.child.replace_with(with_escaped_quotes(style.child.text_content or ""))


def _finish(style: LexborNode) -> None:
    """Leave in a style element what has to stay there, and remove one in which nothing has."""
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
    """Whether a sheet is for whatever shows the page, a screen as much as anything."""
    media = (style.attributes.get("media") or "all").lower().split(",")
    return any(one.strip() in ("all", "screen") for one in media)


def _is_read(style: LexborNode) -> bool:
    """Whether css-inline takes the sheet for one of the page: inside of these it does not."""
    around = style.parent
    while around is not None and around.tag not in ("svg", "noscript", "template"):
        around = around.parent
    return around is None
