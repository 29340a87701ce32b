"""Makes mutants of SQL in Python source: each has one condition of one statement replaced by true or false."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

_KEYWORDS = "WHERE|AND|OR|ON|WHEN|THEN|ELSE|END|BETWEEN|ORDER|LIMIT|RETURNING|GROUP|UNION|SET"
_WORD = re.compile(rf'[()]|"""|"(?=$|\n| *#|\))|\b(?:{_KEYWORDS})\b')
_CONDITION_FOLLOWS, _OPENINGS = {"WHERE", "AND", "OR", "ON", "WHEN"}, {"(", '"', '"""'}
_LONE_PART = re.compile(r"\s*\{\w+\}(?=\s*\{)")


class Mutant(NamedTuple):
    """Source with one condition replaced; *name* says which, in words that survive edits elsewhere in the file."""

    name: str
    source: str


class _Term(NamedTuple):
    before: str
    start: int
    end: int
    after: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield the mutants of every statement that *source* assigns to a name in capitals at the top level."""
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        name = node.targets[0].id
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        statement = "".join(lines[first:last])
        if not name.isupper() or not re.search(r"\b(WHERE|AND|WHEN)\b", statement):
            continue
        for term in _terms(statement):
            condition = statement[term.start : term.end]
            stripped = condition.strip()
            for value in _values(term):
                space = condition[len(condition.rstrip()) :]
                changed = f"{statement[: term.start]} {value}{space or ' '}{statement[term.end :]}"
                label = f"{name}: {' '.join(stripped.split())} -> {value}"
                yield Mutant(label, "".join([*lines[:first], changed, *lines[last:]]))


def _terms(statement: str) -> Iterator[_Term]:
    """Yield the conditions: what lies between WHERE, AND, OR, ON, WHEN and whatever ends it on the same level."""
    begun: list[tuple[str, int]] = [("", 0)]  # by depth of parentheses: the word before, and where its text starts
    between = [False]
    text = re.sub(r"--[^\n]*", lambda comment: " " * len(comment.group()), statement)
    for found in _WORD.finditer(text):
        word = found.group()
        if word == "(":
            begun.append(("(", found.end()))
            between.append(False)
        elif word == "AND" and between[-1]:
            between[-1] = False
        elif word == "BETWEEN":
            between[-1] = True
        else:
            before, start = begun[-1]
            if before in _CONDITION_FOLLOWS or (before in _OPENINGS and word in ("AND", "OR")):
                lone = _LONE_PART.match(text, start, found.start())  # another part of the statement may come after it
                yield _Term(before, start, lone.end() if lone else found.start(), word)
            if word == ")":
                if len(begun) > 1:
                    begun.pop()
                    between.pop()
            else:
                begun[-1] = (word, found.end())


def _values(term: _Term) -> tuple[str, ...]:
    """Choose what a condition becomes: that which makes it say nothing; both where either would say something."""
    if term.before == "WHEN" and term.after == "THEN":
        return ("0", "1")
    if "AND" in (term.before, term.after):
        return ("1",)
    return ("0",) if "OR" in (term.before, term.after) else ("1",)
