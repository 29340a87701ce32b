"""Tell systemd how a service is, as sd_notify(3) does; without its variable, nothing."""

import os
import socket
from contextlib import suppress


def notify(*assignments: str) -> None:
    """Send ``READY=1`` and the like to the socket that NOTIFY_SOCKET names, if it does."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connected:
        connected.connect("\0" + address[1:] if address[0] == "@" else address)
        connected.sendall("\n".join(assignments).encode())


def watchdog_seconds() -> float | None:
    """Return how often ``WATCHDOG=1`` must come at least; None if it need not."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000
