"""An OAuth 2.0 authorization server on loopback: Authlib's own server side, and knobs for what goes wrong."""

from __future__ import annotations

import json
import ssl
import threading
from types import TracebackType
from typing import Self

from flask import Flask, Response, g, request

from .oauth_grants import Authority
from .oauth_http import HttpServer
from .oauth_models import DEVICE_CODE
from .oauth_state import Asked, Failure, OAuthState, Refusal

__all__ = ["DEVICE_CODE", "Asked", "Failure", "OAuthServer", "Refusal"]

_LOOPBACK = "127.0.0.1"
_KEPT_HEADERS = ("Authorization", "Content-Type", "Accept", "User-Agent")


class OAuthServer(OAuthState):
    """The person is always logged in and agrees at once; use it in a `with` block, and set a knob at any time.

    user: whose tokens these are, those of client_credentials included.  scope: for a client that names none.

    expires_in: seconds; None leaves it out of the answer.  token_bytes: length of an access token ("at-...").
    make_access_token: (user, scope, expires_at) -> token, instead.  issue_refresh_token: on a new grant ("rt-...").
    rotate: a refresh brings a new refresh token and ends the old one.  deny: authorizations.  interval,
    device_expires_in: of device authorizations; see also approve_device, deny_device and slow_down.

    Of the token endpoint: refuse: answer with this error.  fail_with: answer with this.  delay: seconds between
    the work, which is done and recorded at once, and the answer.  Of all endpoints: hang: never answer.

    Leaving the block raises what this server's own code, or make_access_token, raised meanwhile.
    """

    def __init__(
        self,
        *,
        user: str = "ops@example.com",
        scope: str = "mail.send",
        client_secret: str = "cs-a-secret-of-the-client",
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(user, scope, client_secret)
        self._closing = threading.Event()
        self._app = Flask(__name__, static_folder=None)
        self._app.config["PROPAGATE_EXCEPTIONS"] = True  # Flask would log them to stderr
        self._http = HttpServer(_LOOPBACK, self._app, context)
        self.url = f"{'http' if context is None else 'https'}://{_LOOPBACK}:{self._http.port}"
        self._authority = Authority(self._app, self, self.verify_url)
        self._app.before_request(self._arrived)
        self._app.after_request(self._answer_is_fixed)
        for path, methods, view in (
            ("/authorize", ["GET"], self._authority.authorize),
            ("/token", ["POST"], self._token),
            ("/device", ["POST"], lambda: self._authority.endpoint("device_authorization")),
            ("/verify", ["GET"], self._verify),
            ("/revoke", ["POST"], lambda: self._authority.endpoint("revocation")),
        ):
            self._app.add_url_rule(path, path, view, methods=methods)

    @property
    def authorize_url(self) -> str:
        return f"{self.url}/authorize"

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    @property
    def device_url(self) -> str:
        return f"{self.url}/device"

    @property
    def verify_url(self) -> str:
        return f"{self.url}/verify"

    @property
    def revoke_url(self) -> str:
        return f"{self.url}/revoke"

    def start(self) -> Self:
        self._http.start()
        return self

    def close(self) -> None:
        """End every connection, answered or not, and join every thread.  Safe to call twice."""
        if not self._closing.is_set():
            self._closing.set()
            self._http.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and self._http.failures:
            raise RuntimeError("the authorization server failed") from self._http.failures[0]

    def _arrived(self) -> None:
        g.asked = Asked(
            request.method,
            request.path,
            request.args.to_dict(),
            request.form.to_dict(),
            {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers},
            self.now(),
        )
        self.note_request(g.asked)
        if self.hang:
            self._wait(None)

    def _answer_is_fixed(self, answer: Response) -> Response:
        self.note_decided(g.asked)
        return answer

    def _token(self) -> Response:
        delay = self.delay
        answer = self._token_answer()
        if delay:
            self._wait(delay)
        return answer

    def _token_answer(self) -> Response:
        if failure := self.fail_with:
            return Response(failure.body, failure.status, failure.headers, content_type=failure.content_type)
        if refusal := self.refuse:
            told = {"error": refusal.error, "error_description": refusal.description}
            return Response(json.dumps(told), refusal.status, mimetype="application/json")
        return self._authority.token()

    def _verify(self) -> Response:
        try:
            self.approve_device(request.args.get("user_code", ""))
        except KeyError:
            return Response("There is no such code.\n", 404, mimetype="text/plain")
        return Response("Approved.\n", mimetype="text/plain")

    def _wait(self, seconds: float | None) -> None:
        """So long, or until the server closes; then the connection ends without an answer."""
        if self._closing.wait(seconds):
            raise ConnectionAbortedError
