"""A client that hides nothing: it writes what it is told to, and shows every octet of a reply."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import Self

PLAIN_LOGIN = "AUTH PLAIN AHVzZXIAc2VjcmV0"
"""user / secret"""


class RawClient:
    """One plain (or TLS) connection.  Reads fail after *timeout* seconds rather than hang."""

    def __init__(self, port: int, *, context: ssl.SSLContext | None = None, timeout: float = 5.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._unread = b""
        if context is not None:
            self.start_tls(context)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """The certificate must be for localhost; when it is refused the connection is closed."""
        plain = self.sock
        try:
            self.sock = context.wrap_socket(plain, server_hostname="localhost")
        except OSError:
            plain.close()
            raise

    def say(self, *lines: str) -> None:
        """All lines in one write."""
        self.send("".join(f"{line}\r\n" for line in lines).encode())

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def line(self) -> bytes:
        """Up to and including the next LF; what there was at the end of the connection."""
        while b"\n" not in self._unread and (chunk := self.sock.recv(65536)):
            self._unread += chunk
        line, newline, self._unread = self._unread.partition(b"\n")
        return line + newline

    def reply(self) -> str:
        """One reply, its lines joined with CRLF and without the last one."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return b"".join(lines).decode().removesuffix("\r\n")

    def ask(self, line: str) -> str:
        self.say(line)
        return self.reply()

    def code(self, line: str) -> int:
        """The code of the reply to *line*."""
        return int(self.ask(line)[:3])

    def read(self, count: int) -> bytes:
        """Exactly *count* octets, fewer only at the end of the connection."""
        while len(self._unread) < count and (chunk := self.sock.recv(65536)):
            self._unread += chunk
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
