"""A server that speaks so much of PostgreSQL's protocol that a session begins, or is refused with the words given."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType

_TLS_PLEASE = struct.pack("!I", 80877103)  # SSLRequest


class FakePostgres:
    """Answers each client on loopback; use it in a `with` block.

    version: what it says that it is.  refusal: SQLSTATE and words with which it ends each session instead.
    """

    def __init__(self, *, version: str = "", refusal: tuple[str, str] | None = None) -> None:
        self._version, self._refusal = version, refusal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> FakePostgres:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    @property
    def url(self) -> str:
        """Where it is, without TLS."""
        return f"postgresql://prx@127.0.0.1:{self._listener.getsockname()[1]}/db?sslmode=disable&gssencmode=disable"

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError, struct.error):
                    self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(10)
        asked = _take(client)
        if asked[:4] == _TLS_PLEASE:
            client.sendall(b"N")
            _take(client)
        if self._refusal is not None:
            code, words = self._refusal
            client.sendall(_message(b"E", f"SFATAL\0VFATAL\0C{code}\0M{words}\0\0".encode()))
            return
        said = {"server_version": self._version, "client_encoding": "UTF8", "server_encoding": "UTF8",
                "standard_conforming_strings": "on", "integer_datetimes": "on"}  # fmt: skip
        parameters = [_message(b"S", f"{name}\0{value}\0".encode()) for name, value in said.items()]
        key = _message(b"K", struct.pack("!II", 4711, 1))
        client.sendall(_message(b"R", struct.pack("!I", 0)) + b"".join(parameters) + key + _message(b"Z", b"I"))
        client.recv(4096)  # what the client says to that, or its end


def _take(client: socket.socket) -> bytes:
    """Read what a client sends before its session begins, without its length."""
    (length,) = struct.unpack("!I", client.recv(4))
    return client.recv(length - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
