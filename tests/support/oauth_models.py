"""What the authorization server keeps in memory.  The methods are those that Authlib asks of its models."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_PUBLIC_GRANTS = ("authorization_code", "refresh_token", DEVICE_CODE)
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Client:
    """Public without a secret; with one it may send it either way, and ask for itself.  Every scope is allowed."""

    client_id: str
    secret: str | None
    default_scope: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or self.default_scope

    def check_redirect_uri(self, uri: str) -> bool:
        """RFC 8252 section 7.3: any port on loopback, for it is chosen anew each time."""
        parts = urlsplit(uri)
        return parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS and "#" not in uri

    def check_client_secret(self, secret: str) -> bool:
        return self.secret is not None and secrets.compare_digest(self.secret.encode(), secret.encode())

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return (method == "none") == (self.secret is None)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in _PUBLIC_GRANTS or (grant_type == "client_credentials" and self.secret is not None)


@dataclass(frozen=True)
class Code:
    """An authorization code that was not redeemed yet."""

    value: str
    client_id: str
    redirect_uri: str | None
    scope: str
    code_challenge: str
    code_challenge_method: str
    expires_at: float

    def get_redirect_uri(self) -> str | None:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token:
    """An access token or a refresh token."""

    value: str
    client_id: str
    user: str
    scope: str
    grant: int
    expires_at: float = float("inf")
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Device:
    """A device authorization; approved is None until the person has decided."""

    device_code: str
    user_code: str
    client_id: str
    scope: str
    expires_at: float
    now: Callable[[], float]
    approved: bool | None = None

    def get_client_id(self) -> str:
        return self.client_id

    def get_scope(self) -> str:
        return self.scope

    def get_user_code(self) -> str:
        return self.user_code

    def is_expired(self) -> bool:
        return self.now() >= self.expires_at
