"""Count SIGHUPs, each of which asks a service to read its config anew."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Hangups:
    """How many SIGHUPs came; each part of a service remembers which of them it has heeded."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def counted() -> Iterator[Hangups]:
    """Count SIGHUPs while the block lasts; the one that tells that the terminal is gone counts as SIGTERM.

    A service that was started with SIGHUP ignored, as nohup does, outlives its terminal.
    """
    hangups = Hangups()
    ends_with_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL and _has_terminal()

    def on_signal(number: int, frame: Any) -> None:
        nonlocal ends_with_terminal
        if ends_with_terminal and not _has_terminal():
            ends_with_terminal = (
                False  # both the kernel and a shell tell of it, and a second SIGTERM would end all at once
            )
            signal.raise_signal(signal.SIGTERM)
        else:
            hangups.count += 1

    before = signal.signal(signal.SIGHUP, on_signal)
    try:
        yield hangups
    finally:
        signal.signal(signal.SIGHUP, before)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True
