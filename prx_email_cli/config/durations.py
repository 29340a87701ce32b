"""Read durations as people write them, such as ``90s``, ``2h`` or ``1d12h``."""

import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
EXAMPLES = "write 90s, 15m, 2h, 1d or 1d12h"
MOST_DIGITS = 12  # of one number: more are beyond every date


def seconds_of(text: str) -> int | None:
    """Return a duration in seconds, None for what is none.  Raises OverflowError for one beyond every date."""
    if not re.fullmatch(r"(?:[0-9]+[smhdwy])+", text):
        return None
    parts = re.findall(r"0*([0-9]+)([smhdwy])", text)
    if any(len(number) > MOST_DIGITS for number, _ in parts):
        raise OverflowError(text)
    return sum(int(number) * UNITS[unit] for number, unit in parts)
