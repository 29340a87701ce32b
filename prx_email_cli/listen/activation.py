"""Take over listening sockets from systemd (sd_listen_fds(3))."""

import os
import socket
from collections.abc import MutableMapping

from prx_email_cli.errors import ConfigError

FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def activated(environment: MutableMapping[str, str], first: int = FIRST) -> list[socket.socket]:
    """Return the sockets that were handed to this process, and forget them in *environment*.

    first: the number of the first descriptor.  Raises ConfigError for one that is no listening stream socket.
    """
    pid, count, _ = (environment.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    return [_listening(number) for number in range(first, first + int(count))]


def _listening(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)  # noqa: FBT003
        found = socket.socket(fileno=number)
        if found.type & socket.SOCK_STREAM and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.setblocking(False)  # noqa: FBT003
            return found
        found.detach()
    except OSError:
        pass
    raise ConfigError(
        f"descriptor {number} from LISTEN_FDS is no listening stream socket",
        hint="use ListenStream= and Accept=no in the socket unit",
    )
