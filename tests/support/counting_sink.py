"""An SMTP server that takes everything, and counts what it was given and over how many connections at once."""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import NamedTuple, Self

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)


class Taken(NamedTuple):
    """A message: when it was taken, by a clock that never goes back, for how many recipients, and under which id."""

    at: float
    recipients: int
    message_id: str


class _Client:
    """A connection.  answer_at: when the message that has come whole is answered, 0 for none."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer, self.received, self.recipients = peer, b"", 0
        self.in_data, self.answer_at, self.message_id = False, 0.0, ""

    @property
    def is_gone(self) -> bool:
        """Whether the other side has ended it, read or not."""
        try:
            return self.peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class CountingSink:
    """Use it in a `with` block.  delay: seconds before the answer to a message.  most_open: connections at once."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay, self.taken, self.most_open = delay, list[Taken](), 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._clients: dict[int, _Client] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="counting-sink", daemon=True)

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._clients)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as waiting, self._listener:
            self._waiting = waiting
            waiting.register(self._listener, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in waiting.select(0.01):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif (client := self._clients.get(key.fd)) is not None:
                        self._hear(client)
                now = time.monotonic()
                for client in [one for one in self._clients.values() if 0 < one.answer_at <= now]:
                    client.answer_at = 0.0
                    self.taken.append(Taken(now, client.recipients, client.message_id))
                    self._say(client, f"250 2.0.0 queued as {len(self.taken)}")
            for client in list(self._clients.values()):
                self._end(client)

    def _accept(self) -> None:
        peer, _ = self._listener.accept()
        for client in list(self._clients.values()):
            if client.is_gone:
                self._end(client)
        client = self._clients[peer.fileno()] = _Client(peer)
        self.most_open = max(self.most_open, len(self._clients))
        self._waiting.register(peer, selectors.EVENT_READ)
        self._say(client, "220 sink ESMTP")

    def _hear(self, client: _Client) -> None:
        try:
            came = client.peer.recv(65_536)
        except OSError:
            came = b""
        if not came:
            self._end(client)
            return
        client.received += came
        while client.peer.fileno() in self._clients and (ended := self._next(client)):
            client.received = client.received[len(ended) :]
            self._answer(client, ended)

    def _next(self, client: _Client) -> bytes:
        """The next line, or the whole content; empty while it has not come."""
        end = b"\r\n.\r\n" if client.in_data else b"\r\n"
        head, found, _ = client.received.partition(end)
        return head + found if found else b""

    def _answer(self, client: _Client, said: bytes) -> None:
        if client.in_data:
            found = _MESSAGE_ID.search(said)
            client.in_data, client.message_id = False, found[1].decode() if found else ""
            client.answer_at = time.monotonic() + self.delay
            return
        verb = said[:4].upper()
        if verb == b"DATA":
            client.in_data = True
        client.recipients += verb == b"RCPT"
        if verb == b"MAIL":
            client.recipients = 0
        if verb == b"QUIT":
            with suppress(OSError):
                client.peer.send(b"221 2.0.0 bye\r\n")
            self._end(client)
        else:
            self._say(client, "354 go on" if verb == b"DATA" else "250 2.0.0 ok")

    def _say(self, client: _Client, text: str) -> None:
        with suppress(OSError):
            client.peer.send(text.encode() + b"\r\n")

    def _end(self, client: _Client) -> None:
        del self._clients[client.peer.fileno()]
        self._waiting.unregister(client.peer)
        client.peer.close()
