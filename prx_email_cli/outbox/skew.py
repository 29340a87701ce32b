"""Say how far two clocks are apart."""

from typing import NamedTuple


class Skew(NamedTuple):
    """How far this machine's clock is ahead of the one that decides what is due, give or take *unsure_seconds*."""

    seconds: float
    unsure_seconds: float
