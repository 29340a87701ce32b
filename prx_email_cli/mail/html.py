"""HTML bodies: style inlined, local images taken along, nothing ever fetched."""

import logging
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import cssutils
import lxml.html
from premailer import Premailer

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.attachment import Attachment
from prx_email_cli.mail.page import MAX_DEPTH, NestedTooDeeply, depth, parsed
from prx_email_cli.mail.page_text import page_text, shows_a_picture
from prx_email_cli.mail.policy import Policy, attachment_from_store

PICTURE_ALONE = "(This message is a picture; it is shown in the HTML version.)\n"


class HtmlBody(NamedTuple):
    """An HTML body ready for a message, with the images that it shows from inside the message."""

    html: str
    inline: list[Attachment]


def html_body(source: str, directory: Path | None, policy: Policy) -> HtmlBody:
    """*source* with its CSS inlined and its local images referenced by ``cid:`` (RFC 2392).

    directory: where the HTML file lies; images are taken only from there and below, None takes none.  References to the
    network stay what they are: a reader's program may follow them, this one never does.  Raises ValidationError for an
    image that the policy does not admit or that lies elsewhere.
    """
    if not source.strip("\ufeff \t\r\n\f"):
        raise ValidationError("the HTML is empty", hint="leave --html out, or give it a file with text")
    document = _document(source)
    inline = [] if directory is None else _take_images(document, directory, policy)
    _inline_styles(document)
    return HtmlBody(lxml.html.tostring(document, encoding="unicode", doctype="<!DOCTYPE html>") + "\n", inline)


def plain_text(source: str) -> str:
    """A plain alternative for *source*: its words with links written out, a line to a paragraph.

    A page of pictures alone is told by their alternative texts, and one without such texts by a line that says where
    to look.  "" for a page that shows nothing.  Raises ValidationError.
    """
    page = parsed(source)
    return page_text(page) or (PICTURE_ALONE if shows_a_picture(page) else "")


def _document(source: str) -> Any:
    """The page that a browser makes of *source*, for lxml, whose own parser reads ``&currency=`` otherwise."""
    page = parsed(source)
    if page.root is None or depth(page.root) > MAX_DEPTH:
        raise NestedTooDeeply()
    for element in page.css("pre, textarea, listing"):  # a line break right after the tag is none of the text
        first = element.child
        if first is not None and first.is_text_node and (first.text_content or "").startswith("\n"):
            first.replace_with("\n" + (first.text_content or ""))
    try:
        return lxml.html.document_fromstring(page.html or "", parser=lxml.html.HTMLParser(huge_tree=True))
    except (lxml.etree.LxmlError, ValueError) as error:
        raise ValidationError(f"the HTML cannot be read: {error}", hint="check the file") from None


class _Inliner(Premailer):  # type: ignore[misc]
    """premailer that does not follow ``@import``: cssutils would fetch it although the network is off."""

    def _parse_css_string(self, css_body: str, validate: bool = True) -> Any:
        parser = cssutils.CSSParser(fetcher=_fetch_nothing, validate=validate, loglevel=logging.CRITICAL)
        return parser.parseString(css_body)


def _fetch_nothing(url: str) -> tuple[None, bytes]:
    return None, b""


def _inline_styles(document: Any) -> None:
    """Turn the style sheets of *document* into style attributes, as far as they can be.  Raises ValidationError."""
    inliner = _Inliner(
        document,
        allow_network=False,
        allow_loading_external_files=False,
        disable_validation=True,
        cssutils_logging_level=logging.CRITICAL,
        keep_style_tags=False,
        strip_important=False,
    )
    try:
        inliner.transform()
    except Exception as error:  # noqa: BLE001 - cssutils and XPath fail in ways of their own at odd rules
        raise ValidationError(
            f"the style sheet of the HTML cannot be inlined: {error}", hint="take the odd rule out of its <style>"
        ) from None


def _take_images(document: Any, directory: Path, policy: Policy) -> list[Attachment]:
    """Point each local image of *document* at its place inside the message; the images, each once."""
    taken: dict[str, Attachment] = {}
    for image in document.iter("img"):
        path = _local_path(image.get("src", ""))
        if path is None:
            continue
        if path not in taken:
            content_id = f"{os.urandom(12).hex()}@inline.prx-email"
            beside = policy._replace(store_root=directory.resolve())
            taken[path] = attachment_from_store(path, None, None, beside)._replace(content_id=content_id)
        image.set("src", f"cid:{taken[path].content_id}")
    return list(taken.values())


def _local_path(source: str) -> str | None:
    """The file that an image's source names, relative to the HTML file; None for one that is no local file.

    A template may come from elsewhere: what it can take along is what lies beside it, not any file of the user's.
    """
    parts = urlsplit(source.strip())
    if parts.scheme or parts.netloc or not parts.path:
        return None
    path = unquote(parts.path)
    if path.startswith("/") or ".." in path.split("/"):
        raise ValidationError(
            f"the HTML shows an image outside its own directory: {source!r}", hint="put the image beside the HTML file"
        )
    return path
