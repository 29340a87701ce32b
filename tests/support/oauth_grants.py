"""Authlib's authorization server with all that it leaves open: storage, clients and what the knobs say."""

# mypy: allow-subclassing-any
# Authlib comes without types.
from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, SlowDownError
from flask import Flask, Response

from .oauth_models import Client, Code, Device, Token
from .oauth_state import OAuthState

_WITH_SECRET = ["client_secret_basic", "client_secret_post"]
_ANY_CLIENT = [*_WITH_SECRET, "none"]
_CODE_LIFETIME = 60


class Authority(AuthorizationServer):
    """Answers the Flask request at hand.  One request at a time: Authlib looks a token up, and uses it up later."""

    def __init__(self, app: Flask, state: OAuthState, verification_uri: str) -> None:
        super().__init__(app)
        self.store = state
        self._turn = threading.Lock()
        self.verification_uri = verification_uri
        self.register_token_generator("default", self._make_answer)
        self.register_grant(_CodeGrant, [_S256(required=True)])
        for grant in (_RefreshGrant, _ClientCredentials, _DeviceGrant):
            self.register_grant(grant)
        for endpoint in (_DeviceEndpoint, _Revocation):
            self.register_endpoint(endpoint)

    def authorize(self) -> Response:
        with self._turn:
            try:
                grant = self.get_consent_grant(end_user=self.store.user)
            except OAuth2Error as error:
                return self.handle_error_response(None, error)  # type: ignore[no-any-return]
            user = None if self.store.deny else self.store.user
            return self.create_authorization_response(grant=grant, grant_user=user)  # type: ignore[no-any-return]

    def token(self) -> Response:
        with self._turn:
            return self.create_token_response()  # type: ignore[no-any-return]

    def endpoint(self, name: str) -> Response:
        with self._turn:
            return self.create_endpoint_response(name)  # type: ignore[no-any-return]

    def query_client(self, client_id: str) -> Client | None:
        return self.store.clients.get(client_id)

    def save_token(self, answer: Mapping[str, str], request: Any) -> None:
        if request.refresh_token is not None:
            self.store.join(answer, request.refresh_token)

    def _make_answer(
        self, grant_type: str, client: Client, scope: str | None, include_refresh_token: bool, **_unused: object
    ) -> dict[str, object]:
        wanted = grant_type == "refresh_token" or self.store.issue_refresh_token
        scope = client.get_allowed_scope(scope)
        return self.store.issue(client, scope, refreshable=include_refresh_token and wanted)


class _S256(CodeChallenge):
    """PKCE is required here; Authlib requires it only of the second half, and takes "plain"."""

    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        if grant.request.payload.data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with S256 is required")
        super().validate_code_challenge(grant, redirect_uri)


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _ANY_CLIENT

    def save_authorization_code(self, code: str, request: Any) -> None:
        store, given = self.server.store, request.payload.data
        store.codes[code] = Code(
            code,
            request.client.client_id,
            request.payload.redirect_uri,
            request.scope,
            given["code_challenge"],
            given["code_challenge_method"],
            store.now() + _CODE_LIFETIME,
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        store = self.server.store
        found: Code | None = store.codes.get(code)
        if found is None or found.client_id != client.client_id or store.now() >= found.expires_at:
            return None
        return found

    def delete_authorization_code(self, code: Code) -> None:
        del self.server.store.codes[code.value]

    def authenticate_user(self, _code: Code) -> str:
        return self.server.store.user  # type: ignore[no-any-return]


class _RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _ANY_CLIENT

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        return self.server.store.find_refresh(refresh_token)  # type: ignore[no-any-return]

    def authenticate_user(self, refresh_token: Token) -> str:
        return refresh_token.user

    def issue_token(self, user: str, refresh_token: Token) -> Any:
        self.INCLUDE_NEW_REFRESH_TOKEN = self.server.store.rotate
        return super().issue_token(user, refresh_token)

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.revoked = self.INCLUDE_NEW_REFRESH_TOKEN


class _ClientCredentials(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _WITH_SECRET


class _DeviceGrant(DeviceCodeGrant):
    """As Authlib's, but a device code is good for one answer, and a slow_down comes when it is asked for."""

    TOKEN_ENDPOINT_AUTH_METHODS = _ANY_CLIENT

    def query_device_credential(self, device_code: str) -> Device:
        found: Device | None = self.server.store.devices.get(device_code)
        if found is None:
            raise InvalidGrantError()
        return found

    def validate_device_credential(self, device: Device) -> Any:
        if self.should_slow_down(device):
            raise SlowDownError()
        return super().validate_device_credential(device)

    def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
        store = self.server.store
        (device,) = (device for device in store.devices.values() if device.user_code == user_code)
        return None if device.approved is None else (store.user, device.approved)

    def should_slow_down(self, _device: Device) -> bool:
        return self.server.store.take_slow_down()  # type: ignore[no-any-return]

    def create_token_response(self) -> Any:
        answer = super().create_token_response()
        del self.server.store.devices[self.request.credential.device_code]
        return answer


class _DeviceEndpoint(DeviceAuthorizationEndpoint):
    def get_verification_uri(self) -> str:
        return self.server.verification_uri  # type: ignore[no-any-return]

    def save_device_credential(self, client_id: str, scope: str | None, answer: dict[str, Any]) -> None:
        store = self.server.store
        answer |= {"interval": store.interval, "expires_in": store.device_expires_in}  # Authlib has constants there
        store.note_device(
            Device(
                answer["device_code"],
                answer["user_code"],
                client_id,
                store.clients[client_id].get_allowed_scope(scope),
                store.now() + store.device_expires_in,
                lambda: store.now(),  # the clock of that time, not of this
            )
        )


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = _ANY_CLIENT

    def query_token(self, value: str, _hint: str | None) -> Token | None:
        return self.server.store.find(value)  # type: ignore[no-any-return]

    def revoke_token(self, token: Token, _request: Any) -> None:
        self.server.store.withdraw(token)
