"""Lay a table out in one line a row, within the width of the terminal."""

import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

from prx_email_cli.cli.colour import Tone, painted
from prx_email_cli.cli.output import put
from prx_email_cli.cli.render import safe

_GAP = "  "
_LEAST = 4  # of a column that is shortened


class Cell(NamedTuple):
    """A text of a table; suffix: its end, which stays when the text is shortened.  tone: what it means."""

    text: str
    suffix: str = ""
    tone: Tone = Tone.PLAIN


def put_columns(lines: Sequence[dict[str, Cell]], shortened: Sequence[str], right: Sequence[str] = ()) -> None:
    """Print a table: a header, then each of *lines* in one line.

    shortened: the columns that share what width the others leave; none leaves every text whole.  right: those that are
    aligned to the right.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    names = list(lines[0])
    table = [{name: _shown(cell, encoding) for name, cell in line.items()} for line in lines]
    widths = {name: max(text_width(name), *(text_width("".join(line[name][:2])) for line in table)) for name in names}
    if shortened:
        _share(widths, shortened, terminal_width() - len(_GAP) * (len(names) - 1))
    mark = _shown(Cell("…"), encoding).text if encoding.lower().startswith("utf") else "..."
    for line in [{name: Cell(name) for name in names}, *table]:
        texts = (_aligned(_cut(line[name], widths[name], mark), widths[name], right=name in right) for name in names)
        tones = (line[name].tone for name in names)
        put(_GAP.join(map(painted, texts, tones)).rstrip(" "))


def terminal_width() -> int:
    """Count the columns of the terminal; 80 where there is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def shortened(text: str, width: int) -> str:
    """Escape *text*, and shorten or pad it to *width* columns."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    mark = "…" if encoding.lower().startswith("utf") else "..."
    return _aligned(_cut(_shown(Cell(text), encoding), width, mark), width, right=False)


def _shown(cell: Cell, encoding: str) -> Cell:
    """Escape the texts of *cell*, also what the *encoding* of stdout has no characters for."""
    text, suffix = (safe(part).encode(encoding, "backslashreplace").decode(encoding) for part in cell[:2])
    return Cell(text, suffix, cell.tone)


def _share(widths: dict[str, int], shortened: Sequence[str], total: int) -> None:
    """Narrow the *shortened* columns until all *widths* make *total*; the widest give first."""
    room = total - sum(width for name, width in widths.items() if name not in shortened)
    names = sorted(shortened, key=lambda name: widths[name])
    for at, name in enumerate(names):
        widths[name] = max(_LEAST, min(widths[name], room // (len(names) - at)))
        room -= widths[name]


def _cut(cell: Cell, width: int, mark: str) -> str:
    """Shorten *cell* to *width*, with *mark* in place of what is left out."""
    whole = "".join(cell[:2])
    if text_width(whole) <= width:
        return whole
    room = width - text_width(cell.suffix) - len(mark)
    if room < 1:
        cell, room = Cell(whole), width - len(mark)
    end = 0
    while end < len(cell.text) and (room := room - text_width(cell.text[end])) >= 0:
        end += 1
    return cell.text[:end] + mark + cell.suffix


def _aligned(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - text_width(text))
    return space + text if right else text + space


def text_width(text: str) -> int:
    """Count the columns of a terminal that *text* takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # on use

    return cell_len(text)
