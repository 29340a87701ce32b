"""Get, keep, renew and share an account's access tokens.

Each login has a private file, which is replaced whole, under a lock.
"""

import glob
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prx_email_cli.config.oauth_servers import CLIENT_CREDENTIALS
from prx_email_cli.config.paths import default_state_dir
from prx_email_cli.config.secrets import secret_in
from prx_email_cli.config.settings import Account
from prx_email_cli.errors import AccountUnusable, ConfigError, ReadableByOthers
from prx_email_cli.files import check_unchangeable, create, make_directories, put_in_place
from prx_email_cli.oauth.server import (
    TOTAL_SECONDS,
    Exchange,
    ExchangeFailed,
    Tokens,
    check_library,
    usable_token,
)
from prx_email_cli.redaction import remember

if TYPE_CHECKING:
    from prx_email_cli.oauth.shared import SharedRenewal, Vault

RENEW_BEFORE_SECONDS = 60  # what is left must do for a login and a long message
WAIT_SECONDS = TOTAL_SECONDS + 10
BUSY_HINT = "end any prx-email account login that still waits; the next run tries again"
_POLL_SECONDS = 0.05
_MAX_FILE_BYTES = 1 << 20
_ROOM_BYTES = 64 * 1024  # more than the tokens of any provider take


def clock_of(vault: "Vault | None") -> Callable[[], float]:
    """Return the clock by which tokens expire: of shared ones, the one clock that all machines have.

    Else one machine's expiry, written by its own clock, would have another one use a token that is over.
    """
    return time.time if vault is None else vault.shelf.clock


class AccessTokens:
    """The access tokens of an account with ``[..auth.oauth]``.

    clock: gives Unix seconds.  vault: where machines share them.  Raises ConfigError when a secret or the ``oauth``
    extra is missing, ReadableByOthers when the file of a secret is open to others.
    """

    def __init__(self, account: Account, clock: Callable[[], float], vault: "Vault | None" = None) -> None:
        oauth = account.smtp.auth.oauth
        if oauth is None:
            raise ValueError(f"{account.name} has no OAuth settings")
        check_library()
        place = f"accounts.{account.name}.smtp.auth.oauth"
        self._account = account
        self._clock = clock
        self.oauth = oauth
        self._refresh_token = secret_in(oauth, "refresh_token", place)
        self.exchange = Exchange(oauth, secret_in(oauth, "client_secret", place), clock)
        self._cache = (
            TokenCache(account, self._refresh_token) if vault is None else vault.tokens_of(account, self._refresh_token)
        )
        self._renewed: str | None = None  # a token got here, until a server accepts it

    def check(self) -> None:
        """Check that there is a token, or that one can be got without a person.

        Raises ConfigError, ReadableByOthers.
        """
        kept = self._cache.read()
        if not self._can_renew(kept) and (kept is None or self._expiring(kept)):
            raise ConfigError(
                f"accounts.{self._account.name}.smtp.auth.oauth: there is no token for {self._account.smtp.user}",
                hint=f"prx-email account login {self._account.name}",
            )

    def current(self) -> str:
        """Return the kept token, or get another if there is none for the next minute.

        Raises AccountUnusable (ExchangeFailed is one), ConfigError, ReadableByOthers.
        """
        kept = self._cache.read()
        if kept is not None and not self._expiring(kept):
            return kept.access_token
        return self._another_than(None)

    def replace(self, rejected: str) -> bool:
        """Get another token than the refused *rejected*; False if there is no other.

        There is none if *rejected* cannot be renewed, or was got here and never accepted.  Raises as ``current``.
        """
        if rejected == self._renewed or not self._can_renew(self._cache.read()):
            return False
        return self._another_than(rejected) != rejected

    def accepted(self) -> None:
        """Note that a server accepted the token."""
        self._renewed = None

    def check_place(self) -> None:
        """Check that tokens can be stored, before a person is asked to log in.

        Raises AccountUnusable, ConfigError, ReadableByOthers.
        """
        with self._cache.renewing() as renewal:
            renewal.make_room()
            renewal.give_up_room()

    def keep(self, granted: Tokens) -> None:
        """Store the tokens of a login, in place of all before.

        Raises AccountUnusable, ConfigError.
        """
        with self._cache.renewing() as renewal:
            self._write(renewal, granted, None)

    def revoke(self) -> bool:
        """Have the server revoke the kept token; False without one or without revoke_url.

        Raises ExchangeFailed, ConfigError, ReadableByOthers.
        """
        kept = self._cache.read()
        if kept is None or self.oauth.revoke_url is None:
            return False
        self.exchange.revoke(kept.refresh_token or kept.access_token)
        return True

    @property
    def expires_at(self) -> int | None:
        """Return when the kept token expires, in Unix seconds; None if unknown."""
        kept = self._cache.read()
        return kept.expires_at if kept is not None else None

    @property
    def renewable(self) -> bool:
        """Tell whether another token can be got without a person."""
        return self._can_renew(self._cache.read())

    def _another_than(self, rejected: str | None) -> str:
        """Return the token that another run has got meanwhile, else one from the server."""
        with self._cache.renewing() as renewal:
            kept = self._cache.read()
            if kept is not None and kept.access_token != rejected and not self._expiring(kept):
                return kept.access_token
            renewal.make_room()
            try:
                granted = self._ask(kept)
                self._write(renewal, granted, kept)
            except BaseException:
                renewal.give_up_room()
                raise
            self._renewed = granted.access_token
            return granted.access_token

    def _ask(self, kept: Tokens | None) -> Tokens:
        if self.oauth.grant == CLIENT_CREDENTIALS:
            return self.exchange.as_application()
        refresh_token = (kept and kept.refresh_token) or self._refresh_token
        if refresh_token is None:
            raise ExchangeFailed("the token has expired and there is no refresh token", "invalid_grant")
        return self.exchange.refresh(refresh_token, kept and kept.scope)

    def _write(self, renewal: "Renewal | SharedRenewal", granted: Tokens, kept: Tokens | None) -> None:
        refresh_token = granted.refresh_token or (kept and kept.refresh_token) or None
        if refresh_token == self._refresh_token:
            refresh_token = None  # the config has it, and one copy is enough
        scope = granted.scope or (kept and kept.scope) or None
        renewal.write(granted._replace(refresh_token=refresh_token, scope=scope))

    def _can_renew(self, kept: Tokens | None) -> bool:
        return bool(
            self.oauth.grant == CLIENT_CREDENTIALS or self._refresh_token is not None or (kept and kept.refresh_token)
        )

    def _expiring(self, tokens: Tokens) -> bool:
        """Tell whether to renew *tokens*: a minute before their end.

        Tokens that live for less than two minutes are renewed after half of that; those that nothing can renew are used
        to their end.
        """
        if tokens.expires_at is None:
            return False
        margin: float = RENEW_BEFORE_SECONDS if self._can_renew(tokens) else 0
        if tokens.obtained_at is not None:
            margin = min(margin, max(0, tokens.expires_at - tokens.obtained_at) / 2)
        return tokens.expires_at - self._clock() <= margin


