"""Lay out the words of a page in lines: white space collapsed, blocks apart, quotes and lists indented."""

import re
from typing import NamedTuple

_SPACES = re.compile(r"[ \t\n\r\f]+")
# Invisible: control characters (also those that would act on a terminal), soft hyphens.
_DROPPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad]")
_INVISIBLE = re.compile("[\\s\u034f\u200b-\u200f\u2060-\u2064\ufeff]*")
_MOST_BLANK_LINES = 2
_MOST_INDENTS = 12


class Place(NamedTuple):
    """A place in the text: how many lines were begun, and the pieces of the last one unless it had ended."""

    begun: int
    pieces: int | None


_OPENING = tuple("([{<\"'")


class Lines:
    """Text that grows word by word; a line is only ended when the next one begins, so that it can be amended."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._line: list[str] = []
        self._begun = 0
        self._ended = True
        self._prefix = ""
        self._before = ""
        self._blank_before = 0  # of the line that is being written
        self._wanted = 0  # blank lines before the next one
        self._between = ""  # what separates the next word from the last
        self._indents: list[_Indent] = []

    def text(self, text: str) -> None:
        """Add *text*; white space in it only separates words."""
        collapsed = _SPACES.sub(" ", text)
        words = collapsed.strip(" ")
        if collapsed[:1] == " ":
            self.space()
        if words:
            self._put(words)
            if collapsed[-1] == " ":
                self.space()

    def kept(self, text: str) -> None:
        """Add *text* with its white space and lines as they are."""
        first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if first:
            self._put(first)
        for other in others:
            self.line_break(most=None)
            if other:
                self._put(other)

    def space(self, width: int = 1) -> None:
        """Keep the next word apart from the last one in this line."""
        if not self._ended and len(self._between) < width:
            self._between = " " * width

    def apart(self, text: str) -> None:
        """Add *text*, separated from the word before it."""
        if not self._ended and self._line and self._line[-1][-1:] not in _OPENING:
            self.space()
        self.text(text)

    def end(self) -> None:
        """End the line, if one was begun."""
        self._ended = True
        self._between = ""

    def gap(self) -> None:
        """End the line; a blank one comes before the next."""
        self.end()
        self._wanted = max(self._wanted, 1)

    def line_break(self, most: int | None = _MOST_BLANK_LINES) -> None:
        """End the line, or leave one blank where none was begun, but not more than *most* in a row."""
        if self._ended and (most is None or self._wanted < most):
            self._wanted += 1
        self.end()

    def indent(self, first: str, others: str) -> None:
        """Put *first* in front of the next line, and *others* in front of those that follow it."""
        deeper = len(self._indents) < _MOST_INDENTS
        self._indents.append(_Indent(first, others) if deeper else _Indent("", ""))

    def outdent(self) -> None:
        """Take the innermost indentation away."""
        self._indents.pop()

    def place(self) -> Place:
        """Return where the text ends now."""
        return Place(self._begun, None if self._ended else len(self._line))

    def since(self, place: Place) -> str | None:
        """Return the text written since *place*; None if that is not within one line."""
        if place.pieces is not None and place.begun == self._begun:
            return "".join(self._line[place.pieces :]).strip()
        if place.pieces is None and place.begun == self._begun - 1:
            return "".join(self._line).strip()
        return "" if place.begun == self._begun else None

    def rewrite(self, place: Place, text: str) -> None:
        """Replace the text written since *place*, within one line, by *text*."""
        at = place.pieces or 0
        if self._line[at : at + 1] and self._line[at].isspace():
            at += 1
        self._line[at:] = [text]

    def append(self, text: str) -> None:
        """Add *text* as one word to the line that was written last, also when a block has ended it."""
        if self._line:
            self._line.append(" " + text)
        else:
            self._put(text)

    def finished(self) -> str:
        """Return the whole text, "" for none."""
        self._flush()
        return "\n".join(self._done) + "\n" if self._done else ""

    def _put(self, text: str) -> None:
        if self._ended:
            self._begin()
        if self._between:
            self._line.append(self._between)
            self._between = ""
        self._line.append(text)

    def _begin(self) -> None:
        self._flush()
        self._ended = False
        self._begun += 1
        self._blank_before, self._wanted = self._wanted, 0
        self._before = "".join(indent.others for indent in self._indents if indent.used).rstrip()
        self._prefix = "".join(indent.take() for indent in self._indents)

    def _flush(self) -> None:
        line = _DROPPED.sub("", "".join(self._line).replace("\xa0", " ")).rstrip()
        if self._line and _INVISIBLE.fullmatch(line):
            self._wanted = max(self._wanted, self._blank_before, 1)
        elif self._line:
            if self._done:
                self._done.extend([self._before] * self._blank_before)
            self._done.append(self._prefix + line)
        self._line = []


class _Indent:
    def __init__(self, first: str, others: str) -> None:
        self._first = first
        self.others = others
        self.used = False

    def take(self) -> str:
        """Return the indentation of the next line."""
        prefix = self.others if self.used else self._first
        self.used = True
        return prefix
