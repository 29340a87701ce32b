"""An SMTP server on real sockets that behaves well, except at the places and in the manners it is told."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Self

from .faults import Fault, FaultPlan
from .record import Record
from .scripted_dialogue import Dialogue, Settings, TlsMode, Users
from .wire import Wire

LOOPBACK = "127.0.0.1"
_RECEIVE_BUFFER = 65536  # small and fixed, so that a client cannot write far ahead of a fault


class ScriptedServer(Record):
    """One thread per connection; use it in a `with` block, and read the record from it at any time.

    size, eightbitmime, smtputf8, pipelining: offered to EHLO, and insisted on.  extensions: more such lines.
    tls: with *context*; "starttls" refuses AUTH and MAIL before it.  auth: {user: secret}, or a function that is
    asked for both, and MAIL needs a login.  auth_mechanisms: of PLAIN, LOGIN, XOAUTH2, OAUTHBEARER.  challenges:
    texts of the 334s that a refused token gets before its verdict, in place of a proper reason.  fragments: every
    reply in tiny segments.  data_without_recipients: "refuse" answers DATA with 554; "accept" answers 354, takes
    the content, records it unacknowledged and refuses then.  max_recipients: 452 from there on.  listener: listens
    already, in a network of its own for example.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        pipelining: bool = True,
        size: int | None = None,
        eightbitmime: bool = True,
        smtputf8: bool = False,
        extensions: Iterable[str] = (),
        tls: TlsMode | None = None,
        context: ssl.SSLContext | None = None,
        auth: Users | None = None,
        auth_mechanisms: Iterable[str] = ("PLAIN", "LOGIN"),
        challenges: Iterable[str] | None = None,
        fragments: bool = False,
        data_without_recipients: Literal["refuse", "accept"] = "refuse",
        max_recipients: int | None = None,
        host: str = LOOPBACK,
        listener: socket.socket | None = None,
    ) -> None:
        if (tls is None) != (context is None):
            raise ValueError("tls and context go together")
        super().__init__()
        self._plan = FaultPlan(faults)
        self._settings = Settings(
            pipelining=pipelining,
            size=size,
            eightbitmime=eightbitmime,
            smtputf8=smtputf8,
            extensions=tuple(extensions),
            tls=tls,
            context=context,
            auth=auth,
            auth_mechanisms=tuple(auth_mechanisms),
            challenges=None if challenges is None else tuple(challenges),
            fragments=fragments,
            data_without_recipients=data_without_recipients,
            max_recipients=max_recipients,
        )
        self._stopping = threading.Event()
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._wires: set[Wire] = set()
        self._threads: list[threading.Thread] = []
        self._peers: list[str] = []
        self._listener = _prepared(listener or _listen(host))
        self._host = host
        self._port: int = self._listener.getsockname()[1]
        self._wake_receiver, self._wake_sender = socket.socketpair()

    @property
    def host(self) -> str:
        return self._host

    @property
    def port(self) -> int:
        return self._port

    @property
    def peers(self) -> list[str]:
        """The IP address of every client, in order of arrival."""
        with self._lock:
            return list(self._peers)

    def start(self) -> Self:
        """Begin to accept.  Once: a stopped server stays stopped, and its port refuses connections."""
        self._spawn(self._accept_all, "scripted-accept")
        return self

    def release(self) -> None:
        """Let every `pause`, present and future, go on."""
        self._released.set()

    def misbehave(self, *faults: Fault) -> None:
        """Take these for the faults of the connections from now on."""
        self._plan = FaultPlan(faults)

    def stop(self) -> None:
        """End every connection and join every thread.  Safe to call twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._released.set()
        self._wake_sender.close()
        with self._lock:
            for wire in self._wires:
                wire.interrupt()
        for thread in self._threads:  # the first one accepts: once it is joined, the list grows no more
            thread.join(timeout=60)
            if thread.is_alive():
                raise RuntimeError(f"{thread.name} does not end")
        self._wake_receiver.close()
        self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    self._serve(*self._listener.accept())

    def _serve(self, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        sock.setblocking(True)
        wire = Wire(sock, self._stopping, fragmented=self._settings.fragments)
        with self._lock:
            self._peers.append(peer[0])
            if self._stopping.is_set():
                wire.close()
                return
            self._wires.add(wire)
        self._spawn(lambda: self._converse(wire), "scripted-connection")

    def _converse(self, wire: Wire) -> None:
        try:
            Dialogue(wire, self._settings, self._plan, self, self._released).run()
        finally:
            with self._lock:
                self._wires.discard(wire)

    def _spawn(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()


def _listen(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, backlog=256)


def _prepared(listener: socket.socket) -> socket.socket:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)  # accepted sockets inherit it
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port on loopback that refuses connections and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        yield bound.getsockname()[1]
