"""Let a person log in, in a browser on this machine or by a code typed elsewhere."""

import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from prx_email_cli.oauth.server import Device, Exchange, ExchangeFailed, Tokens

POLL_SECONDS, SLOWER_BY_SECONDS = 1, 5  # least wait between polls, and what slow_down adds: RFC 8628 section 3.5
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address has the code in it
    "Connection": "close",
}
_PAGE = "<!doctype html><meta charset=utf-8><title>prx-email</title><p>{}</p>\n"


class Redirect:
    """Receives the browser's redirect on loopback (RFC 8252 section 7.3).

    port: 0 for any free one.  uri: the address for the authorization request.  Raises ExchangeFailed when it cannot
    listen.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        self.state = secrets.token_urlsafe(32)
        self._answers: SimpleQueue[dict[str, str]] = SimpleQueue()
        try:
            self._server = _Listener(("127.0.0.1", port), _handler(self._read, self._answers.put))
        except OSError as error:
            raise ExchangeFailed(
                f"cannot listen on port {port}: {error.strerror}", hint="choose another --port"
            ) from None
        self.uri = f"http://{host}:{self._server.server_port}"

    def __enter__(self) -> "Redirect":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def code(self, timeout: float) -> str:
        """Wait at most *timeout* seconds for the authorization code; return it.

        Raises ExchangeFailed when none comes or the login is refused.
        """
        try:
            answer = self._answers.get(timeout=timeout)
        except Empty:
            raise ExchangeFailed(
                f"nobody logged in within {timeout:.0f} s", hint="try again, with a longer --timeout"
            ) from None
        if "error" in answer:
            description = answer.get("error_description")
            raise ExchangeFailed(answer["error"] + (f": {description}" if description else ""), answer["error"])
        return answer["code"]

    def _read(self, query: str) -> "_Read":
        """Judge a request by its query; only one with our state ends the waiting."""
        answer = {name: values[0] for name, values in parse_qs(query).items()}
        if not secrets.compare_digest(answer.get("state", "").encode(), self.state.encode()):
            return _Read(400, "This is not the answer that prx-email waits for.")
        if "error" not in answer and not answer.get("code"):
            return _Read(400, "The answer has no code in it.")
        if "error" in answer:
            return _Read(200, "The login was refused. The terminal says more; you may close this window.", answer)
        return _Read(200, "prx-email has the answer. The terminal says how it went; you may close this window.", answer)


class _Read(NamedTuple):
    """The response to a request; answer: the authorization server's in it, else None."""

    status: int
    text: str
    answer: dict[str, str] | None = None


class _Listener(ThreadingHTTPServer):
    """Serves several requests at once, because browsers open idle connections ahead."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that goes away."""


def _handler(read: Callable[[str], _Read], put: Callable[[dict[str, str]], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found = read(parts.query) if parts.path in ("", "/") else _Read(404, "There is nothing here.")
            page = _PAGE.format(found.text).encode()
            self.send_response(found.status)
            for name, value in {**_HEADERS, "Content-Length": str(len(page))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page)
            if found.answer is not None:  # last, because the thread that waits for it may end the process
                put(found.answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: request lines have the code in them."""

    return Handler


def log_in_by_browser(
    exchange: Exchange, redirect: Redirect, user: str, show: Callable[[str], None], timeout: float
) -> Tokens:
    """Let a person log in with a browser; return the tokens.

    RFC 6749 section 4.1, with PKCE: RFC 7636.  user: the login name to suggest.  show: is called with the address that
    the browser must open.  timeout: seconds.  Raises ExchangeFailed.
    """
    verifier = secrets.token_urlsafe(64)
    with redirect:
        show(exchange.authorization_url(redirect.uri, redirect.state, verifier, user))
        code = redirect.code(timeout)
    return exchange.redeem(code, redirect.uri, verifier)


def log_in_by_device(exchange: Exchange, show: Callable[[Device], None], timeout: float) -> Tokens:
    """Let a person log in on another machine (RFC 8628); return the tokens.

    show: is called with the address and the code to type there.  timeout: seconds.  Raises ExchangeFailed.
    """
    device = exchange.start_device()
    show(device)
    until = time.monotonic() + min(timeout, device.expires_in)
    interval = max(POLL_SECONDS, device.interval)
    while True:
        time.sleep(max(0, min(interval, until - time.monotonic())))
        try:
            return exchange.poll_device(device)
        except ExchangeFailed as failed:
            if failed.error == "slow_down" or failed.error is None:  # RFC 8628 section 3.5: also after a lost answer
                interval += SLOWER_BY_SECONDS
            elif failed.error != "authorization_pending":
                raise
            if time.monotonic() >= until:
                if failed.error is None:
                    raise
                raise ExchangeFailed("nobody entered the code in time", "expired_token") from failed
