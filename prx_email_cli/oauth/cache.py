"""Where tokens are kept: one private file for each login, replaced whole, and a kernel lock for whoever renews it."""

import fcntl
import glob
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from prx_email_cli.config.paths import default_state_dir
from prx_email_cli.config.settings import Account
from prx_email_cli.errors import AccountUnusable, ConfigError, ReadableByOthers
from prx_email_cli.files import check_unchangeable, create, make_directories, put_in_place
from prx_email_cli.oauth.server import TOTAL_SECONDS, usable_token
from prx_email_cli.redaction import remember

WAIT_SECONDS = TOTAL_SECONDS + 10
_POLL_SECONDS = 0.05
_MAX_FILE_BYTES = 1 << 20
_ROOM_BYTES = 64 * 1024  # more than the tokens of any provider take


class Tokens(NamedTuple):
    """What an authorization server gave.

    expires_at: Unix seconds, None where the server did not say.  refresh_token: the newest one, None where there is
    none or where it is the config's.  scope: what was granted, None where the server did not say.  obtained_at: Unix
    seconds, None in a file of an older version.
    """

    access_token: str
    expires_at: int | None = None
    refresh_token: str | None = None
    scope: str | None = None
    obtained_at: int | None = None


class TokenCache:
    """The tokens of one login.  Two configs with the same user, client, server and refresh token share them.

    origin: the config's refresh token, None where a login gave it: a new one there does not want what an old one led
    to, and must not overwrite it either.
    """

    def __init__(self, account: Account, origin: str | None = None, directory: Path | None = None) -> None:
        oauth = account.smtp.auth.oauth
        if oauth is None:
            raise ValueError(f"{account.name} has no OAuth settings")
        user = account.smtp.user or ""
        identity = json.dumps([user, oauth.client_id, oauth.token_url, oauth.scope, oauth.grant])
        name = re.sub("[^A-Za-z0-9@.-]", "_", user)[:100]
        self._stem = f"{name}-{_digest(identity)}"
        kind = _digest(origin) if origin is not None else "login"
        self._lock_file = (directory or default_state_dir()) / "tokens" / f"{self._stem}.lock"
        self.file = (directory or default_state_dir()) / "tokens" / f"{self._stem}-{kind}.json"

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
            check_unchangeable(self.file)
            if status.st_mode & 0o077:
                raise ReadableByOthers(f"{self.file} holds tokens and is readable by others", hint="log in again")
            return _parse(stream.read(_MAX_FILE_BYTES))

    @contextmanager
    def renewing(self) -> "Iterator[Renewal]":
        """Hold the lock of whoever asks the server; others wait.

        Raises ConfigError when nothing can be kept here, AccountUnusable when another run has not finished in time.

        What a server rotates is lost if it cannot be stored, so room for it is made before anybody is asked.
        """
        try:
            make_directories(self.file.parent)
            lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            _wait_for(lock)
            yield Renewal(self)
        finally:
            os.close(lock)

    def remove(self) -> bool:
        """Forget the tokens of this login, whatever they came from; whether there were any.  Raises ConfigError."""
        found = [
            file
            for ending in ("json", "new")
            for file in self.file.parent.glob(f"{glob.escape(self._stem)}-*.{ending}")
        ]
        try:
            for file in found:
                file.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from None
        return bool(found)

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
        """Take the disk space that ``write`` will need.

        Raises ConfigError, and ChangeableByOthers when others could replace what is written.
        """
        check_unchangeable(self._cache.file)
        try:
            self._new.unlink(missing_ok=True)
            with open(create(self._new), "wb") as stream:
                stream.write(bytes(_ROOM_BYTES))
        except OSError as error:
            self.give_up_room()
            raise self._cache._unusable(error) from None

    def give_up_room(self) -> None:
        """Nothing came that is to be written."""
        with suppress(OSError):
            self._new.unlink(missing_ok=True)

    def write(self, tokens: Tokens) -> None:
        """Replace the kept tokens, durably.  Raises ConfigError."""
        data = json.dumps(tokens._asdict()).encode()
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


def _wait_for(lock: int) -> None:
    """Take the lock.  Not for ever: whoever has it may be waiting for a server that never ends."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > until:
            raise AccountUnusable(
                "network",
                f"another run has been renewing the token for {WAIT_SECONDS} s",
                "is the authorization server slow, or a login of yours still open? The next run tries again",
            )
        time.sleep(_POLL_SECONDS)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parse(data: bytes) -> Tokens | None:
    """The tokens in a cache file; None for what this program did not write."""
    try:
        values = json.loads(data)
        tokens = Tokens(**{name: values[name] for name in Tokens._fields if name != "obtained_at" or name in values})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    kinds: tuple[Any, ...] = (str, (int, type(None)), (str, type(None)), (str, type(None)),
                              (int, type(None)))  # fmt: skip
    if not all(isinstance(value, kind) for value, kind in zip(tokens, kinds, strict=True)):
        return None
    if not usable_token(tokens.access_token):
        return None
    for secret in (tokens.access_token, tokens.refresh_token):
        remember(secret or "")
    return tokens
