"""A TCP proxy on loopback that delays what it passes on, each way, as a distant server would.

    python -m benchmarks.delaying_proxy --port N --target N --delay MILLISECONDS

Every piece leaves its delay after it came, however much came before it: bandwidth is not limited, and connections do
not wait for each other.  The handshake of TCP is not delayed, which favours a client that connects anew each time.
"""

import argparse
import asyncio
from collections import deque
from typing import cast


class _End(asyncio.Protocol):
    """One of a connection's two ends: what comes in here leaves at the other end, later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[bytes | None] = deque()
        self._early: list[bytes | None] = []
        self._transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the socket, and write what arrived for it before it was there."""
        self._transport = cast(asyncio.Transport, transport)
        early, self._early = self._early, []
        for piece in early:
            self._write(piece)

    def data_received(self, data: bytes) -> None:
        """Let *data* leave at the other end after the delay."""
        self._send_later(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Close the other end after the delay."""
        self._send_later(None)

    def _send_later(self, piece: bytes | None) -> None:
        self._under_way.append(piece)
        self._loop.call_later(self._delay, self._arrive)

    def _arrive(self) -> None:
        piece = self._under_way.popleft()  # timers of one instant come in any order; the pieces must not
        if self.other is not None:
            self.other._write(piece)

    def _write(self, piece: bytes | None) -> None:
        if self._transport is None:
            self._early.append(piece)
        elif piece is None:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write(piece)


class _NearEnd(_End):
    """The client's end: connects to the target when the client has connected."""

    def __init__(self, delay: float, target: int) -> None:
        super().__init__(delay)
        self._target = target
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the target; what the client says meanwhile waits."""
        super().connection_made(transport)
        self.other = _End(self._delay)
        self.other.other = self
        self._connecting = self._loop.create_task(self._connect(self.other))

    async def _connect(self, far: _End) -> None:
        try:
            await self._loop.create_connection(lambda: far, "127.0.0.1", self._target)
        except OSError:
            self._write(None)


async def serve(port: int, target: int, delay: float) -> None:
    """Pass connections to *port* on to *target*, both on loopback; delay: seconds each way.  Never returns."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _NearEnd(delay, target), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("port", "target", "delay"):
        parser.add_argument(f"--{name}", type=int, required=True, metavar="N")
    asked = parser.parse_args()
    asyncio.run(serve(asked.port, asked.target, asked.delay / 1000))


if __name__ == "__main__":
    main()
