"""Get the secret that an account logs in with: none, a password or an OAuth token."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from prx_email_cli.config.oauth_servers import CLIENT_CREDENTIALS
from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.config.secrets import password_of, secret_in
from prx_email_cli.config.settings import Account
from prx_email_cli.errors import AccountUnusable, ConfigError, PrxEmailError, ReadableByOthers, StorageError
from prx_email_cli.oauth.server import ExchangeFailed, usable_token
from prx_email_cli.oauth.tokens import RENEW_BEFORE_SECONDS, AccessTokens, clock_of
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.replies import Category

if TYPE_CHECKING:
    from prx_email_cli.config.shelf import Shelf
    from prx_email_cli.oauth.shared import Vault

# RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5: errors of wrong client settings, and errors that pass.
_CLIENT_FAULTS = ("invalid_client", "unauthorized_client")
_PASSING = ("temporarily_unavailable", "server_error", "slow_down")


class Login:
    """How an account logs in; this base has no secret."""

    is_token = False

    @property
    def chances(self) -> int:
        """Return how many refused secrets may be replaced while one session is opened."""
        return 0

    @property
    def expires_at(self) -> int | None:
        """Return when the secret expires, in Unix seconds; None if never or unknown."""
        return None

    @property
    def renews(self) -> bool:
        """Tell whether a new secret is got before this one expires."""
        return False

    def secret(self) -> str | None:
        """Return the password or token for the next login; None to use no login.

        Raises SessionFailed.
        """
        return None

    def check_place(self) -> None:
        """Check that a renewed secret can be stored.

        Raises ConfigError, ReadableByOthers, AccountUnusable.
        """

    def accepted(self) -> None:
        """Note that the server accepted the secret."""

    def replace(self, rejected: str) -> bool:
        """Replace the refused secret *rejected*; False if there is no other.

        Raises SessionFailed.
        """
        return False


class PasswordLogin(Login):
    """A login with a password, which was read once; None for no login."""

    def __init__(self, password: str | None) -> None:
        self._password = password

    def secret(self) -> str | None:
        """Return the password."""
        return self._password


class TokenLogin(Login):
    """A login with an OAuth token: the config's own, then those of ``[..auth.oauth]``.

    The config's own is used until it expires or is refused.  clock: gives Unix seconds.
    """

    is_token = True

    def __init__(self, account: Account, clock: Callable[[], float] = time.time, vault: "Vault | None" = None) -> None:
        self._account = account
        self._auth = account.smtp.auth
        self._clock = clock
        self._named = self._read_named()
        # Tokens that the command has printed and no login has used yet.
        self._printed = [self._named] if self._named is not None and self._auth.oauth_token_command is not None else []
        self._tokens = AccessTokens(account, clock, vault) if self._auth.oauth is not None else None
        if self._tokens is not None and (self._named is None or self._over()):
            self._tokens.check()

    def secret(self) -> str:
        """Return a token for the next login, renewed if it has less than a minute left.

        Raises SessionFailed.
        """
        if self._auth.oauth_token_command is not None:
            with suppress(IndexError):
                return self._printed.pop()
            return self._printed_again()
        if self._named is not None and not self._over():
            return self._named
        if self._tokens is None:
            raise self._expired()
        try:
            return self._tokens.current()
        except StorageError:  # of the outbox, which is no fault of the account
            raise
        except PrxEmailError as error:
            raise self._not_renewed(error) from None

    def check_place(self) -> None:
        """Check that a renewed token can be stored.

        Raises ConfigError, ReadableByOthers, AccountUnusable.
        """
        if self._tokens is not None:
            self._tokens.check_place()

    def accepted(self) -> None:
        """Note that the server accepted the token, so that a later refusal renews it."""
        if self._tokens is not None:
            self._tokens.accepted()

    def replace(self, rejected: str) -> bool:
        """Replace the refused token *rejected*; False if there is no other.

        Raises SessionFailed.
        """
        if self._auth.oauth_token_command is not None:
            token = self._printed_again()
            self._printed.append(token)
            return token != rejected
        if self._tokens is None:
            return False
        if rejected == self._named:
            self._named = None
            return True
        try:
            return self._tokens.replace(rejected)
        except StorageError:
            raise
        except PrxEmailError as error:
            raise self._not_renewed(error) from None

    @property
    def chances(self) -> int:
        """Return 1, and 2 if the config has both a token and ``[..auth.oauth]``."""
        return 1 + (self._named is not None and self._tokens is not None)

    @property
    def expires_at(self) -> int | None:
        """Return when the current token expires, in Unix seconds; None if unknown."""
        if self._tokens is None or (self._named is not None and not self._over()):
            return self._auth.oauth_expires_at
        return self._tokens.expires_at

    @property
    def renews(self) -> bool:
        """Tell whether another token can be got without a person."""
        return self._auth.oauth_token_command is not None or (self._tokens is not None and self._tokens.renewable)

    def _read_named(self) -> str | None:
        place = f"accounts.{self._account.name}.smtp.auth"
        token = secret_in(self._auth, "oauth_token", place)
        if token is not None and not usable_token(token):
            raise ConfigError(
                f"{place}.{self._auth.token_kinds[0]}: this is no OAuth token (RFC 6750 section 2.1)",
                hint="it is one word of letters, digits and - . _ ~ + / =",
            )
        return token

    def _printed_again(self) -> str:
        """Return a new token of the token command, because a run may outlast one.

        Raises SessionFailed.
        """
        try:
            return self._read_named() or ""
        except (ConfigError, ReadableByOthers) as error:
            raise SessionFailed(Category.AUTH, error.message, error.hint) from None

    def _over(self) -> bool:
        """Tell whether the config's token has expired, or nearly if another can be got."""
        expires_at = self._auth.oauth_expires_at
        margin = RENEW_BEFORE_SECONDS if self._tokens is not None else 0
        return expires_at is not None and expires_at - self._clock() <= margin

    def _expired(self) -> SessionFailed:
        at = time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(self._auth.oauth_expires_at or 0))
        kind = self._auth.token_kinds[0]
        return SessionFailed(
            Category.AUTH,
            f"the OAuth token expired at {at}",
            f"get a new one where {kind} takes it from, or let smtp.auth.oauth renew it",
        )

    def _not_renewed(self, error: PrxEmailError) -> SessionFailed:
        if not isinstance(error, ExchangeFailed):
            category = Category(error.code) if isinstance(error, AccountUnusable) else Category.AUTH
            return SessionFailed(category, error.message, error.hint)
        message = f"cannot get an OAuth token: {error.message}"
        if error.error is None:
            hint = "check the network and token_url; the next run tries again"
            return SessionFailed(Category.NETWORK, message, hint)
        if error.error in _PASSING:
            return SessionFailed(Category.PROVIDER, message, "the next run tries again")
        hint = f"log in again: prx-email account login {self._account.name}"
        if self._auth.oauth is not None and self._auth.oauth.grant == CLIENT_CREDENTIALS:  # no person can log in
            hint = "check scope, and what the provider lets the application do"
        if error.error in _CLIENT_FAULTS:
            hint = "check client_id and client_secret"
        return SessionFailed(Category.AUTH, message, hint)


def login_of(account: Account, outbox: OutboxSettings | None = None, shelf: "Shelf | None" = None) -> Login:
    """Return the login of *account*.

    outbox, shelf: where machines may share tokens.  Raises ConfigError when a secret is missing and cannot be got,
    ReadableByOthers when its file is open to others.
    """
    if account.smtp.auth.token_kinds:
        vault = _vault_for(account, outbox, shelf)
        return TokenLogin(account, clock_of(vault), vault)
    return PasswordLogin(password_of(account))


def _vault_for(account: Account, outbox: OutboxSettings | None, shelf: "Shelf | None") -> "Vault | None":
    if outbox is None or shelf is None:
        return None
    from prx_email_cli.oauth.shared import vault_for  # on use

    return vault_for(account, outbox, shelf)
