"""Turns the Markdown of docs/ into man(7): headings, paragraphs, lists, tables and examples."""

import re
from collections.abc import Iterator, Mapping

from .roff import bold, filled, heading, inline, item, verbatim

_CELLS = re.compile(r"(?<!\\)\|")
_ENTRY = re.compile(r"(?:[-*]|\d+\.) ")
_KEYS = ["Key", "Type", "Default", "Meaning"]  # the head of a table in docs/configuration.md


def blocks(text: str) -> Iterator[list[str]]:
    """Yield the blocks of *text*, each in lines: what empty lines part, but for a fence, which is one block."""
    block: list[str] = []
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        if block and not fenced and (not line or line.startswith("#") or (line[:1] == "|") != (block[0][:1] == "|")):
            if block[0].startswith("```") and line.startswith("```"):
                yield [*block, line]
                block = []
                continue
            yield block
            block = []
        if line or fenced:
            block.append(line)
    if block:
        yield block


def table(text: str, head: str) -> list[list[str]]:
    """Return the cells of each row of the table in *text* whose first column is called *head*."""
    for block in blocks(text):
        if block[0].startswith("|") and _cells(block[0])[0] == head:
            return [_cells(line) for line in block[2:]]
    raise LookupError(head)


def converted(text: str, names: Mapping[str, str]) -> list[str]:
    """Write a page of docs/ as man(7), without its title.  names: of sections that are called otherwise there."""
    lines: list[str] = []
    for block in blocks(text):
        first = block[0]
        if first.startswith(("# ", "<!--")):
            continue
        if first.startswith("#"):
            title = first.lstrip("#").strip()
            if first.startswith("###"):
                lines.append(heading(title.replace("`", ""), ".SS"))
                continue
            lines.append(heading(names.get(title) or (title[1:-1] if title.startswith("`[") else title.upper())))
        elif first.startswith("```"):
            lines += [".PP", *verbatim("\n".join(block[1:-1]))]
        elif first.startswith("|"):
            lines += _table(block)
        elif _ENTRY.match(first):
            lines += _list(block)
        else:
            lines += [".PP", *filled(inline(" ".join(block)))]
    return lines


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in _CELLS.split(line)[1:-1]]


def _table(block: list[str]) -> list[str]:
    head = _cells(block[0])
    rows = [_cells(line) for line in block[2:]]
    return [line for row in rows for line in (_key(row) if head == _KEYS else _row(row))]


def _row(cells: list[str]) -> list[str]:
    return item(inline(cells[0]), filled(inline("; ".join(cell for cell in cells[1:] if cell))))


def _key(cells: list[str]) -> list[str]:
    name, kind, default, meaning = cells
    first = meaning[:1].upper() + meaning[1:]
    told = f"{first}.  Default: {default}." if default != "-" else f"{first}."
    return item(f"{bold(name.strip('`'))} ({inline(kind)})", filled(inline(told)))


def _list(block: list[str]) -> list[str]:
    """Write the entries of a list behind their bullets or numbers."""
    entries: list[str] = []
    for line in block:
        if _ENTRY.match(line):
            entries.append(line)
        else:
            entries[-1] += f" {line.strip()}"
    lines = []
    for entry in entries:
        mark, text = entry.split(" ", 1)
        lines += [r".IP \(bu 3" if mark in "-*" else f".IP {mark} 4", *filled(inline(text))]
    return lines
