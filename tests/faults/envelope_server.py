"""A server that answers whole writes: what it reads at once, and when, is what the PIPELINING tests are about."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = Callable[[str], str]
"""The reply to one command, without CRLF."""

GREETED = "250-batch.test\r\n250-PIPELINING\r\n250 8BITMIME"


class EnvelopeServer:
    """Serves one connection; use it in a `with` block.

    answer: the reply to MAIL, RCPT, DATA and the final dot (which is asked for as ".").  writes: the commands of each
    envelope write, as they arrived in one piece.  content: what came after each 354, its end included.
    """

    def __init__(self, answer: Answer) -> None:
        self.writes: list[list[str]] = []
        self.content: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(60)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join(timeout=60)
        self._listener.close()

    def _serve(self) -> None:
        with self._listener.accept()[0] as sock:
            sock.settimeout(60)
            sock.sendall(b"220 batch.test ESMTP\r\n")
            while data := sock.recv(1 << 20):
                replies = [self._reply(line) for line in data.decode().removesuffix("\r\n").split("\r\n")]
                if data.startswith((b"MAIL", b"RCPT", b"DATA")):
                    self.writes.append(data.decode().removesuffix("\r\n").split("\r\n"))
                sock.sendall("".join(f"{reply}\r\n" for reply in replies).encode())
                if replies[-1].startswith("354"):
                    sock.sendall(f"{self._read_content(sock)}\r\n".encode())

    def _read_content(self, sock: socket.socket) -> str:
        content = b""
        while not content.endswith(b"\r\n.\r\n") and content != b".\r\n":
            chunk = sock.recv(1 << 20)
            if not chunk:
                break
            content += chunk
        self.content.append(content)
        return self._answer(".")

    def _reply(self, line: str) -> str:
        if line.upper().startswith("EHLO"):
            return GREETED
        return {"QUIT": "221 bye", "RSET": "250 forgotten"}.get(line.upper()) or self._answer(line)
