"""The access token an account logs in with: the one that is kept, or a new one when it is about to expire."""

from collections.abc import Callable

from prx_email_cli.config.oauth_servers import CLIENT_CREDENTIALS
from prx_email_cli.config.secrets import secret_in
from prx_email_cli.config.settings import Account
from prx_email_cli.errors import ConfigError
from prx_email_cli.oauth.cache import Renewal, TokenCache, Tokens
from prx_email_cli.oauth.server import Exchange, ExchangeFailed, Granted, check_library

RENEW_BEFORE_SECONDS = 60  # a login and a long message must fit in what is left, or in half of a shorter life


class AccessTokens:
    """The access tokens of an account with ``[..auth.oauth]``.  clock: gives Unix seconds.

    Raises ConfigError when a secret is missing.
    """

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
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
        self._cache = TokenCache(account, self._refresh_token)
        self._renewed: str | None = None  # a token got here that no server has taken yet

    def check(self) -> None:
        """Raises ConfigError when there is no token and no way to one: somebody must log in first."""
        kept = self._cache.read()
        if not self._can_renew(kept) and (kept is None or self._expiring(kept)):
            raise ConfigError(
                f"accounts.{self._account.name}.smtp.auth.oauth: there is no token for {self._account.smtp.user}",
                hint=f"prx-email account login {self._account.name}",
            )

    def current(self) -> str:
        """A token good for another minute, asked for when none is kept.  Raises ExchangeFailed, ConfigError."""
        kept = self._cache.read()
        if kept is not None and not self._expiring(kept):
            return kept.access_token
        return self._another_than(None)

    def replace(self, rejected: str) -> bool:
        """Get another token than *rejected*; False where that makes no sense: it was new, or cannot be renewed.

        Raises ExchangeFailed, ConfigError.
        """
        if rejected == self._renewed or not self._can_renew(self._cache.read()):
            return False
        return self._another_than(rejected) != rejected

    def accepted(self) -> None:
        """A server took the token."""
        self._renewed = None

    def check_place(self) -> None:
        """Raises ConfigError when nothing could be kept, before a person is asked anything in vain."""
        with self._cache.renewing() as renewal:
            renewal.make_room()
            renewal.give_up_room()

    def keep(self, granted: Granted) -> None:
        """Keep what a login gave, in place of everything before.  Raises ConfigError."""
        with self._cache.renewing() as renewal:
            self._write(renewal, granted, None)

    def revoke(self) -> bool:
        """Tell the server to forget what is kept; False where there is nothing or no such service.

        Raises ExchangeFailed, ConfigError.
        """
        kept = self._cache.read()
        if kept is None or self.oauth.revoke_url is None:
            return False
        self.exchange.revoke(kept.refresh_token or kept.access_token)
        return True

    @property
    def expires_at(self) -> int | None:
        """When the kept token expires, in Unix seconds; None when unknown or when none is kept."""
        kept = self._cache.read()
        return kept.expires_at if kept is not None else None

    @property
    def renewable(self) -> bool:
        """Whether there is a way to another token without a person."""
        return self._can_renew(self._cache.read())

    def _another_than(self, rejected: str | None) -> str:
        """Whoever holds the lock asks the server; whoever waited for it takes what that brought."""
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

    def _ask(self, kept: Tokens | None) -> Granted:
        if self.oauth.grant == CLIENT_CREDENTIALS:
            return self.exchange.as_application()
        refresh_token = (kept and kept.refresh_token) or self._refresh_token
        if refresh_token is None:
            raise ExchangeFailed("the token has expired and there is no refresh token", "invalid_grant")
        return self.exchange.refresh(refresh_token, kept and kept.scope)

    def _write(self, renewal: Renewal, granted: Granted, kept: Tokens | None) -> None:
        refresh_token = granted.refresh_token or (kept and kept.refresh_token) or None
        if refresh_token == self._refresh_token:
            refresh_token = None  # the config has it: the fewer copies the better
        scope = granted.scope or (kept and kept.scope) or None
        renewal.write(Tokens(granted.access_token, granted.expires_at, refresh_token, scope, int(self._clock())))

    def _can_renew(self, kept: Tokens | None) -> bool:
        return bool(
            self.oauth.grant == CLIENT_CREDENTIALS or self._refresh_token is not None or (kept and kept.refresh_token)
        )

    def _expiring(self, tokens: Tokens) -> bool:
        """Whether it is time to renew: a minute before the end, but never before half of a life is over.

        What nothing can follow is used to its end.
        """
        if tokens.expires_at is None:
            return False
        margin: float = RENEW_BEFORE_SECONDS if self._can_renew(tokens) else 0
        if tokens.obtained_at is not None:
            margin = min(margin, max(0, tokens.expires_at - tokens.obtained_at) / 2)
        return tokens.expires_at - self._clock() <= margin
