"""Break long lines at the width of the terminal; where there is none, none is broken."""

import os
import sys

from prx_email_cli.cli.colour import Tone, painted
from prx_email_cli.cli.columns import text_width
from prx_email_cli.cli.output import on_terminal, put
from prx_email_cli.cli.render import safe

LABEL_COLUMNS = 16
_LEAST_VALUE_COLUMNS = 24  # beside a label; where there are fewer it stands above
_LEAST_COLUMNS = 10


def screen_width() -> int | None:
    """Count the columns at which lines are broken; None where nobody looks at them on a screen."""
    if not on_terminal(sys.stdout) and not os.environ.get("COLUMNS", "").isdigit():
        return None
    import shutil  # on use

    return max(_LEAST_COLUMNS, shutil.get_terminal_size((80, 24)).columns)


def put_wrapped(text: object, indent: str = "", tone: Tone = Tone.PLAIN) -> None:
    """Print *text*, escaped and coloured, behind *indent*; further lines are indented by two more."""
    width = screen_width()
    lines = [safe(text)] if width is None else folded(_shown(text), width - len(indent), 2)
    put(indent + painted(lines[0], tone))
    for line in lines[1:]:
        put(f"{indent}  {painted(line, tone)}")


def put_labelled(label: str, text: object, tone: Tone = Tone.PLAIN) -> None:
    """Print *text*, escaped and coloured, beside its *label*, or below it where there is no room."""
    width = screen_width()
    if width is None:
        put(f"{label:<{LABEL_COLUMNS}}{safe(text)}")
    elif width - LABEL_COLUMNS < _LEAST_VALUE_COLUMNS:
        if label:
            put(label)
        for line in folded(_shown(text), width - 2):
            put(f"  {painted(line, tone)}")
    else:
        for number, line in enumerate(folded(_shown(text), width - LABEL_COLUMNS)):
            put(f"{'' if number else label:<{LABEL_COLUMNS}}{painted(line, tone)}")


def folded(text: str, width: int, less: int = 0) -> list[str]:
    """Break *text* into lines of *width* columns, after the first of *less* columns fewer, at spaces if there are."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        room = max(1, width - (less if lines else 0))
        joined = f"{line} {word}" if line else word
        if text_width(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, max(1, width - less if lines else width), max(1, width - less))
        lines += whole
    return [*lines, line]


def _pieces(word: str, first: int, others: int) -> list[str]:
    """Cut a word into pieces that fit."""
    pieces: list[str] = []
    piece = ""
    for character in word:
        if piece and text_width(piece + character) > (others if pieces else first):
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]


def _shown(text: object) -> str:
    """Escape *text*, also what the encoding of stdout has no characters for."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return safe(text).encode(encoding, "backslashreplace").decode(encoding)
