"""What the authorization server shall do, what it issued and what it was asked; a test may touch it at any time."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .oauth_models import Client, Code, Device, Token

_UNSTATED_LIFETIME = 3600  # of a token whose answer does not say


@dataclass(frozen=True)
class Refusal:
    """An error as RFC 6749 section 5.2 words it; the description may hold what no honest server would send."""

    error: str
    description: str = ""
    status: int = 400


@dataclass(frozen=True)
class Failure:
    """An answer of the token endpoint that is sent as it stands."""

    status: int
    body: str | bytes
    content_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One request.  headers: Authorization, Content-Type, Accept and User-Agent, where sent."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]
    time: float
    """By the server's clock."""


class OAuthState:
    """Knobs, records and storage, for many threads.  Every list is a copy.

    A grant is what a person agreed to once: its refresh tokens and access tokens have one number.
    """

    def __init__(self, user: str, scope: str, client_secret: str) -> None:
        self.user = user
        self.public_client_id = "public-client"
        self.confidential_client_id = "confidential-client"
        self.client_secret = client_secret
        self.clients = {
            client.client_id: client
            for client in (
                Client(self.public_client_id, None, scope),
                Client(self.confidential_client_id, client_secret, scope),
            )
        }
        self.now: Callable[[], float] = time.time

        self.expires_in: int | None = _UNSTATED_LIFETIME
        self.token_bytes = 64
        self.make_access_token: Callable[[str, str, int], str] | None = None
        self.issue_refresh_token = True
        self.rotate = False
        self.deny = False
        self.interval = 0
        self.device_expires_in = 600
        self.refuse: Refusal | None = None
        self.fail_with: Failure | None = None
        self.delay = 0.0
        self.hang = False

        self._changed = threading.Condition()
        self.codes: dict[str, Code] = {}
        self.devices: dict[str, Device] = {}
        self._slow_downs = 0
        self._requests: list[Asked] = []
        self._decided: list[Asked] = []
        self._user_codes: list[str] = []
        self._issued: list[str] = []
        self._access: dict[str, Token] = {}
        self._refresh: dict[str, Token] = {}
        self._grants = itertools.count(1)

    @property
    def requests(self) -> list[Asked]:
        """Everything asked so far, what was refused or not answered included."""
        with self._changed:
            return list(self._requests)

    @property
    def issued(self) -> list[str]:
        """Access tokens in the order in which they were issued."""
        with self._changed:
            return list(self._issued)

    @property
    def refresh_tokens(self) -> list[str]:
        """Refresh tokens in the order in which they were issued, the revoked ones included."""
        with self._changed:
            return list(self._refresh)

    @property
    def user_codes(self) -> list[str]:
        """Of every device authorization so far."""
        with self._changed:
            return list(self._user_codes)

    def count(self, grant_type: str) -> int:
        """Requests of the token endpoint with *grant_type*, whatever became of them."""
        return _count(self.requests, grant_type)

    def decided(self, grant_type: str) -> int:
        """Those of them whose answer is fixed: what is approved or denied from now on cannot change it."""
        with self._changed:
            return _count(self._decided, grant_type)

    def wait_for(self, predicate: Callable[[], object], timeout: float = 60.0) -> None:
        """Return once *predicate* holds; it is asked at every request and answer.  AssertionError after *timeout*."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(predicate()), timeout):
                raise AssertionError(f"not within {timeout} s; last requests: {self._requests[-5:]}")

    def valid(self, access_token: str) -> str | None:
        """Whom *access_token* lets in now: a user, or None."""
        with self._changed:
            token = self._access.get(access_token)
            return token.user if token and not token.revoked and self.now() < token.expires_at else None

    def expire(self, access_token: str) -> None:
        """End the lifetime of *access_token*, without a word to its holder."""
        with self._changed:
            self._access[access_token].expires_at = float("-inf")

    def revoke(self, access_token: str) -> None:
        """Withdraw this access token alone."""
        with self._changed:
            self._access[access_token].revoked = True

    def revoke_refresh(self, refresh_token: str) -> None:
        """Withdraw this refresh token alone: access tokens that came of it stay valid."""
        with self._changed:
            self._refresh[refresh_token].revoked = True

    def approve_device(self, user_code: str) -> None:
        self._decide(user_code, approved=True)

    def deny_device(self, user_code: str) -> None:
        self._decide(user_code, approved=False)

    def slow_down(self, times: int = 1) -> None:
        """Answer so many of the next device polls with slow_down, approved or not."""
        with self._changed:
            self._slow_downs = times

    # What follows is for the server itself.

    def note_request(self, asked: Asked) -> None:
        with self._changed:
            self._requests.append(asked)
            self._changed.notify_all()

    def note_decided(self, asked: Asked) -> None:
        with self._changed:
            self._decided.append(asked)
            self._changed.notify_all()

    def note_device(self, device: Device) -> None:
        with self._changed:
            self.devices[device.device_code] = device
            self._user_codes.append(device.user_code)
            self._changed.notify_all()

    def take_slow_down(self) -> bool:
        with self._changed:
            if not self._slow_downs:
                return False
            self._slow_downs -= 1
            return True

    def issue(self, client: Client, scope: str, *, refreshable: bool) -> dict[str, object]:
        """New tokens of a new grant, as the answer that brings them."""
        with self._changed:
            grant, now = next(self._grants), self.now()
            expires_at = now + (_UNSTATED_LIFETIME if self.expires_in is None else self.expires_in)
            make = self.make_access_token or self._random_access_token
            access = Token(make(self.user, scope, int(expires_at)), client.client_id, self.user, scope, grant)
            access.expires_at = expires_at
            self._access[access.value] = access
            self._issued.append(access.value)
            answer: dict[str, object] = {"access_token": access.value, "token_type": "Bearer", "scope": scope}
            if self.expires_in is not None:
                answer["expires_in"] = self.expires_in
            if refreshable:
                refresh = Token("rt-" + secrets.token_urlsafe(32), client.client_id, self.user, scope, grant)
                self._refresh[refresh.value] = refresh
                answer["refresh_token"] = refresh.value
            self._changed.notify_all()
            return answer

    def join(self, answer: Mapping[str, str], refreshed: Token) -> None:
        """Count the tokens in *answer* to the grant of the refresh token that brought them."""
        with self._changed:
            self._access[answer["access_token"]].grant = refreshed.grant
            if "refresh_token" in answer:
                self._refresh[answer["refresh_token"]].grant = refreshed.grant

    def find(self, value: str) -> Token | None:
        """A token of either kind."""
        with self._changed:
            return self._access.get(value) or self._refresh.get(value)

    def find_refresh(self, value: str) -> Token | None:
        """A refresh token that is still good."""
        with self._changed:
            token = self._refresh.get(value)
            return None if token is None or token.revoked else token

    def withdraw(self, token: Token) -> None:
        """As RFC 7009 section 2.1 has it: with a refresh token goes all that came of its grant."""
        with self._changed:
            token.revoked = True
            if token.value in self._refresh:
                for other in (*self._access.values(), *self._refresh.values()):
                    other.revoked = other.revoked or other.grant == token.grant

    def _decide(self, user_code: str, *, approved: bool) -> None:
        with self._changed:
            for device in self.devices.values():
                if device.user_code == user_code:
                    device.approved = approved
                    return
        raise KeyError(user_code)

    def _random_access_token(self, _user: str, _scope: str, _expires_at: int) -> str:
        return ("at-" + secrets.token_urlsafe(self.token_bytes))[: self.token_bytes]


def _count(asked: list[Asked], grant_type: str) -> int:
    return sum(one.path == "/token" and one.form.get("grant_type") == grant_type for one in asked)
