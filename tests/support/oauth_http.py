"""An HTTP server for a WSGI application that says nothing, waits for nobody and ends with its connections."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_POLL = 0.01  # how often the accepting thread looks whether it shall end


class HttpServer(ThreadedWSGIServer):
    """What `werkzeug.serving.make_server` makes, and this on top.

    A TLS handshake happens in the connection's own thread, so that a client that says nothing holds up nobody.
    An application's exception is kept in `failures`, and answered with 500.
    """

    daemon_threads = False  # only such threads does closing wait for

    def __init__(self, host: str, application: WSGIApplication, context: ssl.SSLContext | None) -> None:
        self.failures: list[Exception] = []
        self._application = application
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(host, 0, self._guarded, _SilentHandler)
        self.ssl_context = context
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL,), name="oauth-accept", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End every connection and join every thread."""
        self.shutdown()
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which another thread is using
        self._thread.join(timeout=60)
        if self._thread.is_alive():
            raise RuntimeError(f"{self._thread.name} does not end")

    def get_request(self) -> tuple[Any, Any]:
        sock, address = super().get_request()
        if self.ssl_context is not None:
            sock = self.ssl_context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._sockets.add(sock)
        return sock, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke: nothing that this server's own code did."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing."""

    def _guarded(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        try:
            return self._application(environ, start_response)
        except ConnectionError:  # so the application asks for an end without an answer
            raise
        except Exception as failure:
            self.failures.append(failure)
            raise


class _SilentHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing."""
