"""One connection seen from the server: lines and content in, replies out, and every way to be rude."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Iterator

_CHUNK = 16384


class ConversationOverError(Exception):
    """Nobody is left to talk to: the client has gone, or the server ended the connection on purpose."""


class Wire:
    """A socket that `interrupt` can end from another thread, whatever the owner is blocked in.

    stopping: set when the server stops.  fragmented: every reply goes out in tiny segments.
    """

    def __init__(self, sock: socket.socket, stopping: threading.Event, *, fragmented: bool = False) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._lock = threading.Lock()  # TLS changes the socket object: `interrupt` must not meet the old one
        self._stopping = stopping
        self._fragmented = fragmented
        self._unread = bytearray()
        self.over_tls = False

    @property
    def pending(self) -> bool:
        """The client has already sent more than what was read."""
        return bool(self._unread)

    def read_line(self) -> bytes:
        """Up to and including the next LF: judging how a line ends is for the caller."""
        while (end := self._unread.find(b"\n")) < 0:
            self._fill()
        line = bytes(self._unread[: end + 1])
        del self._unread[: end + 1]
        return line

    def read_content(self) -> bytes:
        """Everything before the final dot, still dot-stuffed.  Only CRLF.CRLF ends it (RFC 5321 4.1.1.4)."""
        searched = 0
        while not self._unread.startswith(b".\r\n"):  # the CRLF of the DATA line counts as the first one
            if (end := self._unread.find(b"\r\n.\r\n", searched)) >= 0:
                content = bytes(self._unread[: end + 2])
                del self._unread[: end + 5]
                return content
            searched = max(0, len(self._unread) - 4)
            self._fill()
        del self._unread[:3]
        return b""

    def await_bytes(self, count: int) -> None:
        """Return when at least *count* octets that nobody has consumed have arrived."""
        while len(self._unread) < count:
            self._fill()

    def say(self, reply: str) -> None:
        """Send one reply; CRLF is added.  An empty one is no reply at all."""
        if not reply:
            return
        if self._fragmented:
            self.say_in_fragments(reply)
        else:
            self.send(_encoded(reply))

    def say_in_fragments(self, reply: str) -> None:
        """The same in segments that cut the code, the text and the last CRLF in two."""
        for fragment in fragments_of(_encoded(reply)) if reply else ():
            self.send(fragment)
            self._stopping.wait(0.001)  # or the kernel would hand the fragments over in one piece

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def say_without_end(self, line: bytes, cap: int) -> None:
        """Repeat *line* until the client hangs up, or *cap* octets are out."""
        block = line * (65536 // len(line))
        for _ in range(max(1, cap // len(block))):
            self.send(block)

    def say_slowly(self, line: bytes, interval: float) -> None:
        """Repeat *line* byte by byte until the client hangs up or the server stops."""
        for octet in itertools.cycle(line):
            if self._stopping.wait(interval):
                return
            self.send(bytes((octet,)))

    def stay_silent(self, *, reading: bool) -> None:
        """Until the client goes or the server stops.

        reading=False lets the client's writes pile up and block; then only the server's stop ends it, because
        the client's FIN waits behind what it could not send.
        """
        if not reading:
            self._stopping.wait()
        with contextlib.suppress(OSError):
            while self._raw_recv():
                pass

    def hang_up(self) -> None:
        """FIN.  Sent before the close, because the kernel makes a close over unread octets a reset."""
        self._shutdown(socket.SHUT_WR)
        self.close()

    def part(self) -> None:
        """Close politely: the client reads the last reply before it can meet an error."""
        self._shutdown(socket.SHUT_WR)
        self.stay_silent(reading=True)
        self.close()

    def reset(self) -> None:
        """RST instead of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Clear-text commands that came before the handshake are thrown away (RFC 3207 section 4.2)."""
        with self._lock:
            self._sock = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        assert isinstance(self._sock, ssl.SSLSocket)
        self._sock.do_handshake()
        self._unread.clear()
        self.over_tls = True

    def interrupt(self) -> None:
        """End both directions from any thread; whoever is blocked in the socket comes back at once."""
        self._shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            self._sock.close()

    def _fill(self) -> None:
        chunk = self._sock.recv(_CHUNK)
        if not chunk:
            raise ConversationOverError
        self._unread += chunk

    def _raw_recv(self) -> bytes:
        """Octets below TLS, to be thrown away."""
        return socket.socket.recv(self._sock, _CHUNK)

    def _shutdown(self, how: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, how)  # SSLSocket's own pulls TLS from under a blocked reader


def _encoded(reply: str) -> bytes:
    return reply.encode("utf-8", "surrogateescape") + b"\r\n"


def fragments_of(data: bytes) -> Iterator[bytes]:
    """Cuts inside the code, inside the text and between the last CR and LF."""
    yield data[:2]
    for start in range(2, len(data) - 1, 7):
        yield data[start : min(start + 7, len(data) - 1)]
    yield data[-1:]
