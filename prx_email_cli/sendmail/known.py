"""Know from an earlier call what the config says, as long as nothing has changed that it could depend on.

Reading and checking the config takes twice as long as an interpreter to start.  The call that did so leaves what a
plain message needs, no secrets, in a file in the user's cache directory; it is believed only if nobody else can have
written it, and only for the same program, environment, config and directories.
"""

import marshal
import os
import stat
from binascii import crc32

from prx_email_cli import __version__
from prx_email_cli.outbox.small import SmallOutbox
from prx_email_cli.sendmail.plain import Unusual, address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = ("prx-sendmail", 1, __version__)  # the number counts up with each change of what is kept
_MARSHAL_VERSION = 4  # which every Python reads that the program runs on
_MOST_BYTES, _SUM_BYTES = 256 * 1024, 4
# What the settings, or the place of the config, depend on; and what leaves no room for a config that is known.
_DECIDING = ("PRX_EMAIL_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME")
FOR_THE_FULL_WAY = ("PRX_EMAIL_URL", "PRX_EMAIL_URL_FILE", "PRX_EMAIL_OUTBOX", "PRX_EMAIL_SMTP_OAUTH_TOKEN")


class Account:
    """An account.  delivered_to, address: of its From, whose header is *header*, with LF line ends."""

    def __init__(self, name: str, delivered_to: str, address: str, header: bytes) -> None:
        self.name, self.delivered_to, self.address, self.header = name, delivered_to, address, header


class Known:
    """What is known of the config.  values: as ``remember.values_of`` makes them."""

    def __init__(self, values: "dict[str, Any]") -> None:
        self._values = values
        self.outbox = SmallOutbox(*values["outbox"])
        self.most_bytes, self.most_recipients = values["most_bytes"], values["most_recipients"]

    def account_of(self, authors: "list[str]") -> "Account":
        """Return the account that one of *authors* is, else the default one.  Raises Unusual where there is none."""
        for account in self._values["accounts"]:
            if account[1] in authors:
                return Account(*account)
        if self._values["default"] is None:
            raise Unusual("no account")
        return Account(*self._values["default"])

    def addresses_of(self, local: str) -> "tuple[str, ...]":
        """Return the addresses of a local name.  Raises Unusual where they are not known."""
        name = local.lower()
        found = self._values["aliases"].get(name, self._values["others"])
        if found is None:
            raise Unusual("a local name")
        if found == ():
            return (address(f"{local}@{self._values['domain']}"),)
        return tuple(found)


def cache_file() -> str | None:
    """Return the path of the file; None where there is no place for it."""
    home = _home()
    above = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    return f"{above}/prx-email/sendmail" if above.startswith("/") else None


def environment() -> "tuple[str | int | None, ...] | None":
    """Return all that the config depends on in the environment; None where it cannot be known."""
    if any(os.environ.get(name) for name in FOR_THE_FULL_WAY):
        return None
    return (*(os.environ.get(name) for name in _DECIDING), _home(), os.geteuid())


def read() -> "Known | None":
    """Return what is known, None when nothing is."""
    file, around = cache_file(), environment()
    if file is None or around is None:
        return None
    try:
        values = unpacked(_trusted(file))
        if values["format"] != FORMAT or values["environment"] != around:
            return None
        if not all(step_of(step[0]) == step for step in values["steps"]):
            return None
        if not all(file_of(one[0]) == one for one in values["files"]) or any(map(os.path.lexists, values["absent"])):
            return None
        return Known(values)
    except (OSError, ValueError, EOFError, TypeError, LookupError, AttributeError):
        return None


def packed(values: "dict[str, Any]") -> bytes:
    """Write *values* for the file."""
    data = marshal.dumps(values, _MARSHAL_VERSION)
    return data + crc32(data).to_bytes(_SUM_BYTES, "big")


def unpacked(data: bytes) -> "Any":
    """Read what ``packed`` wrote.  Raises ValueError for a file that is damaged, which marshal might not survive."""
    data, checksum = data[:-_SUM_BYTES], data[-_SUM_BYTES:]
    if crc32(data).to_bytes(_SUM_BYTES, "big") != checksum:
        raise ValueError
    return marshal.loads(data)  # noqa: S302 - this user's own program wrote it


def step_of(path: str) -> "tuple[Any, ...]":
    """Return what a name on the way to a file is: if that stays, nobody else has got a hand in it.  Raises OSError."""
    status = os.lstat(path)
    link = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
    return path, status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid, link


def file_of(path: str) -> "tuple[Any, ...]":
    """Return what changes whenever the file at *path* is written.  Raises OSError."""
    status = os.stat(path)
    return path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _trusted(file: str) -> bytes:
    """Read a file that nobody else can have written.  Raises OSError, ValueError."""
    directory = os.lstat(os.path.dirname(file))
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        for one, kind in ((directory, stat.S_ISDIR), (status, stat.S_ISREG)):
            if not kind(one.st_mode) or one.st_mode & 0o077 or one.st_uid != os.geteuid():
                raise ValueError
        if status.st_nlink != 1 or status.st_size > _MOST_BYTES:
            raise ValueError
        return os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)


def _home() -> str:
    home = os.environ.get("HOME")
    if home is None:
        import pwd  # on use

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    return home.rstrip("/")
