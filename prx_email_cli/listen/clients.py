"""Who is at the other end of a connection, and what that client may do."""

import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prx_email_cli.files import user_name
from prx_email_cli.listen.endpoints import Network, plain_address
from prx_email_cli.outbox.messages import Caller

COMMAND = "listen"
NOBODY = -1  # the uid of a client on another machine
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)


class Client(NamedTuple):
    """A client.

    name: by which its connections and messages are counted.  address: its IP address, "" where it has none.
    trusted: it needs no login.  encrypted: TLS from the first byte on.
    """

    name: str
    address: str
    caller: Caller
    trusted: bool
    encrypted: bool = False

    def as_user(self, login: str) -> "Client":
        """Return the client once it has logged in."""
        return self._replace(name=f"login {login}", caller=self.caller._replace(user=login))


def client_at(connected: socket.socket, networks: Sequence[Network], *, local: bool) -> Client:
    """Identify the client of a *connected* socket.  local: it came by a socket that only this machine reaches."""
    if connected.family == socket.AF_UNIX:
        return _neighbour(connected)
    try:
        address = plain_address(str(connected.getpeername()[0]))
    except OSError:  # gone already
        return Client("gone", "0.0.0.0", Caller("", NOBODY, "", COMMAND), trusted=False)  # noqa: S104
    trusted = local or any(address in network for network in networks if network.version == address.version)
    text = str(address)
    return Client(text, text, Caller("", NOBODY, text, COMMAND), trusted)


def this_process() -> Client:
    """Identify the user who holds the dialogue on standard input and output."""
    uid = os.getuid()
    return Client(f"uid {uid}", "", Caller(user_name(uid), uid, os.uname().nodename, f"{COMMAND} -bs"), trusted=True)


def _neighbour(connected: socket.socket) -> Client:
    """Identify a program of this machine by what the kernel knows of it."""
    pid, uid = 0, NOBODY
    if hasattr(socket, "SO_PEERCRED"):
        known = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(known)
    user = user_name(uid) if uid != NOBODY else ""
    program = _program(pid)
    command = f"{COMMAND}, from {program}" if program else COMMAND
    return Client(f"uid {uid}", "", Caller(user, uid, os.uname().nodename, command), trusted=True)


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
