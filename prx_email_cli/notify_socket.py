"""Tell systemd how a service is, as sd_notify(3) does; without its variable, nothing.

Nothing here raises. Who should hear it may be gone or stuck: it is given PATIENCE_SECONDS to take what it must know,
and no time at all to take a sign of life or a status.
"""

import os
import socket
import time
from contextlib import suppress

PATIENCE_SECONDS = 1.0
STATUS_LENGTH = 200  # characters
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd says to the service itself; its children have nothing to tell (``children.hide``)."""


def notify(*assignments: str) -> None:
    """Send ``READY=1`` and the like to the socket that NOTIFY_SOCKET names, if it does."""
    _send("\n".join(assignments), PATIENCE_SECONDS)


def tell_reloading() -> None:
    """Tell that the config is being read anew; ``READY=1`` is to follow (systemd.service(5), ``notify-reload``)."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def tell_status(text: str) -> None:
    """Tell in one line, which ``systemctl status`` shows, what the service does."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    _send(f"STATUS={line[:STATUS_LENGTH]}", 0.0)


def watchdog_seconds() -> float | None:
    """Return how often ``WATCHDOG=1`` must come at least; None if it need not."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000


class Pulse:
    """Signs of life for systemd's watchdog, twice as often as it must have them; none if it wants none.

    seconds: how often at least, None for never.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._next = 0.0

    @property
    def patience_seconds(self) -> float:
        """Return how long one step of the work may take before it counts as stuck."""
        return float("inf") if self._seconds is None else self._seconds / 2

    def beat(self, now: float) -> None:
        """Send ``WATCHDOG=1`` if it is time; only what has just done its work may call this.

        now: seconds that never go back.
        """
        if self._seconds is not None and now >= self._next:
            self._next = now + self._seconds / 2
            _send("WATCHDOG=1", 0.0)


def _send(text: str, seconds: float) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connected:
        connected.settimeout(seconds)
        connected.connect("\0" + address[1:] if address[0] == "@" else address)
        connected.sendall(text.encode("utf-8", "replace"))
