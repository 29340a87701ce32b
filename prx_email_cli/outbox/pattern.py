"""Compare texts with patterns as people type them; pure."""

import re
from functools import lru_cache


def resembles(pattern: str, text: str | None) -> bool:
    """Tell whether *text* is like *pattern*, in small letters or large.

    ``*`` stands for any characters and ``?`` for one; a pattern without these matches as a part of the text.
    """
    return text is not None and _compiled(_folded(pattern)).fullmatch(_folded(text)) is not None


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    if not {"*", "?"} & {*pattern}:
        pattern = f"*{pattern}*"
    first, *rest = [re.escape(part).replace(re.escape("?"), ".") for part in pattern.split("*")]
    if not rest:
        return re.compile(first, re.DOTALL)
    # The first place where a part matches serves: trying others, too, could take for ever.
    inner = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{inner}.*{rest[-1]}", re.DOTALL)


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    from unicodedata import normalize  # on use

    return normalize("NFC", text.casefold())
