"""Prepare HTML bodies: inline their styles, attach their local images, make plain text; nothing is ever fetched."""

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from selectolax.lexbor import LexborHTMLParser

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.attachments import Policy, attachment_from_store
from prx_email_cli.mail.mime import Attachment
from prx_email_cli.mail.page import MAX_DEPTH, NestedTooDeeply, depth, parsed, written
from prx_email_cli.mail.page_text import page_text, shows_a_picture

PICTURE_ALONE = "(This message is a picture; it is shown in the HTML version.)\n"


class HtmlBody(NamedTuple):
    """An HTML body ready for a message, with the images that go into the message with it."""

    html: str
    inline: list[Attachment]


def html_body(source: str, directory: Path | None, policy: Policy) -> HtmlBody:
    """Inline the CSS of *source* and reference its local images by ``cid:`` (RFC 2392).

    directory: of the HTML file; images are taken from there and below, None takes none.  References to the network stay
    as they are.  Raises ValidationError for an image that the policy does not admit or that lies elsewhere.
    """
    if not source.strip("\ufeff \t\r\n\f"):
        raise ValidationError("the HTML is empty", hint="leave --html out, or give it a file with text")
    page = _page(source)
    inline = [] if directory is None else _take_images(page, directory, policy)
    if page.css_first("style") is not None:
        from prx_email_cli.mail.page_style import with_inlined_styles  # on use: not every page has styles

        page = with_inlined_styles(page)
    return HtmlBody(f"<!DOCTYPE html>\n{written(page)}\n", inline)


def plain_text(source: str) -> str:
    """Write *source* as plain text: links written out, one line to a paragraph.

    A picture becomes its alternative text; a page of pictures without any becomes PICTURE_ALONE.  "" for a page that
    shows nothing.  Raises ValidationError.
    """
    page = parsed(source)
    return page_text(page) or (PICTURE_ALONE if shows_a_picture(page) else "")


def _page(source: str) -> LexborHTMLParser:
    """Parse *source* as a browser does.  Raises ValidationError."""
    page = parsed(source)
    if page.root is None or depth(page.root) > MAX_DEPTH:
        raise NestedTooDeeply()
    return page


def _take_images(page: LexborHTMLParser, directory: Path, policy: Policy) -> list[Attachment]:
    """Point each local image of *page* at its place inside the message; return the images, each once."""
    taken: dict[str, Attachment] = {}
    for image in page.css("img"):
        path = _local_path(image.attributes.get("src") or "")
        if path is None:
            continue
        if path not in taken:
            content_id = f"{os.urandom(12).hex()}@inline.prx-email"
            beside = policy._replace(store_root=directory.resolve())
            taken[path] = attachment_from_store(path, None, None, beside)._replace(content_id=content_id)
        image.attrs["src"] = f"cid:{taken[path].content_id}"
    return list(taken.values())


def _local_path(source: str) -> str | None:
    """Return the path in an image's source, relative to the HTML file; None if that is no local file.

    Raises ValidationError for a path that leads out of the HTML file's directory: a template that comes from elsewhere
    must not attach any file of the user's.
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
