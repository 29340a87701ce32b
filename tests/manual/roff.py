"""Writes text as man(7) wants it: nothing in it is taken for a request, a macro or an escape."""

import re
import textwrap
from collections.abc import Iterable

WIDTH = 78
_ESCAPES = {
    "\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq", "…": "...",
}  # fmt: skip
_SPAN = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|\[([^\]]+)\]\(([^)]+)\)|(?<![\w-])(--[a-z][\w-]*)|docs/([a-z]+\.md)")
_SENTENCE = re.compile(r"(?<=[.:!?]) +(?=[A-Z(])")


def plain(text: str) -> str:
    """Escape *text*; what is not ASCII is written by its number."""
    return "".join(_ESCAPES.get(one) or (one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def bold(text: str) -> str:
    """Escape *text*, to be shown as it is typed."""
    return rf"\fB{plain(text)}\fR"


def italic(text: str) -> str:
    """Escape *text*, which stands for a value."""
    return rf"\fI{plain(text)}\fR"


def inline(text: str) -> str:
    """Escape *text* in which code, bold words and links are written as in Markdown; options are bold anyway."""
    parts, at = [], 0
    for found in _SPAN.finditer(text):
        code, strong, label, target, option, page = found.groups()
        parts.append(plain(text[at : found.start()]))
        if label or page:
            parts.append(_link(label or page, target or page))
        else:
            parts.append(bold(strong or code or option))
        at = found.end()
    return "".join(parts) + plain(text[at:])


def filled(text: str) -> list[str]:
    """Break escaped text into lines, one sentence at least to a line."""
    lines = [
        line
        for sentence in _SENTENCE.split(" ".join(text.split()))
        for line in textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
    ]
    return [_no_request(line) for line in lines]


def verbatim(text: str) -> list[str]:
    """Write the lines of *text* as they are, indented."""
    lines = [_no_request(plain(line)) or r"\&" for line in text.rstrip("\n").expandtabs().splitlines()]
    return [".RS 4", ".EX", *lines, ".EE", ".RE"]


def item(tag: str, body: Iterable[str]) -> list[str]:
    """Write an item of a list.  tag, body: escaped already, the body in lines."""
    return [".TP", _no_request(tag), *body]


def heading(title: str, macro: str = ".SH") -> str:
    """Write the heading of a section, or of a part of one."""
    return f'{macro} "{plain(title)}"' if " " in title else f"{macro} {plain(title)}"


def _no_request(line: str) -> str:
    return rf"\&{line}" if line.startswith((".", "'")) else line


PAGES = {
    "configuration.md": ("prx-email-config", 5),
    "../config.example.toml": ("prx-email-config", 5),
    "config.example.toml": ("prx-email-config", 5),
    "sendmail.md": ("prx-sendmail", 8),
    "environment.md": ("prx-email", 1),
    "jobs.md": ("prx-email-run", 1),
    "listen.md": ("prx-email-listen", 1),
}


def reference(name: str, section: int) -> str:
    """Write the name of a page as pages do."""
    return f"{bold(name)}({section})"


def _link(label: str, target: str) -> str:
    """Name the page that a link leads to: a man page where there is one, else the file in the sources."""
    file = target.split("#")[0]
    if file in PAGES:
        return reference(*PAGES[file])
    if "://" in target or not file:
        return inline(label)
    where = file.removeprefix("../") if file.startswith("../") else f"docs/{file.removeprefix('docs/')}"
    return plain(where) if label in (file, where) else f"{inline(label)} ({plain(where)})"
