"""Split a TOML document into statements, to take some out and keep all others."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

_STRING = r"'''(?:(?!''').)*''''{0,2}|'[^'\n]*'|" + r'"""(?:\\.|(?!""")[^\\])*""""{0,2}|"(?:\\.|[^"\\\n])*"'
_TOKEN = re.compile(rf"{_STRING}|#[^\n]*|[\[{{]|[\]}}]|\n|[^\"'#\[\]{{}}\n]+", re.DOTALL)
_KEY = re.compile(rf"(?:{_STRING}|[^\"'=\n])+", re.DOTALL)


class Statement(NamedTuple):
    """A table header, a key with its value, or a line without either.

    text: with its line end.  path: the names from the top of the document to what it defines, () for a blank line or a
    comment.  comments: each with whether it is inside the value.
    """

    text: str
    path: tuple[str, ...] = ()
    is_header: bool = False
    comments: tuple[tuple[str, bool], ...] = ()


def statements(document: str) -> Iterator[Statement]:
    """Yield the statements of a valid *document*; their texts make up the document."""
    table: tuple[str, ...] = ()
    at = 0
    while at < len(document):
        end, comments = _end(document, at)
        text = document[at:end]
        at = end
        bare = text.strip(" \t\r\n")
        if not bare or bare.startswith("#"):
            yield Statement(text, comments=comments)
        elif bare.startswith("["):
            table = _names(tomllib.loads(text))
            yield Statement(text, table, is_header=True, comments=comments)
        else:
            key = _KEY.match(text)
            names = _names(tomllib.loads(f"{key[0] if key else ''}= 0"))
            yield Statement(text, (*table, *names), comments=comments)


def without_table(document: str, path: tuple[str, ...]) -> tuple[str, str | None]:
    """Take the table at *path* out of *document*, with the comments inside it.

    Returns the text before the table's first header and the text after it.  If the table has no header of its own, it
    returns all the rest and None.
    """
    kept: list[str] = []
    waiting: list[str] = []  # blank lines and comments: the next statement tells whether they are inside
    split: int | None = None
    inside = False
    for statement in statements(document):
        if not statement.path:
            waiting.append(statement.text)
            continue
        was_inside, inside = inside, statement.path[: len(path)] == path
        if not (was_inside and inside):
            kept += waiting
        waiting.clear()
        if not inside:
            kept.append(statement.text)
        elif statement.is_header and split is None:
            split = len(kept)
    kept += waiting
    if split is None:
        return "".join(kept), None
    return "".join(kept[:split]), "".join(kept[split:])


def without_inline_table(document: str, name: str) -> str | None:
    """Take ``name = {...}`` out of the top of *document*; return the rest.

    A comment at its end stays as a line.  None when there is no such statement, or when comments inside the value would
    be lost.
    """
    kept: list[str] = []
    found = False
    for statement in statements(document):
        if statement.path != (name,) or statement.is_header:
            kept.append(statement.text)
            continue
        if any(inside for _, inside in statement.comments):
            return None
        found = True
        kept += [comment + "\n" for comment, _ in statement.comments]
    return "".join(kept) if found else None


def _end(document: str, at: int) -> tuple[int, tuple[tuple[str, bool], ...]]:
    """Return where the statement that begins *at* ends, and its comments."""
    depth = 0
    comments: list[tuple[str, bool]] = []
    while (token := _TOKEN.match(document, at)) is not None:
        at, text = token.end(), token[0]
        if text in "[{":
            depth += 1
        elif text in "]}":
            depth -= 1
        elif text.startswith("#"):
            comments.append((text, depth > 0))
        elif text == "\n" and depth == 0:
            break
    return at, tuple(comments)


def _names(document: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the nested tables of a *document*, each of which holds one."""
    names: list[str] = []
    value: Any = document
    while isinstance(value, dict) and value:
        ((name, value),) = value.items()
        names.append(name)
    return tuple(names)
