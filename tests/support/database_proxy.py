"""A proxy before a PostgreSQL server's Unix socket that cuts or hangs its connections when it is told to."""

from __future__ import annotations

import select
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

_SOCKET = ".s.PGSQL.5432"


class Cut(NamedTuple):
    """What becomes of a connection at the *number*th time (from 1) that a client says *word*, on any connection.

    after: the server hears it, and its answer is lost.  hang: nothing passes any more, and nobody hangs up.
    """

    word: bytes
    number: int
    after: bool = False
    hang: bool = False


class DatabaseProxy:
    """A context manager.  directory: where clients find the socket, as ``host`` of their URL."""

    def __init__(self, server: Path, cut: Cut | None = None) -> None:
        self._server, self.cut, self.said = server / _SOCKET, cut, 0
        self.directory = Path(tempfile.mkdtemp(prefix="prx-proxy-", dir="/tmp"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.directory / _SOCKET))
        self._listener.listen(50)
        self._ends: set[socket.socket] = set()
        self._lock, self._open = threading.Lock(), threading.Event()
        self._open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, direct: str) -> str:
        """The URL of a database through this proxy."""
        return f"{direct.partition('?')[0]}?host={self.directory}"

    def refuse(self) -> None:
        """Cut all connections, and take none until ``serve``."""
        self._open.clear()
        self.cut_all()

    def serve(self) -> None:
        self._open.set()

    def cut_all(self) -> None:
        """Cut all connections."""
        with self._lock:
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> DatabaseProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.refuse()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._open.is_set():
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(str(self._server))
                except OSError:
                    client.close()
                    continue
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._ends |= {client, server}
        try:
            with suppress(OSError), client, server:
                while self._pass_some(client, server):
                    pass
        finally:
            with self._lock:
                self._ends -= {client, server}

    def _pass_some(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass on what came; False once the connection is over."""
        ready, _, _ = select.select([client, server], [], [])
        for one in ready:
            data = one.recv(65536)
            if not data:
                return False
            cut = self._is_cut(data) if one is client else None
            if cut is None or cut.after:
                (server if one is client else client).sendall(data)
            if cut is None:
                continue
            if cut.after:
                select.select([server], [], [], 1)  # its answer, which nobody gets; none to a part of a message
            if cut.hang:
                client.recv(1)  # until it hangs up
            return False
        return True

    def _is_cut(self, data: bytes) -> Cut | None:
        with self._lock:
            if self.cut is None or self.cut.word not in data:
                return None
            self.said += 1
            return self.cut if self.said == self.cut.number else None
