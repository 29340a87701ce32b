"""The logins of ``listen``: a file of names and scrypt hashes beside the config."""

import hashlib
import hmac
import os
import secrets
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from contextlib import suppress
from pathlib import Path

from prx_email_cli.config.settings import Settings
from prx_email_cli.errors import ConfigError, NotFound, ReadableByOthers, ValidationError
from prx_email_cli.files import check_unchangeable, create, is_open, put_in_place, read_bounded

FILE_NAME = "listen-users"
MAX_FILE_BYTES, READ_SECONDS = 1 << 20, 10
MAX_NAME, MAX_PASSWORD = 64, 1024
_N, _R, _P = 1 << 14, 8, 1  # 16 MiB and some 40 ms for each try
_HEADER = "# logins of prx-email listen: prx-email listen add-user NAME\n"


def users_file(settings: Settings) -> Path:
    """Name the file that holds the logins, which need not exist."""
    return settings.listen.users_file or settings.file.with_name(FILE_NAME)


class Logins:
    """The names and hashes in a file, read anew when it changes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._hashes: dict[str, str] = {}
        self._seen: tuple[int, ...] | None = None
        self._no_one = hashed(secrets.token_hex(8))
        self.reload()

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def names(self) -> list[str]:
        """Return the names, in order."""
        return sorted(self._hashes)

    def reload(self) -> None:
        """Read the file if it changed.  Raises ConfigError, ReadableByOthers."""
        try:
            status = os.stat(self.file)
        except FileNotFoundError:
            self._hashes, self._seen = {}, None
            return
        look = (status.st_ino, status.st_mtime_ns, status.st_size)
        if look != self._seen:
            self._hashes = _read(self.file)
            self._seen = look

    def accepts(self, name: str, password: str) -> bool:
        """Tell whether *password* is that of *name*; an unknown name takes as long."""
        known = self._hashes.get(name)
        right = _matches(password[:MAX_PASSWORD], known or self._no_one)
        return right and known is not None

    def add(self, name: str, password: str) -> bool:
        """Store *password* for *name*; tell whether the name was new.  Raises ValidationError, ConfigError."""
        if not (0 < len(name) <= MAX_NAME) or not name.isprintable() or set(name) & set(": #") or not name.isascii():
            raise ValidationError(
                f"not a login name: {name!r}", hint=f"up to {MAX_NAME} ASCII characters without space, colon and #"
            )
        if not (8 <= len(password) <= MAX_PASSWORD):
            raise ValidationError(
                f"the password must have 8 to {MAX_PASSWORD} characters",
                hint="openssl rand -base64 18 prints a good one",
            )
        new = name not in self._hashes
        self._write({**self._hashes, name: hashed(password)})
        return new

    def remove(self, name: str) -> None:
        """Remove a login.  Raises NotFound."""
        if name not in self._hashes:
            raise NotFound(f"there is no login {name!r}", hint="prx-email listen users lists them")
        self._write({one: value for one, value in self._hashes.items() if one != name})

    def _write(self, hashes: dict[str, str]) -> None:
        text = _HEADER + "".join(f"{name}:{value}\n" for name, value in sorted(hashes.items()))
        new = self.file.with_name(f"{self.file.name}.{os.getpid()}.new")
        try:
            with suppress(FileNotFoundError):
                new.unlink()
            with open(create(new), "w", encoding="ascii") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            put_in_place(new, self.file)
        except OSError as error:
            raise ConfigError(f"{self.file}: cannot be written: {error.strerror}", hint="check its directory") from None
        self._hashes, self._seen = hashes, None


def hashed(password: str) -> str:
    """Hash a password with a salt of its own, and write it with what is needed to check it."""
    salt = secrets.token_bytes(16)
    return "$".join(
        ("scrypt", str(_N), str(_R), str(_P), b64encode(salt).decode(), b64encode(_scrypt(password, salt)).decode())
    )


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=_N, r=_R, p=_P, maxmem=1 << 26)


def _matches(password: str, stored: str) -> bool:
    *_, salt, wanted = stored.split("$")
    return hmac.compare_digest(_scrypt(password, b64decode(salt)), b64decode(wanted))


def _read(file: Path) -> dict[str, str]:
    """Return the hashes in *file* by name.  Raises ConfigError, ReadableByOthers."""
    try:
        data, status = read_bounded(file, MAX_FILE_BYTES, READ_SECONDS)
    except (OSError, TimeoutError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}", hint="check its owner and permissions") from None
    if is_open(file, status):
        raise ReadableByOthers(f"{file} holds logins and is readable by others", hint=f"chmod 600 {file}")
    check_unchangeable(file)
    found: dict[str, str] = {}
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            name, _, value = line.strip().partition(":")
            if not _is_hash(value):
                raise ConfigError(f"{file}: line {number} is not a login", hint="prx-email listen add-user writes them")
            found[name] = value
    return found


def _is_hash(text: str) -> bool:
    parts = text.split("$")
    if parts[:-2] != ["scrypt", str(_N), str(_R), str(_P)]:
        return False
    try:
        return len(b64decode(parts[-1], validate=True)) == 64 and len(b64decode(parts[-2], validate=True)) == 16
    except (Base64Error, ValueError):
        return False
