"""Where tokens are kept: one private file for each login, replaced whole, and a kernel lock for whoever renews it."""

import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from prx_email_cli.config.durable import put_in_place
from prx_email_cli.config.paths import default_state_dir
from prx_email_cli.config.secrets import remember
from prx_email_cli.config.settings import Account
from prx_email_cli.delivery.oauth.exchange import usable_token
from prx_email_cli.errors import ConfigError, ReadableByOthers

_MAX_FILE_BYTES = 1 << 20
_ROOM_BYTES = 64 * 1024  # more than the tokens of any provider take


class Tokens(NamedTuple):
    """What an authorization server gave.

    expires_at: Unix seconds, None where the server did not say.  refresh_token: the newest one, None where there is
    none.  origin: fingerprint of the config's refresh token at that time: a new one there makes these worthless.
    """

    access_token: str
    expires_at: int | None = None
    refresh_token: str | None = None
    scope: str | None = None
    origin: str = ""


class TokenCache:
    """The tokens of one login.  Two configs with the same user, client and server share them."""

    def __init__(self, account: Account, directory: Path | None = None) -> None:
        oauth = account.smtp.auth.oauth
        if oauth is None:
            raise ValueError(f"{account.name} has no OAuth settings")
        user = account.smtp.user or ""
        identity = json.dumps([user, oauth.client_id, oauth.token_url, oauth.scope, oauth.grant])
        name = re.sub("[^A-Za-z0-9@.-]", "_", user)[:100]
        self.file = (directory or default_state_dir()) / "tokens" / f"{name}-{_digest(identity)}.json"

    def read(self) -> Tokens | None:
        """The tokens kept, None when there are none or the file is no use.  Raises ReadableByOthers, ConfigError."""
        try:
            descriptor = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise ConfigError(f"{self.file} is not a regular file", hint="remove it and log in again")
        with open(descriptor, "rb") as stream:
            if status.st_mode & 0o077:
                raise ReadableByOthers(f"{self.file} holds tokens and is readable by others", hint="log in again")
            return _parse(stream.read(_MAX_FILE_BYTES))

    @contextmanager
    def renewing(self) -> "Iterator[Renewal]":
        """Hold the lock of whoever asks the server; others wait.  Raises ConfigError when nothing can be kept here.

        What a server rotates is lost if it cannot be stored, so room for it is made before anybody is asked.
        """
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Renewal(self)
        finally:
            os.close(lock)

    def remove(self) -> bool:
        """Forget the tokens; whether there were any.  Raises ConfigError."""
        try:
            self.file.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unusable(error) from None
        return True

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"cannot keep tokens in {self.file}: {error.strerror}", hint="check the directory, its owner and free space"
        )


class Renewal:
    """The right to replace a cache's tokens, while its lock is held."""

    def __init__(self, cache: TokenCache) -> None:
        self._cache = cache
        self._new = cache.file.with_suffix(".new")

    def make_room(self) -> None:
        """Take the disk space that ``write`` will need.  Raises ConfigError."""
        try:
            self._new.unlink(missing_ok=True)
            descriptor = os.open(self._new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _ROOM_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.give_up_room()
            raise self._cache._unusable(error) from None

    def give_up_room(self) -> None:
        """Nothing came that is to be written."""
        with suppress(OSError):
            self._new.unlink(missing_ok=True)

    def write(self, tokens: Tokens) -> None:
        """Replace the kept tokens, durably.  Raises ConfigError."""
        data = json.dumps({"version": 1, **tokens._asdict()}).encode()
        try:
            descriptor = os.open(self._new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "r+b") as stream:
                stream.write(data)
                stream.truncate()
                stream.flush()
                os.fsync(descriptor)
            put_in_place(self._new, self._cache.file)
        except OSError as error:
            raise self._cache._unusable(error) from None


def origin_of(refresh_token: str | None) -> str:
    """What ``Tokens.origin`` is for the config's refresh token, "" for none; it does not reveal the token."""
    return _digest(refresh_token) if refresh_token is not None else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parse(data: bytes) -> Tokens | None:
    """The tokens in a cache file; None for what this program did not write."""
    try:
        values = json.loads(data)
        tokens = Tokens(**{name: values[name] for name in Tokens._fields})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    kinds: tuple[Any, ...] = (str, (int, type(None)), (str, type(None)), (str, type(None)), str)
    if not all(isinstance(value, kind) for value, kind in zip(tokens, kinds, strict=True)):
        return None
    if not usable_token(tokens.access_token):
        return None
    for secret in (tokens.access_token, tokens.refresh_token):
        remember(secret or "")
    return tokens