class TokenCache:
    """The stored tokens of one login.

    Configs with the same user, client, token URL, scope, grant and refresh token share them.  origin: the config's
    refresh token, None if a login gave it; the tokens of another origin are neither read nor overwritten.  directory:
    the state directory, None for the user's.
    """

    def __init__(self, account: Account, origin: str | None = None, directory: Path | None = None) -> None:
        self._stem, name = names_of(account, origin)
        self._lock_file = (directory or default_state_dir()) / "tokens" / f"{self._stem}.lock"
        self.file = (directory or default_state_dir()) / "tokens" / f"{name}.json"

    def read(self) -> Tokens | None:
        """Return the kept tokens; None if there are none or the file is damaged.

        Raises ReadableByOthers, ConfigError.
        """
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
            return tokens_in(stream.read(_MAX_FILE_BYTES))

    @contextmanager
    def renewing(self) -> "Iterator[Renewal]":
        """Hold the lock under which tokens are renewed; other runs wait.

        Yields the right to store tokens.  Make room with it before asking the server: a new refresh token that cannot
        be stored is lost.  Raises ConfigError when nothing can be stored here, AccountUnusable when another run has
        held the lock for WAIT_SECONDS.
        """
        from filelock import FileLock, Timeout  # on use: it takes as long to import as all the rest

        lock = FileLock(
            self._lock_file, timeout=WAIT_SECONDS, mode=0o600, fallback_to_soft=False, poll_interval=_POLL_SECONDS
        )
        try:
            make_directories(self.file.parent)
            lock.acquire()
        except Timeout:  # the holder may be waiting for a server that never ends
            raise AccountUnusable(
                "network",
                f"another run has been renewing the token for {WAIT_SECONDS} s",
                BUSY_HINT,
            ) from None
        except OSError as error:
            raise self._unusable(error) from None
        try:
            yield Renewal(self)
        finally:
            lock.release()

    alone = renewing

    def remove(self) -> bool:
        """Remove the tokens of this login; False if there were none.  Raises ConfigError."""
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
        """Free the disk space again, when there is nothing to write."""
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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def names_of(account: Account, origin: str | None) -> tuple[str, str]:
    """Return the names of an account's login and of its tokens.  origin: see ``TokenCache``."""
    oauth = account.smtp.auth.oauth
    if oauth is None:
        raise ValueError(f"{account.name} has no OAuth settings")
    user = account.smtp.user or ""
    identity = json.dumps([user, oauth.client_id, oauth.token_url, oauth.scope, oauth.grant])
    login = f"{re.sub('[^A-Za-z0-9@.-]', '_', user)[:100]}-{_digest(identity)}"
    return login, f"{login}-{_digest(origin) if origin is not None else 'login'}"


def tokens_in(data: bytes) -> Tokens | None:
    """Return the tokens in a cache file, None if this program did not write it; they are masked from then on."""
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
