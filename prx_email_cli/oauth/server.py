"""Ask an authorization server, through Authlib, to give, renew or revoke tokens."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

from prx_email_cli.config.auth import LATEST_EXPIRY, OAuth
from prx_email_cli.config.oauth_servers import MICROSOFT
from prx_email_cli.config.secrets import within
from prx_email_cli.errors import AccountUnusable, ConfigError
from prx_email_cli.redaction import remember, reported

TIMEOUT_SECONDS = (15, 30)  # to connect, and between two pieces of the answer
TOTAL_SECONDS = 60  # for the whole exchange
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"  # RFC 8628 section 3.4
MAX_ANSWER_BYTES = 1 << 20
INVALID_SCOPE = "invalid_scope"  # RFC 6749 section 5.2
OFFLINE = "offline_access"  # Microsoft gives a new refresh token if asked for this, and never names it as granted
_CODES = frozenset(  # RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5
    (
        *("access_denied", "authorization_pending", "expired_token", "invalid_client", "invalid_grant"),
        *("invalid_request", INVALID_SCOPE, "server_error", "slow_down", "temporarily_unavailable"),
        *("unauthorized_client", "unsupported_grant_type", "unsupported_response_type"),
    )
)
_LIFETIME = "prx_email_lifetime"
_MAX_TEXT = 500
# A token is a b64token (RFC 6750 section 2.1); other characters could end the SASL message that it travels in.
_TOKEN_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=")


class Tokens(NamedTuple):
    """Tokens that an authorization server gave.

    expires_at: Unix seconds, None if the server did not say.  refresh_token: None if there is none and, in the cache,
    if it is the config's.  scope: the granted one, None if the server did not say.  obtained_at: Unix seconds, None in
    a file of an older version.
    """

    access_token: str
    expires_at: int | None = None
    refresh_token: str | None = None
    scope: str | None = None
    obtained_at: int | None = None


class Device(NamedTuple):
    """A device authorization under way (RFC 8628 section 3.2); times in seconds."""

    device_code: str
    user_code: str
    verification_url: str
    complete_url: str | None
    expires_in: int
    interval: int


class ExchangeFailed(AccountUnusable):
    """The authorization server gave no token.

    error: its OAuth error code, None when it could not be reached or its answer could not be read.  hint: the fix,
    where it is known already.
    """

    def __init__(self, text: str, error: str | None = None, hint: str = "") -> None:
        code = error if error in _CODES and text.startswith(error) else ""  # a standard code is no part of a secret
        category = "network" if error is None else "auth"
        super().__init__(category, code + reported(text[len(code) :], _MAX_TEXT), hint)
        self.error = error


class Exchange:
    """The requests of one client to its authorization server.

    client_secret: None for a client without one.  clock: gives Unix seconds.
    """

    def __init__(self, oauth: OAuth, client_secret: str | None, clock: Callable[[], float]) -> None:
        self._oauth = oauth
        self._secret = client_secret
        self._clock = clock

    def refresh(self, refresh_token: str, granted_scope: str | None = None) -> Tokens:
        """Get a new access token for a refresh token (RFC 6749 section 6).

        granted_scope: the scope of the tokens so far, None if the server did not say; no more may be asked for.  If
        the scope turns out to be too much, the request is repeated without one, which asks for what was granted.
        Raises ExchangeFailed.
        """
        scope = granted_scope or self._oauth.scope
        if granted_scope and self._oauth.preset == MICROSOFT and OFFLINE in (self._oauth.scope or "").split():
            scope = " ".join(dict.fromkeys([*granted_scope.split(), OFFLINE]))
        try:
            return self._refreshed(refresh_token, scope)
        except ExchangeFailed as failed:
            if failed.error != INVALID_SCOPE or scope is None:
                raise
        return self._refreshed(refresh_token, None)

    def _refreshed(self, refresh_token: str, scope: str | None) -> Tokens:
        with self._session(self._oauth.token_url, scope) as session:
            return self._granted(
                session.refresh_token(
                    self._oauth.token_url, refresh_token=refresh_token, timeout=TIMEOUT_SECONDS, allow_redirects=False
                )
            )

    def as_application(self) -> Tokens:
        """Get an access token for the application itself (RFC 6749 section 4.4).

        Raises ExchangeFailed.
        """
        return self._fetch(grant_type="client_credentials", scope=self._oauth.scope)

    def authorization_url(self, redirect_uri: str, state: str, verifier: str, user: str) -> str:
        """Return the address for the browser (RFC 6749 section 4.1.1).

        verifier: of PKCE; its challenge is in the address (RFC 7636 section 4.3).  user: the login name to suggest.
        """
        with self._session(self._oauth.authorize_url, self._oauth.scope) as session:
            url, _ = session.create_authorization_url(
                self._oauth.authorize_url,
                state=state,
                code_verifier=verifier,
                redirect_uri=redirect_uri,
                login_hint=user,
                **self._oauth.authorize_extra,
            )
        return str(url)

    def redeem(self, code: str, redirect_uri: str, verifier: str) -> Tokens:
        """Get the tokens for an authorization code (RFC 6749 section 4.1.3).

        verifier: the one of its authorization request.  Raises ExchangeFailed.
        """
        return self._fetch(
            grant_type="authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=verifier
        )

    def start_device(self) -> Device:
        """Begin a device authorization (RFC 8628 section 3.1).  Raises ExchangeFailed."""
        oauth = self._oauth
        with self._session(oauth.device_url) as session:
            fields = {"client_id": oauth.client_id, "client_secret": self._secret, "scope": oauth.scope}
            answer = session.post(
                oauth.device_url,
                data={name: value for name, value in fields.items() if value is not None},
                withhold_token=True,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            return _device(answer.json(), answer.status_code)

    def poll_device(self, device: Device) -> Tokens:
        """Get the tokens of a device authorization (RFC 8628 section 3.4).

        Raises ExchangeFailed, with the error authorization_pending until the person has logged in.
        """
        return self._fetch(grant_type=DEVICE_GRANT, device_code=device.device_code)

    def revoke(self, token: str) -> None:
        """Have the server revoke *token* (RFC 7009).  Raises ExchangeFailed."""
        with self._session(self._oauth.revoke_url) as session:
            answer = session.revoke_token(
                self._oauth.revoke_url, token=token, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
            if answer.status_code != 200:
                raise ExchangeFailed(f"{self._oauth.revoke_url} answered {answer.status_code} {answer.reason}")

    def _expiry(self, lifetime: Any) -> int | None:
        """Return when a token of this lifetime expires, in Unix seconds.

        None for a lifetime that is no number of seconds: refusing the token would lose the new refresh token with it.
        """
        try:
            return max(0, min(int(self._clock() + float(lifetime)), LATEST_EXPIRY))
        except (TypeError, ValueError, OverflowError):
            return None

    def _fetch(self, **fields: Any) -> Tokens:
        with self._session(self._oauth.token_url, self._oauth.scope) as session:
            fields = {name: value for name, value in fields.items() if value is not None}
            return self._granted(
                session.fetch_token(self._oauth.token_url, timeout=TIMEOUT_SECONDS, allow_redirects=False, **fields)
            )

    @contextmanager
    def _session(self, url: str | None, scope: str | None = None) -> Iterator[Any]:
        """Yield Authlib's session; what fails in it is raised as ExchangeFailed.

        The error has no secrets in it.
        """
        from authlib.integrations.base_client import OAuthError  # on use: optional
        from authlib.integrations.requests_client import OAuth2Session  # on use: optional
        from requests import RequestException  # on use
        from requests.exceptions import JSONDecodeError  # on use

        method = "client_secret_post" if self._secret is not None else "none"
        session = OAuth2Session(
            client_id=self._oauth.client_id,
            client_secret=self._secret,
            scope=scope,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            code_challenge_method="S256",
        )
        adapter = _bounded_adapter()
        for scheme in ("https://", "http://"):
            session.mount(scheme, adapter)
        for kind in ("access_token_response", "refresh_token_response"):
            session.register_compliance_hook(kind, _with_lifetime_apart)
        session.trust_env = not str(url).startswith("http:")  # http reaches only this machine, and needs no proxy
        try:
            with session:
                yield session
        except OAuthError as error:
            raise _refused(error.error, error.description) from None
        except JSONDecodeError:
            raise ExchangeFailed(f"{url} did not answer with JSON: check that it is the right address") from None
        except RequestException as error:
            raise ExchangeFailed(f"{url}: {_cause(error)}") from None
        # The answer does not have the shape of a token's, or numbers in it are none.
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            raise ExchangeFailed(f"{url} answered with something other than a token") from None

    def _granted(self, answer: Any) -> Tokens:
        token = answer.get("access_token")
        if not isinstance(token, str) or not usable_token(token):
            raise ExchangeFailed(f"{self._oauth.token_url} answered without a usable access token")
        refresh_token = answer.get("refresh_token")
        refresh_token = refresh_token if isinstance(refresh_token, str) and refresh_token else None
        for secret in (token, refresh_token or ""):
            remember(secret)
        kind = answer.get("token_type", "bearer")
        if not isinstance(kind, str) or kind.lower() != "bearer":  # RFC 6749 section 7.1
            raise ExchangeFailed(f"{self._oauth.token_url} answered with a token of the kind {kind}")
        scope = answer.get("scope")
        granted_scope = scope if isinstance(scope, str) else None
        return Tokens(token, self._expiry(answer.get(_LIFETIME)), refresh_token, granted_scope, int(self._clock()))


def usable_token(token: str) -> bool:
    """Tell whether *token* can travel in a SASL message (RFC 6750 section 2.1)."""
    return bool(token) and _TOKEN_CHARACTERS.issuperset(token)


def check_library() -> None:
    """Check that the ``oauth`` extra is installed; imports nothing.

    Raises ConfigError.
    """
    if find_spec("authlib") is None or find_spec("requests") is None:
        raise ConfigError("OAuth needs a library that is not installed", hint="pip install 'prx-email-cli[oauth]'")


def _refused(error: Any, description: Any) -> ExchangeFailed:
    text = f"{error}: {description}" if description else str(error)
    return ExchangeFailed(text, str(error))


def _device(answer: Any, status: int) -> Device:
    if "error" in answer:
        raise _refused(answer["error"], answer.get("error_description"))
    if status != 200:
        raise ExchangeFailed(f"the device authorization endpoint answered {status}")
    remember(answer["device_code"])
    return Device(
        str(answer["device_code"]),
        str(answer["user_code"]),
        str(answer.get("verification_uri") or answer["verification_url"]),  # as Google names it
        answer.get("verification_uri_complete"),
        int(answer["expires_in"]),
        int(answer.get("interval", 5)),  # the default of RFC 8628 section 3.2
    )


def _with_lifetime_apart(answer: Any) -> Any:
    """Hide ``expires_in`` from Authlib, which refuses an answer with one like 3599.0."""
    said = answer.json

    def json() -> Any:
        token = said()
        if isinstance(token, dict):
            token[_LIFETIME] = token.pop("expires_in", None)
            token.pop("expires_at", None)
        return token

    answer.json = json
    return answer


def _bounded_adapter() -> Any:
    """Return an HTTP adapter that gives up answers that are too long or too slow.

    That is MAX_ANSWER_BYTES and TOTAL_SECONDS.
    """
    from requests import ReadTimeout, RequestException  # on use
    from requests.adapters import HTTPAdapter  # on use
    from urllib3.exceptions import HTTPError  # on use

    class BoundedAdapter(HTTPAdapter):
        def send(self, *arguments: Any, **options: Any) -> Any:
            try:
                return within(TOTAL_SECONDS, lambda: self._send(*arguments, **options))
            except TimeoutError:
                raise ReadTimeout from None

        def _send(self, *arguments: Any, **options: Any) -> Any:
            answer = super().send(*arguments, **options)
            try:
                body = answer.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
            except HTTPError as error:
                raise RequestException(error) from error
            if len(body) > MAX_ANSWER_BYTES:
                answer.close()
                raise RequestException(f"an answer of over {MAX_ANSWER_BYTES >> 20} MiB")
            answer.raw.release_conn()
            answer.raw = io.BytesIO(body)
            return answer

    return BoundedAdapter()


def _cause(error: Exception) -> str:
    """Return why a request failed, in a few words.

    The texts of requests nest their causes and name memory addresses.
    """
    from requests import HTTPError  # on use
    from requests.exceptions import SSLError, Timeout  # on use

    if isinstance(error, HTTPError) and error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, Timeout):
        return "no answer in time (timeout)"
    if isinstance(error, SSLError):
        return "its certificate is not valid (a private CA goes into REQUESTS_CA_BUNDLE)"
    cause: BaseException = error
    while (cause.__cause__ or cause.__context__) is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    return str(getattr(cause, "strerror", None) or type(error).__name__)
