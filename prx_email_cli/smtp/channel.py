"""Send and receive over an open connection without waiting, in clear or under TLS."""

import select
import socket
import ssl

from prx_email_cli.smtp.errors import ConnectionLost, Unasked
from prx_email_cli.smtp.replies import Reply
from prx_email_cli.smtp.reply_buffer import ReplyBuffer

RECEIVE_BYTES = _TLS_RECORD_BYTES = 16 * 1024


class Channel:
    """An open connection whose socket does not block, with the replies received on it.

    write_to_read: TLS must write before it can read on, as when it renews keys.  read_to_write: the reverse.  in_doubt:
    how many bytes of what was given to ``send`` last may have left although it did not return them; only under TLS.
    """

    def __init__(self, sock: socket.socket, replies: ReplyBuffer) -> None:
        self.sock, self.replies = sock, replies
        self.write_to_read = self.read_to_write = False
        self.in_doubt = 0
        self._drained = False  # nothing more was there at the last look
        self.encrypted = isinstance(sock, ssl.SSLSocket)
        self._ready, self._wait = select.poll(), select.poll()
        self._ready.register(sock, select.POLLIN | select.POLLOUT)
        self._wait.register(sock, 0)

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 once it is closed."""
        return self.sock.fileno()

    def wait(self, *, read: bool, write: bool, seconds: float) -> None:
        """Wait until the connection can be read or written, at most so many *seconds*.

        For a thread that has only this connection.
        """
        self._wait.modify(self.sock, select.POLLIN * read | select.POLLOUT * write)
        self._wait.poll(max(0.0, seconds) * 1000)

    def reply(self) -> Reply | None:
        """Return the next reply, its text as it came; None while it is not whole.  Raises ConnectionLost."""
        while (reply := self.replies.take()) is None:
            if self._drained or not self._receive():
                return None
        return reply

    def heard(self) -> bool:
        """Tell whether unread data has arrived.  Raises ConnectionLost."""
        if not self.replies:
            if _decrypted(self.sock) or self._events() & ~select.POLLOUT:
                self._receive()
            else:
                self._drained = not self.encrypted
        return bool(self.replies)

    def look_again(self) -> None:
        """Take it that something may have arrived since the last look."""
        self._drained = False

    def unasked(self) -> Unasked:
        """Return the error for the data that ``heard`` found."""
        return Unasked(self.replies.unread)

    def send(self, data: memoryview) -> int:
        """Send what of *data* can leave at once; return how many bytes did.

        Raises ConnectionLost.
        """
        self.read_to_write = False
        if self.encrypted:
            data = data[:_TLS_RECORD_BYTES]
            self.in_doubt = len(data)
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0
        except ssl.SSLWantReadError:
            self.read_to_write = True
            return 0
        except OSError as error:
            raise lost(error) from None
        self.in_doubt = 0
        return sent

    def _events(self) -> int:
        """Return what the socket is ready for: bits of poll(2), 0 for nothing."""
        events = self._ready.poll(0)
        return events[0][1] if events else 0

    def _receive(self) -> bool:
        """Take in what has arrived; False if nothing has, or only TLS session tickets.

        Raises ConnectionLost.
        """
        self.write_to_read = False
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except ssl.SSLWantWriteError:
            self.write_to_read = True
            return False
        except OSError as error:
            raise lost(error) from None
        if not data:
            raise ConnectionLost("the server closed the connection")
        self.replies.feed(data)
        self._drained = not self.encrypted and len(data) < RECEIVE_BYTES
        return True


def lost(error: OSError) -> ConnectionLost:
    """Return ConnectionLost for an error of the socket."""
    if not isinstance(error, ssl.SSLError):
        return ConnectionLost(f"connection lost: {error.strerror or error}")
    if "ALERT" in (error.reason or ""):
        return ConnectionLost(f"the server ended TLS: {error.reason}")
    return ConnectionLost(f"connection lost: {error.reason or error.strerror or error}")


def _decrypted(sock: socket.socket) -> bool:
    """Tell whether TLS holds decrypted bytes, which poll(2) does not see."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
