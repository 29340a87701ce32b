"""Where to listen, and whether strangers can reach it: no open relay by accident."""

import ipaddress
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prx_email_cli.config.listen import ListenSettings
from prx_email_cli.errors import ConfigError

SOCKET_NAME = "listen.sock"
BACKLOG = 512
# What is this wide holds strangers.
_WIDEST = {4: 8, 6: 16}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Endpoint(NamedTuple):
    """A listening socket.

    local: only this machine's programs reach it.  path, inode: of a Unix socket that was made here.
    """

    socket: socket.socket
    local: bool
    path: Path | None = None
    inode: int = 0

    @property
    def name(self) -> str:
        """Name it as a client would."""
        return named(self.socket) if self.path is None else str(self.path)

    def close(self) -> None:
        """Listen no more, and remove the Unix socket's file if it is still this one's."""
        if self.path is not None:
            with suppress(OSError):
                if os.lstat(self.path).st_ino == self.inode:
                    self.path.unlink()
        self.socket.close()


def open_endpoints(addresses: Sequence[str], mode: int) -> list[Endpoint]:
    """Listen on *addresses*.  mode: of Unix sockets.  Raises ConfigError; then none stays open."""
    opened: list[Endpoint] = []
    try:
        for address in addresses:
            opened += _open(address, mode)
    except BaseException:
        for one in opened:
            one.close()
        raise
    return opened


def inherited(sockets: Iterable[socket.socket]) -> list[Endpoint]:
    """Take over listening *sockets*, as systemd hands them on."""
    return [Endpoint(one, is_local(one)) for one in sockets]


def is_local(listening: socket.socket) -> bool:
    """Tell whether only programs of this machine can connect to a *listening* socket."""
    if listening.family == socket.AF_UNIX:
        return True
    return plain_address(str(listening.getsockname()[0])).is_loopback


def plain_address(text: str) -> Address:
    """Return the IP address in *text*, without a zone; an IPv4 one that came as IPv6 is itself again."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def networks(settings: ListenSettings) -> list[Network]:
    """Return the networks whose clients need no login.  Raises ConfigError for what is none, or is the world."""
    found = []
    for text in settings.allowed_networks or ():
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise ConfigError(
                f"listen.allowed_networks: not a network: {text!r} ({error})", hint='write it as "192.0.2.0/24"'
            ) from None
        if network.prefixlen < _WIDEST[network.version]:
            raise ConfigError(
                f"listen.allowed_networks: {text} is so wide that strangers could send mail through this machine",
                hint="name the networks of your own machines; for others there are logins (prx-email listen add-user)",
            )
        found.append(network)
    return found


def check_not_open(endpoints: Iterable[Endpoint], *, trusted: bool, logins: bool, tls: bool) -> None:
    """Refuse endpoints that others reach when neither *trusted* networks nor *logins* over *tls* keep strangers out.

    Raises ConfigError.
    """
    for one in endpoints:
        if one.local or trusted or (logins and tls):
            continue
        if logins:
            raise ConfigError(
                f"{one.name} is reached from outside, and logins would cross the network in clear",
                hint="set tls_cert_file (and tls_key_file) in [listen], or name allowed_networks",
            )
        raise ConfigError(
            f"{one.name} is reached from outside, and anybody there could send mail through it",
            hint="listen on 127.0.0.1 or a Unix socket; or name allowed_networks in [listen]; or set tls_cert_file "
            "there and add logins with prx-email listen add-user NAME",
        )


def named(listening: socket.socket) -> str:
    """Name a socket's own address, as in ``127.0.0.1:2525`` or ``/run/x.sock``."""
    address = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return os.fsdecode(address)
    host = f"[{address[0]}]" if listening.family == socket.AF_INET6 else address[0]
    return f"{host}:{address[1]}"


def _open(address: str, mode: int) -> list[Endpoint]:
    if address.startswith("unix:") or "/" in address:
        return [_open_unix(Path(os.path.abspath(os.path.expanduser(address.removeprefix("unix:")))), mode)]
    host, port = _host_and_port(address)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(address, error) from None
    opened: list[Endpoint] = []
    try:
        for family, kind, protocol, _, where in dict.fromkeys(found):
            opened.append(_open_tcp(socket.socket(family, kind, protocol), where, address))
    except BaseException:
        for one in opened:
            one.close()
        raise
    return opened


def _host_and_port(address: str) -> tuple[str, int]:
    """Split HOST:PORT; a port alone is one of 127.0.0.1.  Raises ConfigError."""
    host, colon, port = address.rpartition(":")
    if not colon:
        host = "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16) or (":" in host and not host.startswith("[")):
        raise ConfigError(
            f"cannot listen on {address!r}: neither HOST:PORT nor a path",
            hint="write 127.0.0.1:2525, [::1]:2525 or /run/prx-email/listen.sock",
        )
    return "" if host == "*" else host.strip("[]"), int(port)


def _open_tcp(made: socket.socket, where: tuple[object, ...], address: str) -> Endpoint:
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(where)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise _cannot_listen(address, error) from None
    return Endpoint(made, is_local(made))


def _open_unix(path: Path, mode: int) -> Endpoint:
    """Bind under another name and rename: nobody finds a socket that does not listen yet, or has a wider mode."""
    _refuse_if_taken(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_name(f".{path.name[:40]}.{os.getpid()}")
    try:
        with suppress(FileNotFoundError):
            new.unlink()
        before = os.umask(0o177)
        try:
            made.bind(str(new))
        finally:
            os.umask(before)
        made.listen(BACKLOG)
        new.chmod(mode)
        inode = os.lstat(new).st_ino
        new.rename(path)
    except OSError as error:
        made.close()
        with suppress(OSError):
            new.unlink()
        raise _cannot_listen(str(path), error) from None
    return Endpoint(made, local=True, path=path, inode=inode)


def _refuse_if_taken(path: Path) -> None:
    """Raise ConfigError when something other than a dead socket is at *path*."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ConfigError(f"cannot listen on {path}: there is a file that is no socket", hint="name another path")
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_listen(str(path), error) from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            raise _cannot_listen(str(path), error) from None
    raise ConfigError(
        f"cannot listen on {path}: another process does", hint="stop that one first (fuser, lsof), or name another path"
    )


def _cannot_listen(address: str, error: OSError | UnicodeError) -> ConfigError:
    hint = "check that the port is free and that it is an address of this machine; ports below 1024 need rights"
    if "/" in address:
        hint = "check that its directory exists and is writable, and that the path has at most 107 bytes"
    return ConfigError(f"cannot listen on {address}: {getattr(error, 'strerror', None) or error}", hint=hint)
