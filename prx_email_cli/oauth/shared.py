"""Keep tokens where all machines of one outbox find them, encrypted by a key of the config.

The outbox's database keeps them under a name and holds the lock under which one machine renews them; it never sees one
in clear.  They are encrypted with AES-256-GCM (NIST SP 800-38D), bound to their name, each time under a new nonce.
"""

import base64
import binascii
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import NamedTuple

from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.config.secrets import secret_in
from prx_email_cli.config.settings import Account
from prx_email_cli.config.shelf import Held, Shelf
from prx_email_cli.errors import AccountUnusable, ConfigError, StorageError
from prx_email_cli.oauth.server import Tokens
from prx_email_cli.oauth.tokens import BUSY_HINT, WAIT_SECONDS, names_of, tokens_in

KEY_BYTES, _NONCE_BYTES, _MARK_BYTES = 32, 12, 4
_WRITE_TRIES = 20  # a second apart: a refresh token that is not stored is lost
_ROOM_BYTES = 16 * 1024


class Vault(NamedTuple):
    """A shelf, and the key to what is on it."""

    shelf: Shelf
    key: bytes

    def tokens_of(self, account: Account, origin: str | None) -> "SharedTokens":
        """Return what is kept for *account*; see ``TokenCache``."""
        return SharedTokens(self, *names_of(account, origin))

    def seal(self, name: str, tokens: Tokens) -> bytes:
        """Encrypt *tokens*, to be kept under *name*."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # on use

        nonce = os.urandom(_NONCE_BYTES)
        clear = json.dumps(tokens._asdict()).encode()
        return self._mark() + nonce + AESGCM(self.key).encrypt(nonce, clear, name.encode())

    def opened(self, name: str, sealed: bytes) -> Tokens | None:
        """Decrypt what was kept under *name*; None if it holds none.  Raises ConfigError when the key is another."""
        from cryptography.exceptions import InvalidTag  # on use
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # on use

        nonce, rest = sealed[_MARK_BYTES:][:_NONCE_BYTES], sealed[_MARK_BYTES + _NONCE_BYTES :]
        if sealed[:_MARK_BYTES] == self._mark():
            with suppress(InvalidTag, ValueError):
                return tokens_in(AESGCM(self.key).decrypt(nonce, rest, name.encode()))
        raise ConfigError(
            "the tokens in the outbox's database were encrypted with another token_key",
            hint="give [outbox] the key of the other machines; or account logout, and log in again with this one",
        )

    def _mark(self) -> bytes:
        """Tell keys apart, without telling anything of them."""
        return hashlib.sha256(b"prx-email token key\0" + self.key).digest()[:_MARK_BYTES]


class SharedTokens:
    """The tokens of one login on a shelf; used as a ``TokenCache`` is."""

    def __init__(self, vault: Vault, login: str, name: str) -> None:
        self._vault, self._login, self._name = vault, login, name

    def read(self) -> Tokens | None:
        """Return the kept tokens; None if there are none.  Raises ConfigError, StorageError."""
        return self._opened(self._vault.shelf.read(self._name))

    @contextmanager
    def renewing(self) -> "Iterator[SharedRenewal]":
        """Keep all machines but this one from renewing the tokens.

        Raises AccountUnusable when another has been renewing them for WAIT_SECONDS, ConfigError, StorageError.
        """
        with self.alone() as held:
            before = self._vault.shelf.read(self._name)
            self._opened(before)  # with another key nothing is replaced
            yield SharedRenewal(self._vault, self._name, held, before)

    @contextmanager
    def alone(self) -> Iterator[Held]:
        """Do as ``renewing``, whatever key the kept tokens have."""
        try:
            with self._vault.shelf.hold(self._login, WAIT_SECONDS) as held:
                yield held
        except TimeoutError:
            raise AccountUnusable(
                "network", f"another run has been renewing the token for {WAIT_SECONDS} s", BUSY_HINT
            ) from None

    def remove(self) -> bool:
        """Remove the tokens of this login; False if there were none.  Raises StorageError."""
        return self._vault.shelf.remove(self._login)

    def _opened(self, sealed: bytes | None) -> Tokens | None:
        return None if sealed is None else self._vault.opened(self._name, sealed)


class SharedRenewal:
    """The right to replace a login's tokens on a shelf, while its lock is held."""

    def __init__(self, vault: Vault, name: str, held: Held, before: bytes | None) -> None:
        self._vault, self._name, self._held, self._before = vault, name, held, before

    def make_room(self) -> None:
        """Check that ``write`` will find the database writable.  Raises StorageError."""
        self._held.try_room(self._name, _ROOM_BYTES)

    def give_up_room(self) -> None:
        """Do nothing: no room was taken."""

    def write(self, tokens: Tokens) -> None:
        """Replace the kept tokens, durably, unless others did meanwhile.  Raises StorageError."""
        sealed = self._vault.seal(self._name, tokens)
        for _ in range(_WRITE_TRIES):
            with suppress(StorageError):
                self._held.write(self._name, sealed, self._before)
                return
            time.sleep(1)
        self._held.write(self._name, sealed, self._before)


def vault_for(account: Account, outbox: OutboxSettings, shelf: Shelf | None) -> Vault | None:
    """Return where machines share the tokens of *account*; None where each keeps its own.

    Raises ConfigError when the key is missing or none, or its library is; ReadableByOthers.
    """
    if account.smtp.auth.oauth is None or shelf is None or not has_token_key(outbox):
        return None
    key = secret_in(outbox, "token_key", "outbox") or ""
    if find_spec("cryptography") is None:
        raise ConfigError(
            "[outbox] token_key needs cryptography, which is not installed",
            hint="pip install 'prx-email-cli[shared-tokens]'",
        )
    try:
        decoded = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != KEY_BYTES:
        raise ConfigError(
            "[outbox] token_key is no key of 32 bytes in base64",
            hint="make one for all machines: openssl rand -base64 32",
        )
    return Vault(shelf, decoded)


def has_token_key(outbox: OutboxSettings) -> bool:
    """Tell whether the config says where the key is."""
    return any(getattr(outbox, name) is not None for name in outbox.keys if name.startswith("token_key"))
